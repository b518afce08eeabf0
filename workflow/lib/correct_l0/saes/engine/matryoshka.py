"""A Matryoshka BatchTopK SAE in training: a BatchTopK SAE with nested losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from correct_l0.saes.architectures.matryoshka_batchtopk import MatryoshkaBatchTopK
from correct_l0.saes.engine.batchtopk import FusedTrainer
from correct_l0.saes.engine.building import Shared, build_as
from correct_l0.saes.engine.nested import Levels
from correct_l0.saes.engine.step import StepOptions
from correct_l0.saes.settings import SaeSettings


class MatryoshkaTrainer(FusedTrainer):
    """Trains one Matryoshka BatchTopK SAE."""

    def details(self, l0: float | None) -> dict[str, Any]:
        """Return what SAELens notes about the training of such an SAE, which ended at this L0.

        SAELens has no weights of the levels; they are beside what it has.
        """
        options = self._own
        weights = {"inner_weights": list(options.inner_weights)} if options.inner_weights else {}
        return {**super().details(l0), **options.saelens(self.settings.d_sae), **weights}

    @property
    def _own(self) -> MatryoshkaBatchTopK:
        options = self.settings.options
        assert isinstance(options, MatryoshkaBatchTopK)
        return options

    def _options(self, sae_in: Float[Tensor, "batch d_in"], l0: float) -> StepOptions:
        options, d_sae = self._own, self.settings.d_sae
        weights = options.inner_weights or (1.0,) * len(options.prefixes)
        levels = Levels(
            (*options.prefixes_of(d_sae), d_sae), (*weights, 1.0), options.use_matryoshka_aux_loss
        )
        return replace(super()._options(sae_in, l0), levels=levels)


def build(settings: SaeSettings, d_in: int, seed: int, device: str, shared: Shared) -> Any:
    """Return a Matryoshka BatchTopK trainer; see `building.build_as`."""
    return build_as(MatryoshkaTrainer, settings, d_in, seed, device, shared)
