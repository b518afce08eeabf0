"""A single imported SAE, trained on at several L0 around its own: what is asked of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from correct_l0.settings.base import Count, PositiveFloat, Section, Seed, check_unique

FEWEST_STEPS = 10
"""Steps below which nothing moves far enough to be seen."""


class TrainOn(Section):
    """The trainings that start from one imported SAE."""

    kept = True

    training_tokens: Count
    """Tokens that each of the trainings sees. A hundredth of what the SAE itself was trained on is
    what the answer is calibrated for: ten of them then cost a tenth of it."""

    batch_tokens: Count = 4096
    """Tokens per training step; as in the SAE's own training, where that is known."""

    lr: PositiveFloat = 3e-4
    """Learning rate of Adam; as in the SAE's own training, where that is known."""

    factors: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (0.4, 0.63, 1.0, 1.6, 2.5)
    """Target L0 of the trainings, in units of the SAE's own, measured one."""

    seeds: Annotated[tuple[Seed, ...], Field(min_length=2)] = (0, 1)
    """Seeds of the order of the data; each L0 is trained once per seed."""

    @property
    def steps(self) -> int:
        """Steps of each training."""
        return self.training_tokens // self.batch_tokens

    @model_validator(mode="after")
    def _check(self) -> TrainOn:
        check_unique(factors=self.factors, seeds=self.seeds)
        if not min(self.factors) < 1 < max(self.factors):
            raise ValueError(
                f"factors {', '.join(f'{x:g}' for x in self.factors)} are not on both sides of 1; "
                "add one"
            )
        if 1 not in self.factors:
            raise ValueError(
                f"factors {', '.join(f'{x:g}' for x in self.factors)} leave out 1, the training at "
                "the SAE's own L0 that all others are held against; add it"
            )
        if self.steps < FEWEST_STEPS:
            raise ValueError(
                f"training_tokens {self.training_tokens} are {self.steps} steps of "
                f"{self.batch_tokens}, at least {FEWEST_STEPS} are needed; train longer or make "
                "the batch smaller"
            )
        return self
