"""Rules that find L0 during the training, by watching s_n^dec.

Both rules act every `every_steps` training steps, on the mean of s_n^dec (unit rows) over the last
`window_steps` of them. They are schedules of `sae.ToySae`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from correct_l0.metrics.decoder.cosine import mean_absolute_cosine
from correct_l0.metrics.decoder.projection import order_statistics, project
from correct_l0.toy_model.auto_l0_settings import DescentRule, PaperRule
from correct_l0.toy_model.sae import ToySae

LOWEST_L0 = 1.0


class AutoL0:
    """What the rules share: s_n^dec averaged, L0 kept within its limits, a trajectory.

    Parameters
    ----------
    start
        L0 at the start.
    n
        The n of s_n^dec.
    every_steps, window_steps
        Steps between changes of L0, and last ones of them that are averaged over.
    highest
        Highest L0, such as the number of latents.
    """

    def __init__(
        self, start: float, n: int, every_steps: int, window_steps: int, highest: float
    ) -> None:
        self.current, self.highest = float(start), float(highest)
        self._n, self._every, self._window = n, every_steps, window_steps
        self._sum = 0.0
        self.trajectory: list[dict[str, float]] = []

    def l0(self, step: int) -> float:
        """Return the target L0 of a step."""
        return self.current

    def observe(self, step: int, sae: ToySae, x: Tensor) -> None:
        """Add one step's s_n^dec to the mean; at the end of a period, let the rule act."""
        position = step % self._every
        if position < self._every - self._window:
            return
        W_dec = sae.weights.W_dec
        projections = project(x, W_dec / W_dec.norm(dim=1, keepdim=True), sae.weights.b_dec)
        self._sum += float(order_statistics(projections, [self._n]))
        if position < self._every - 1:
            return
        metric, self._sum = self._sum / self._window, 0.0
        self.trajectory.append(
            {
                "step": step + 1, "l0": self.current, "s_n_dec": metric,
                "c_dec": mean_absolute_cosine(W_dec),
            }
        )  # fmt: skip
        wanted = self.current + self.change(metric)
        self.current = min(max(wanted, LOWEST_L0), self.highest)

    def change(self, metric: float) -> float:
        """Return the change of L0 after a period with this mean of s_n^dec."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Return all that later steps depend on, and the trajectory."""
        private = {name: value for name, value in vars(self).items() if name in self.STATE}
        return {
            "current": self.current, "sum": self._sum, "trajectory": self.trajectory,
            "rule": private,
        }  # fmt: skip

    STATE: tuple[str, ...] = ()
    """Names of the attributes that are a rule's own state."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        self.current, self._sum = state["current"], state["sum"]
        self.trajectory = list(state["trajectory"])
        for name, value in state["rule"].items():
            setattr(self, name, value)


class PaperAutoL0(AutoL0):
    """The paper's rule: Adam on L0, fed with the slope of s_n^dec over the last change.

    slope = (m_t+1 - m_t) / delta, pushed by a share of its size and clipped; L0 moves by Adam's
    step, not less than `delta_min` and not more than `delta_max`. The first change, for which there
    is no slope yet, is `-delta_max`.

    The paper's formula, slope - bias |slope|, pushes towards higher L0 when one descends on it; its
    text says that the push is towards lower L0. Both readings are here.

    Parameters
    ----------
    rule
        Constants.
    lower
        Whether the push is towards lower L0, as in the text; else as in the formula.
    **shared
        Of `AutoL0`.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, appendix A.4 (later A.11). Kingma & Ba,
    arXiv 1412.6980, algorithm 1.
    """

    STATE = ("_delta", "_last", "_mean", "_square", "_steps")

    def __init__(self, rule: PaperRule, lower: bool, **shared: Any) -> None:
        super().__init__(**shared)
        self._rule, self._sign = rule, 1 if lower else -1
        self._delta = self._last = self._mean = self._square = 0.0
        self._steps = 0

    def change(self, metric: float) -> float:
        """Return Adam's step on the slope, or the first change."""
        rule = self._rule
        if self._delta == 0.0:
            self._last, self._delta = metric, -rule.delta_max
            return self._delta
        slope = (metric - self._last) / self._delta
        slope += self._sign * rule.bias * abs(slope)
        slope = min(max(slope, -rule.clip), rule.clip)
        self._steps += 1
        self._mean = rule.beta1 * self._mean + (1 - rule.beta1) * slope
        self._square = rule.beta2 * self._square + (1 - rule.beta2) * slope**2
        mean = self._mean / (1 - rule.beta1**self._steps)
        square = self._square / (1 - rule.beta2**self._steps)
        delta = -rule.lr * mean / (square**0.5 + 1e-8)
        size = min(max(abs(delta), rule.delta_min), rule.delta_max)
        self._last, self._delta = metric, size if delta > 0 else -size
        return self._delta


