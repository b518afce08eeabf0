"""A TopK SAE in training: every token keeps the same number of latents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from correct_l0.saes.engine.batchtopk import FusedTrainer
from correct_l0.saes.engine.building import Shared, build_as
from correct_l0.saes.engine.step import StepOptions
from correct_l0.saes.settings import SaeSettings


class TopKTrainer(FusedTrainer):
    """Trains one TopK SAE."""

    def details(self, l0: float | None) -> dict[str, Any]:
        """Return what SAELens notes about the training of such an SAE, which ended at this L0."""
        # What the inference form says itself is left out there: k, and that norms are folded in.
        details = self._shared_details()
        del details["rescale_acts_by_decoder_norm"]
        return details

    def _options(self, sae_in: Float[Tensor, "batch d_in"], l0: float) -> StepOptions:
        return replace(super()._options(sae_in, l0), per_token=int(l0))


def build(settings: SaeSettings, d_in: int, seed: int, device: str, shared: Shared) -> Any:
    """Return a TopK trainer; see `building.build_as`."""
    if settings.training.by_sparsify:
        from correct_l0.saes.engine.sparsify import SparsifyTrainer

        return SparsifyTrainer(settings, d_in, seed, device)
    return build_as(TopKTrainer, settings, d_in, seed, device, shared)
