"""The constants of the rules that find L0 during the training."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from correct_l0.settings.base import Count, PositiveFloat, Section


class PaperRule(Section):
    """The paper's rule: Adam on L0, fed with the slope of s_n^dec (appendix A.4, later A.11)."""

    lr: PositiveFloat = 0.3
    """Learning rate of Adam on L0: its step in L0. The paper gives none."""

    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Adam's decay of the mean slope."""

    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Adam's decay of the mean squared slope."""

    bias: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the slope's size by which it is pushed."""

    clip: PositiveFloat = 1.0
    """Largest size of a slope."""

    delta_min: PositiveFloat = 0.1
    """Smallest size of a change of L0."""

    delta_max: PositiveFloat = 1.0
    """Largest size of a change of L0."""

    @model_validator(mode="after")
    def _check_range(self) -> PaperRule:
        if self.delta_min > self.delta_max:
            raise ValueError(
                f"delta_min {self.delta_min:g} is above delta_max {self.delta_max:g}; swap them"
            )
        return self


class DescentRule(Section):
    """The rule that stands beside the paper's: go up, come down, stop where c_dec rises."""

    climb: Annotated[float, Field(gt=1)] = 1.25
    """Factor by which L0 goes up each period of `every_steps` at first."""

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
    def _check_rates(self) -> DescentRule:
        if self.rate_min >= self.rate:
            raise ValueError(
                f"rate_min {self.rate_min:g} is not below rate {self.rate:g}: L0 would never come "
                "down; lower it"
            )
        return self