class DescentAutoL0(AutoL0):
    """Go up first, come down slowly, stop at the edge where c_dec rises.

    Three observations on models whose truth is known lead here. Above the true L0 s_n^dec is flat,
    so that a slope says nothing and Adam drifts; but c_dec falls all the way down to the true L0
    and rises at once below it. It falls all the way up to the true L0 as well, where s_n^dec has a
    second low at an L0 of 1. And an SAE that has been too low recovers if L0 first goes well above.

    At the edge, L0 goes back up a few rates. If c_dec falls again the edge was real, and L0 comes
    down at half the rate; if it does not, the rise was the noise of training, and the descent goes
    on from there. As long as c_dec is near its highest since the top, no rise is an edge: there it
    moves because the SAE is still learning.
    """

    STATE = ("_phase", "_periods", "_rate", "_top", "_lowest", "_highest_metric", "_at_edge")

    def __init__(self, rule: DescentRule, **shared: Any) -> None:
        super().__init__(**shared)
        self._rule, self._rate = rule, rule.rate
        self._ceiling = max(self.current, rule.ceiling_share * self.highest)
        self._phase, self._periods = "climb", 0
        self._lowest = self._top = self._at_edge = float("inf")
        self._highest_metric = 0.0

    def change(self, metric: float) -> float:
        """Return the change of L0; `metric` is not used, c_dec is."""
        c_dec = self.trajectory[-1]["c_dec"]
        self._periods += 1
        self._highest_metric = max(self._highest_metric, c_dec)
        self._lowest = min(self._lowest, c_dec)
        margin = self._rule.tolerance * (self._highest_metric - self._lowest)
        return getattr(self, f"_{self._phase}")(c_dec, margin)

    def _enter(self, phase: str) -> None:
        self._phase, self._periods = phase, 0

    def _climb(self, c_dec: float, margin: float) -> float:
        if self.current < self._ceiling:
            return min(self.current * self._rule.climb, self._ceiling) - self.current
        if self._periods >= self._rule.wait_periods:
            self._enter("descend")
            self._top = self._lowest = c_dec
        return 0.0

    def _descend(self, c_dec: float, margin: float) -> float:
        if c_dec > self._top:
            self._top = self._lowest = c_dec
        if self._rate < self._rule.rate_min:
            return 0.0
        if c_dec <= self._lowest + margin or self._lowest > self._rule.fall * self._top:
            return -self._rate * self.current
        self._enter("go_back")
        self._at_edge = c_dec
        return self._rule.step_back * self._rate * self.current

    def _go_back(self, c_dec: float, margin: float) -> float:
        if c_dec <= self._lowest + margin:
            self._enter("descend")
            self._rate /= 2
        elif self._periods >= self._rule.patience_periods:
            if c_dec > (self._at_edge + self._lowest) / 2:
                self._lowest = c_dec
                self._enter("descend")
            else:
                self._periods = 0
        return 0.0
