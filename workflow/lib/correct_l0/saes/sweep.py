"""One sweep of SAEs, with what the rounds of a search have added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from correct_l0.saes.architectures import (
    declared_with,
    read_architecture,
)
from correct_l0.saes.search import L0Search
from correct_l0.saes.sections import L0List, Saes
from correct_l0.settings.base import (
    Count,
    PositiveFloat,
    Section,
    format_l0,
)


class Start(Section):
    """A saved SAE that trainings start from instead of random weights."""

    sae: str
    """Its folder."""

    sha256: str
    """Of the file of its weights."""


class Sweep(Saes):
    """A sweep whose points are known: all of a list, or those of a search's rounds so far."""

    l0: L0List
    """Target L0 of each point."""

    search: L0Search | None = None
    """The search that chooses the points, where the file has no list."""

    rounds: tuple[tuple[PositiveFloat, ...], ...] = ()
    """Of a search: the points that each round added, up to the last that is known."""

    factors: tuple[Count, ...] = ()
    """Of a search: how many times the file's `training_tokens` each round trains on. Those of
    `training` are the last round's, and `l0` are the points that are trained on as many."""

    start: Start | None = None
    """The SAE that all points are trained on from; none: each starts at random."""

    @model_validator(mode="before")
    @classmethod
    def _begin(cls, given: Any) -> Any:
        """Give a search the points of its first round."""
        l0 = given.get("l0") if isinstance(given, Mapping) else None
        if not isinstance(l0, Mapping):
            return given
        whole = declared_with(*read_architecture(given.get("architecture") or {})).whole
        first = L0Search.model_validate(l0).first_points(whole=whole)
        return {**given, "l0": first, "search": l0, "rounds": (first,), "factors": (1,)}

    @property
    def factor(self) -> int:
        """How many times the file's training tokens the points are trained on."""
        return self.factors[-1] if self.factors else 1

    @property
    def spent(self) -> int:
        """Trainings of a search so far, each counted as often as it is long."""
        rounds = zip(self.rounds, self.factors, strict=True)
        return len(self.seeds) * sum(len(added) * factor for added, factor in rounds)

    @property
    def all_points(self) -> list[tuple[str, int]]:
        """Every (L0 label, seed), lowest L0 first."""
        return [(format_l0(l0), seed) for l0 in sorted(self.l0) for seed in self.seeds]

    def point(self, l0: float) -> dict[str, Any]:
        """Return the settings of the SAE at one of the values of `l0`, without its training."""
        start = {} if self.start is None else {"start": self.start.model_dump()}
        return {**super().point(l0), **start}

    def with_rounds(self, rounds: tuple[tuple[float, ...], ...], factors: tuple[int, ...]) -> Sweep:
        """Return the sweep of a search after some rounds: the points as long as the last.

        No curve mixes lengths of training, so that others are left out.
        """
        last = factors[-1]
        of_last = (added for added, each in zip(rounds, factors, strict=True) if each == last)
        tokens = self.training.training_tokens // self.factor * last
        return self.model_copy(
            update={
                "l0": tuple(sorted(l0 for added in of_last for l0 in added)),
                "training": self.training.model_copy(update={"training_tokens": tokens}),
                "rounds": rounds,
                "factors": factors,
            }
        )
