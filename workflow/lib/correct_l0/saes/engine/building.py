"""Trainers at step 0, of whatever engine the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.jobs.kernels import why_not_compiled
from correct_l0.saes.engine.weights import Weights, initial_weights
from correct_l0.saes.engine.workspace import Gradients, Workspace
from correct_l0.saes.settings import SaeSettings

if TYPE_CHECKING:
    from correct_l0.saes.engine.batchtopk import FusedTrainer

Shared = dict[int, Workspace]
"""Memory by number of latents, for trainers that take turns on one device."""


def build_as(
    kind: type[FusedTrainer],
    settings: SaeSettings,
    d_in: int,
    seed: int,
    device: str,
    shared: Shared,
) -> Any:
    """Return the trainer that the settings ask for, at step 0.

    Parameters
    ----------
    kind
        The trainer of the fused engine.
    settings, seed
        Of the point.
    d_in
        Width of the activations.
    device
        `cpu` or `cuda`.
    shared
        Memory that trainers share.

    Raises
    ------
    InputError
        Where the SAE is trained on a GPU whose kernels cannot be compiled.
    """
    if settings.training.engine == "saelens":
        from correct_l0.saes.engine.saelens import SaelensTrainer

        return SaelensTrainer(settings, d_in, seed, device)
    initial = initial_weights(d_in, settings.d_sae, seed)
    weights = Weights(*(value.to(device) for value in initial))
    if device != "cpu":
        try_kernels(torch.zeros_like(weights.b_dec))
    if settings.d_sae not in shared:
        shared[settings.d_sae] = Workspace(Gradients.empty_like(weights.W_enc, weights.W_dec))
    return kind(settings, weights, shared[settings.d_sae])


def try_kernels(zeros: Float[Tensor, " n"]) -> None:
    """Run one of the GPU's kernels on zeros.

    Raises
    ------
    InputError
        If it cannot be compiled: Triton is missing, or what it needs.
    """

    def trial() -> None:
        from correct_l0.saes.engine import device_adam

        state = ([zeros], [zeros], [zeros.clone()], [zeros.clone()])
        device_adam.update(*state, zeros.new_ones(()), 1, 0.0, (0.9, 0.999), 1e-8)

    if why := why_not_compiled(trial):
        raise InputError(
            f"the GPU's kernels do not compile ({why}); engine fused needs Triton, which torch's "
            "CUDA builds bring along, on the node a C compiler and Python's headers (gcc, "
            "python3-dev), and a folder that can be written, ~/.triton unless TRITON_CACHE_DIR "
            "names another: mend what is missing, or use engine saelens"
        )
