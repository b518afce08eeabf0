"""The course of L0 along a training, as a section of its settings; absent, L0 is fixed.

A point's `l0` is where its schedule starts, so that a sweep can start from several.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from correct_l0.settings.base import Count, PositiveFloat, Section


class LinearSchedule(Section):
    """L0 goes from the point's own to another in equal, fractional steps, then stays."""

    kind: Literal["linear"]
    """Which schedule."""

    end_l0: PositiveFloat
    """Where L0 ends."""

    ramp_steps: Count
    """Steps over which L0 changes. More than there are: L0 stops on its way."""


class PaperSchedule(Section):
    """The paper's rule: Adam on L0, fed with the slope of s_n^dec (appendix A.4, later A.11)."""

    kind: Literal["paper", "paper_lower"]
    """`paper`: by its formula, whose bias pushes towards higher L0. `paper_lower`: with the bias
    towards lower L0, as its text has it."""

    n: Count
    """The n of s_n^dec, a whole number below d_sae."""

    every_steps: Count = 100
    """Training steps between changes of L0."""

    window_steps: Count = 10
    """Last training steps over which s_n^dec is averaged before each change."""

    lr: PositiveFloat = 0.3
    """Learning rate of Adam on L0: its step in L0. The paper gives none."""

    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Adam's decay of the mean slope."""

    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Adam's decay of the mean squared slope."""

    bias: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the slope's size by which it is pushed."""

    clip: PositiveFloat = 1.0
    """Largest size of a slope, in units of raw activations."""

    delta_min: PositiveFloat = 0.1
    """Smallest size of a change of L0."""

    delta_max: PositiveFloat = 1.0
    """Largest size of a change of L0."""

    @model_validator(mode="after")
    def _check_range(self) -> PaperSchedule:
        if self.delta_min > self.delta_max:
            raise ValueError(
                f"delta_min {self.delta_min:g} is above delta_max {self.delta_max:g}; swap them"
            )
        if self.window_steps > self.every_steps:
            raise ValueError(
                f"window_steps {self.window_steps} is above every_steps {self.every_steps}; "
                "average over fewer steps"
            )
        return self


class DescentSchedule(Section):
    """The rule that stands beside the paper's: go up, come down, stop where c_dec rises."""

    kind: Literal["descent"]
    """Which schedule."""

    every_steps: Count = 100
    """Training steps between changes of L0: a period."""

    climb: Annotated[float, Field(gt=1)] = 1.25
    """Factor by which L0 goes up each period at first."""

    ceiling_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """L0 up to which it goes, as a share of d_sae; a start above it stays where it is."""

    wait_periods: Count = 10
    """Periods from the start, the climb included, before L0 comes down."""

    rate: Annotated[float, Field(gt=0, lt=1)] = 0.009
    """Share of L0 taken off each period on the way down; halved each time the edge is met. It has
    to suit the learning rate: where L0 falls faster than the SAE learns, there is no edge."""

    rate_min: Annotated[float, Field(gt=0, lt=1)] = 0.001
    """Rate below which L0 stays where it is."""

    fall: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Share of its highest value on the way down to which c_dec must have fallen before a rise is
    an edge."""

    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.03
    """Rise of c_dec above its lowest that counts as the edge, as a share of its range so far."""

    step_back: PositiveFloat = 10.0
    """Rates by which L0 goes back up at the edge."""

    patience_periods: Count = 8
    """Periods in which c_dec must fall again after that; if it does not, the rise was no edge."""

    @model_validator(mode="after")
    def _check_rates(self) -> DescentSchedule:
        if self.rate_min >= self.rate:
            raise ValueError(
                f"rate_min {self.rate_min:g} is not below rate {self.rate:g}: L0 would never come "
                "down; lower it"
            )
        return self


L0Schedule = Annotated[
    LinearSchedule | PaperSchedule | DescentSchedule, Field(discriminator="kind")
]


def unusable(schedule: L0Schedule, d_sae: int, steps: int, batch_tokens: int) -> str:
    """Return why SAEs of this width and training cannot follow a schedule; empty if they can.

    Examples
    --------
    >>> ramp = LinearSchedule(kind="linear", end_l0=11, ramp_steps=100)
    >>> unusable(ramp, d_sae=8, steps=200, batch_tokens=64)
    'l0_schedule: end_l0 11 is above d_sae 8; lower it or widen the SAE'
    """
    if isinstance(schedule, LinearSchedule):
        if schedule.end_l0 > d_sae:
            return (
                f"l0_schedule: end_l0 {schedule.end_l0:g} is above d_sae {d_sae}; lower it or "
                "widen the SAE"
            )
        if int(schedule.end_l0 * batch_tokens) < 1:
            return (
                f"l0_schedule: at end_l0 {schedule.end_l0:g} a batch of {batch_tokens} tokens "
                "selects no latent, it must select at least one; raise end_l0 or batch_tokens"
            )
        return ""
    if schedule.every_steps >= steps:
        return (
            f"l0_schedule: every_steps {schedule.every_steps} is not below the {steps} steps of "
            "training: L0 would never change; lower it or train longer"
        )
    if isinstance(schedule, PaperSchedule) and schedule.n >= d_sae:
        return (
            f"l0_schedule: n {schedule.n} is not below d_sae {d_sae}: a token has only that many "
            "projections; lower it"
        )
    return ""
