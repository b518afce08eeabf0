"""The course of L0 along a training: fixed, linear, or found by a rule that watches the decoder.

The rules act every `every_steps` steps. What they watch is measured by functions that are handed
in: metrics are not this room's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from jaxtyping import Float
from torch import Tensor

from correct_l0.saes.l0_schedule import DescentSchedule, LinearSchedule, PaperSchedule
from correct_l0.saes.settings import SaeSettings

LOWEST_L0 = 1.0
COURSE_POINTS = 100
"""Points of a linear schedule's course."""


class Measures(NamedTuple):
    """What is measured along a training."""

    c_dec: Callable[[Float[Tensor, "d_sae d_in"]], float]
    """`c_dec(W_dec)`, whatever the norms of the rows."""
    s_n_dec: Callable[[Tensor, Tensor, Tensor, int], float]
    """`s_n_dec(x, W_dec, b_dec, n)` of one batch, with the rows at unit norm."""


class Decoder(Protocol):
    """The part of an SAE's weights that is watched."""

    @property
    def W_dec(self) -> Float[Tensor, "d_sae d_in"]:
        """Decoder."""

    @property
    def b_dec(self) -> Float[Tensor, " d_in"]:
        """Decoder bias."""


class Fixed:
    """One L0 throughout; what the schedules share.

    Attributes
    ----------
    course : list of dict
        What was seen along the way: `step`, `l0`, and measurements by name.
    """

    STATE: tuple[str, ...] = ()
    """Names of the attributes that later steps depend on, besides `course`."""

    def __init__(self, start: float | None) -> None:
        self.current: Any = start
        self.course: list[dict[str, float]] = []

    def l0(self, step: int) -> float | None:
        """Return the target L0 of a step; None where there is none."""
        return self.current

    def observe(self, step: int, weights: Decoder, sae_in: Float[Tensor, "batch d_in"]) -> None:
        """Look at the SAE after a step on `sae_in`."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that later steps depend on, and the course."""
        return {name: getattr(self, name) for name in ("current", "course", *self.STATE)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        for name in ("current", "course", *self.STATE):
            setattr(self, name, state[name])
        self.course = [dict(point) for point in self.course]


class Linear(Fixed):
    """L0 from a start to an end in equal, fractional steps, then constant.

    Examples
    --------
    >>> section = LinearSchedule(kind="linear", end_l0=11, ramp_steps=18)
    >>> ramp = Linear(section, 20, record_every=10, c_dec=float)
    >>> [ramp.l0(step) for step in (0, 1, 17, 18, 30)]
    [20.0, 19.5, 11.5, 11.0, 11.0]
    """

    def __init__(
        self,
        section: LinearSchedule,
        start: float,
        record_every: int,
        c_dec: Callable[[Tensor], float],
    ) -> None:
        super().__init__(start)
        self._section, self._record_every, self._c_dec = section, record_every, c_dec

    def l0(self, step: int) -> float:
        """Return the target L0 of a step."""
        share = min(step / self._section.ramp_steps, 1.0)
        return self.current + (self._section.end_l0 - self.current) * share

    def observe(self, step: int, weights: Decoder, sae_in: Float[Tensor, "batch d_in"]) -> None:
        """Record L0 and c_dec where the course has a point."""
        if (step + 1) % self._record_every == 0:
            c_dec = self._c_dec(weights.W_dec.detach())
            self.course.append({"step": step + 1, "l0": self.l0(step), "c_dec": c_dec})


class PaperRule(Fixed):
    """The paper's rule: Adam on L0, fed with the slope of s_n^dec over the last change.

    slope = (m_t+1 - m_t) / delta, pushed by a share of its size and clipped; L0 moves by Adam's
    step, not less than `delta_min` and not more than `delta_max`. The first change, for which there
    is no slope yet, is `-delta_max`. m is the mean of s_n^dec over a window, in raw units.

    The paper's formula, slope - bias |slope|, pushes towards higher L0 when one descends on it; its
    text says that the push is towards lower L0. Both readings are here.

    Parameters
    ----------
    section
        Constants.
    start, highest
        L0 at the start, and its upper limit: the number of latents.
    measures
        What it watches.
    scale
        Factor from raw activations to training units.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, appendix A.4 (later A.11). Kingma & Ba,
    arXiv 1412.6980, algorithm 1.
    """

    STATE = ("_sum", "_delta", "_last", "_mean", "_square", "_steps")

    def __init__(
        self, section: PaperSchedule, start: float, highest: float, measures: Measures, scale: float
    ) -> None:
        super().__init__(start)
        self._section, self._highest = section, float(highest)
        self._measures, self._scale = measures, scale
        self._sign = 1 if section.kind == "paper_lower" else -1
        self._sum = self._delta = self._last = self._mean = self._square = 0.0
        self._steps = 0

    def observe(self, step: int, weights: Decoder, sae_in: Float[Tensor, "batch d_in"]) -> None:
        """Add one step's s_n^dec to the mean; at the end of a period, change L0."""
        section, position = self._section, step % self._section.every_steps
        if position < section.every_steps - section.window_steps:
            return
        W_dec, b_dec = weights.W_dec.detach(), weights.b_dec.detach()
        self._sum += self._measures.s_n_dec(sae_in, W_dec, b_dec, section.n) / self._scale
        if position < section.every_steps - 1:
            return
        metric, self._sum = self._sum / section.window_steps, 0.0
        c_dec = self._measures.c_dec(W_dec)
        self.course.append(
            {"step": step + 1, "l0": self.current, "s_n_dec": metric, "c_dec": c_dec}
        )
        self.current = min(max(self.current + self.change(metric), LOWEST_L0), self._highest)

    def change(self, metric: float) -> float:
        """Return the change of L0 after a period with this mean of s_n^dec."""
        section = self._section
        if self._delta == 0.0:
            self._last, self._delta = metric, -section.delta_max
            return self._delta
        slope = (metric - self._last) / self._delta
        slope += self._sign * section.bias * abs(slope)
        slope = min(max(slope, -section.clip), section.clip)
        self._steps += 1
        self._mean = section.beta1 * self._mean + (1 - section.beta1) * slope
        self._square = section.beta2 * self._square + (1 - section.beta2) * slope**2
        mean = self._mean / (1 - section.beta1**self._steps)
        square = self._square / (1 - section.beta2**self._steps)
        delta = -section.lr * mean / (square**0.5 + 1e-8)
        size = min(max(abs(delta), section.delta_min), section.delta_max)
        self._last, self._delta = metric, size if delta > 0 else -size
        return self._delta


class Descent(Fixed):
    """Go up first, come down slowly, stop at the edge where c_dec rises.

    Three observations on models whose truth is known lead here. Above the true L0 s_n^dec is flat,
    so that a slope says nothing and Adam drifts; but c_dec falls all the way down to the true L0
    and rises at once below it. It falls all the way up to the true L0 as well, where s_n^dec has a
    second low at an L0 of 1. And an SAE that has been too low recovers if L0 first goes well above.

    At the edge, L0 goes back up a few rates. If c_dec falls again the edge was real, and L0 comes
    down at half the rate; if it does not, the rise was the noise of training, and the descent goes
    on from there. As long as c_dec is near its highest since the top, no rise is an edge: there it
    moves because the SAE is still learning.

    Parameters
    ----------
    section
        Constants.
    start, highest
        L0 at the start, and its upper limit: the number of latents.
    c_dec
        What it watches.
    """

    STATE = ("_phase", "_periods", "_rate", "_top", "_lowest", "_highest_c_dec", "_at_edge")

    def __init__(
        self,
        section: DescentSchedule,
        start: float,
        highest: float,
        c_dec: Callable[[Tensor], float],
    ) -> None:
        super().__init__(start)
        self._section, self._highest, self._c_dec = section, float(highest), c_dec
        self._rate = section.rate
        self._ceiling = max(self.current, section.ceiling_share * self._highest)
        self._phase, self._periods = "climb", 0
        self._lowest = self._top = self._at_edge = float("inf")
        self._highest_c_dec = 0.0

    def observe(self, step: int, weights: Decoder, sae_in: Float[Tensor, "batch d_in"]) -> None:
        """At the end of a period, change L0."""
        if (step + 1) % self._section.every_steps:
            return
        c_dec = self._c_dec(weights.W_dec.detach())
        self.course.append({"step": step + 1, "l0": self.current, "c_dec": c_dec})
        self.current = min(max(self.current + self.change(c_dec), LOWEST_L0), self._highest)

    def change(self, c_dec: float) -> float:
        """Return the change of L0 after a period that ended with this c_dec."""
        self._periods += 1
        self._highest_c_dec = max(self._highest_c_dec, c_dec)
        self._lowest = min(self._lowest, c_dec)
        margin = self._section.tolerance * (self._highest_c_dec - self._lowest)
        return getattr(self, f"_{self._phase}_by")(c_dec, margin)

    def _enter(self, phase: str) -> None:
        self._phase, self._periods = phase, 0

    def _climb_by(self, c_dec: float, margin: float) -> float:
        if self.current < self._ceiling:
            return min(self.current * self._section.climb, self._ceiling) - self.current
        if self._periods >= self._section.wait_periods:
            self._enter("descend")
            self._top = self._lowest = c_dec
        return 0.0

    def _descend_by(self, c_dec: float, margin: float) -> float:
        if c_dec > self._top:
            self._top = self._lowest = c_dec
        if self._rate < self._section.rate_min:
            return 0.0
        if c_dec <= self._lowest + margin or self._lowest > self._section.fall * self._top:
            return -self._rate * self.current
        self._enter("go_back")
        self._at_edge = c_dec
        return self._section.step_back * self._rate * self.current

    def _go_back_by(self, c_dec: float, margin: float) -> float:
        if c_dec <= self._lowest + margin:
            self._enter("descend")
            self._rate /= 2
        elif self._periods >= self._section.patience_periods:
            if c_dec > (self._at_edge + self._lowest) / 2:
                self._lowest = c_dec
                self._enter("descend")
            else:
                self._periods = 0
        return 0.0


def build_schedule(settings: SaeSettings, measures: Measures, scale: float) -> Fixed:
    """Return a point's schedule at its start.

    Parameters
    ----------
    settings
        Of the point, whose `l0` is where the schedule starts.
    measures
        What rules watch.
    scale
        Factor from raw activations to training units.
    """
    section, l0 = settings.training.l0_schedule, settings.l0
    if section is None or l0 is None:
        return Fixed(l0)
    if isinstance(section, LinearSchedule):
        return Linear(section, l0, max(1, settings.steps // COURSE_POINTS), measures.c_dec)
    if isinstance(section, PaperSchedule):
        return PaperRule(section, l0, settings.d_sae, measures, scale)
    return Descent(section, l0, settings.d_sae, measures.c_dec)
