"""An engine with one SAE in training, and where it starts."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any, Protocol

from jaxtyping import Float
from torch import Tensor

from correct_l0.saes.engine.batchtopk import Losses
from correct_l0.saes.engine.state import copy_exactly
from correct_l0.saes.engine.weights import Weights
from correct_l0.saes.engine.workspace import Workspace
from correct_l0.saes.settings import SaeSettings
from correct_l0.saes.training.start import start_from


class Trainer(Protocol):
    """An engine with one SAE in training."""

    @property
    def weights(self) -> Weights:
        """The SAE, in training units."""

    @property
    def threshold(self) -> Float[Tensor, " d_sae"]:
        """Pre-activations above which latents are active, where they are learnt."""

    @property
    def n_steps(self) -> int:
        """Steps done."""

    @property
    def offset(self) -> float | Float[Tensor, ""]:
        """How far the penalty's aim is off the target L0, where thresholds are learnt."""

    def start_at(self, threshold: Float[Tensor, " trained"], offset: float | None = None) -> None:
        """Take up the thresholds of a saved SAE, in training units, where it learns any.

        Latents after these keep those of new ones. `offset` is that of its aim, if the L0 is its
        own; unset: the L0 is another one.
        """

    def step(self, sae_in: Float[Tensor, "batch d_in"], l0: float | None = None) -> Losses:
        """Train on a batch in training units, at a target L0."""

    def details(self, l0: float | None) -> dict[str, Any]:
        """Return what SAELens notes about the training of such an SAE, which ended at this L0."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""


def build_trainer(
    settings: SaeSettings,
    d_in: int,
    seed: int,
    device: str = "cpu",
    shared: dict[int, Workspace] | None = None,
    start: Weights | None = None,
    scale: float = 1.0,
) -> Trainer:
    """Return a trainer at step 0. Its weights are a function of the seed, not of L0, or `start`.

    Trainers that take turns on one device can share memory: `shared`, by number of latents. `scale`
    is the factor from raw activations to training units, for an SAE that is trained on.
    """
    build = resolve_name(settings.declared.trainer)
    trainer: Trainer = build(settings, d_in, seed, device, {} if shared is None else shared)
    if start is not None:
        for value, given in zip(trainer.weights, start, strict=True):
            copy_exactly(value, given)
    elif settings.start is not None:
        start_from(trainer, settings.start, scale)
    return trainer
