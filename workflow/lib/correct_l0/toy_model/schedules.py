"""The course of L0 along a training: fixed, or linear from a start to an end."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from correct_l0.metrics.decoder.cosine import mean_absolute_cosine
from correct_l0.toy_model.sae import ToySae


class Fixed:
    """One L0 throughout."""

    def __init__(self, l0: float) -> None:
        self._l0 = l0

    def l0(self, step: int) -> float:
        """Return the target L0 of a step."""
        return self._l0

    def observe(self, step: int, sae: ToySae, x: Tensor) -> None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: there is no state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing."""


class Linear:
    """L0 from a start to an end in equal, fractional steps, then constant; keeps a trajectory.

    Parameters
    ----------
    start, end
        L0 of step 0, and of step `ramp_steps` and all later ones.
    ramp_steps
        Steps over which L0 changes.
    record_every
        Steps between the points of the trajectory.

    Examples
    --------
    >>> ramp = Linear(20, 11, ramp_steps=18)
    >>> [ramp.l0(step) for step in (0, 1, 17, 18, 30)]
    [20.0, 19.5, 11.5, 11.0, 11.0]
    """

    def __init__(
        self, start: float, end: float, ramp_steps: int, record_every: int | None = None
    ) -> None:
        self._start, self._end, self._ramp_steps = start, end, ramp_steps
        self._record_every = record_every
        self.trajectory: list[dict[str, float]] = []

    def l0(self, step: int) -> float:
        """Return the target L0 of a step."""
        share = min(step / self._ramp_steps, 1.0)
        return self._start + (self._end - self._start) * share

    def observe(self, step: int, sae: ToySae, x: Tensor) -> None:
        """Record L0 and c_dec where the trajectory has a point."""
        if self._record_every is not None and (step + 1) % self._record_every == 0:
            c_dec = mean_absolute_cosine(sae.weights.W_dec)
            self.trajectory.append({"step": step + 1, "l0": self.l0(step), "c_dec": c_dec})

    def state_dict(self) -> dict[str, Any]:
        """Return the trajectory so far."""
        return {"trajectory": self.trajectory}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved trajectory."""
        self.trajectory = list(state["trajectory"])
