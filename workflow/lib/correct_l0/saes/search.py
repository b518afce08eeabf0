"""A search for the L0: what is asked of it, and the points that it begins with."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from correct_l0.settings.base import Count, PositiveFloat, Section, format_l0, rounded_l0


class L0Search(Section):
    """L0 points that the pipeline chooses: a first round over a range, then where it is unsure."""

    model_config = ConfigDict(
        serialize_by_alias=True, validate_by_name=True, validate_by_alias=True
    )

    lowest: PositiveFloat = Field(alias="from")
    """Lowest L0 of the search."""

    highest: PositiveFloat = Field(alias="to")
    """Highest L0 of the search, at most half of `d_sae`."""

    first: Annotated[int, Field(ge=3)] = 6
    """Points of the first round, spaced evenly on log L0, from half a gap above `from` to half a
    gap below `to`: the ends are trained only where the best point is next to them. A curve is read
    from three on."""

    until: Annotated[float, Field(gt=1, allow_inf_nan=False)] | None = None
    """Ratio of the ends of the answer's interval at which the search stops. Unset: `budget` alone
    stops it, or that no point would narrow the interval."""

    budget: Count | None = None
    """The most trainings (points times seeds) of all rounds; one on twice the `training_tokens`
    counts as two. Unset: `until` alone stops it."""

    longer: Count = 4
    """How many times the `training_tokens` at most: where an answer is refused because SAEs are not
    trained enough, or because two seeds do not find the same latents, the search begins anew with
    longer trainings, within the `budget`. 1: never."""

    @model_validator(mode="after")
    def _check(self) -> L0Search:
        if self.lowest >= self.highest:
            raise ValueError(
                f"from {self.lowest:g} is not below to {self.highest:g}; lower it or raise to"
            )
        if self.until is None and self.budget is None:
            raise ValueError("neither until nor budget is set, so nothing stops it; set one")
        if (different := len(self.first_points())) < self.first:
            raise ValueError(
                f"first {self.first} points from {self.lowest:g} to {self.highest:g} are only "
                f"{different} different ones when rounded; lower it or widen the range"
            )
        return self

    def first_points(self, *, whole: bool = False) -> tuple[float, ...]:
        """Return the points of the first round, lowest first, rounded; to whole numbers by `whole`.

        Examples
        --------
        Six gaps of 75^(1/6) = 2.05, of which the first and the last are half outside:

        >>> L0Search(lowest=4, highest=300, first=6, until=1.5).first_points()
        (5.7, 12.0, 24.0, 50.0, 100.0, 210.0)
        >>> L0Search(lowest=4, highest=300, first=6, until=1.5).first_points(whole=True)[0]
        6.0
        """
        span = self.highest / self.lowest
        near = (self.lowest * span ** ((i + 0.5) / self.first) for i in range(self.first))
        points = (float(round(x)) if whole and x < 10 else rounded_l0(x) for x in near)
        return tuple(dict.fromkeys(x for x in points if self.lowest <= x <= self.highest))

    def unusable_with(self, d_sae: int, seeds: int) -> str:
        """Return why SAEs of a width cannot be searched so; empty where they can."""
        if self.highest > d_sae / 2:
            return (
                f"l0: to {format_l0(self.highest)} is above half of d_sae {d_sae}; lower it to "
                f"{format_l0(d_sae / 2)} or widen the SAE"
            )
        if self.budget is not None and self.budget < self.first * seeds:
            return (
                f"l0: budget {self.budget} is below the {self.first * seeds} trainings of the "
                f"first round ({self.first} points, {seeds} seed{'s' * (seeds > 1)}); raise it"
            )
        return ""
