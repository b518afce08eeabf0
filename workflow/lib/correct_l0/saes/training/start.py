"""Trainings that start from a saved SAE instead of random weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import sha256_of
from correct_l0.saes.engine.weights import Weights, initial_decoder
from correct_l0.saes.saved import SavedSae, load_saved_sae
from correct_l0.saes.settings import SaeSettings
from correct_l0.saes.sweep import Start

if TYPE_CHECKING:
    from correct_l0.saes.training.trainer import Trainer

UNIT = 1e-3
"""Largest distance of a decoder row's norm from 1 that counts as 1."""


def weights_of(
    sae: SavedSae, scale: float, norms: Float[Tensor, " d_sae"] | None = None
) -> Weights:
    """Return the weights, in training units, of an SAE on raw activations: `result.fold` undone.

    Parameters
    ----------
    sae
        Its decoder's rows have unit norm.
    scale
        Factor from raw activations to training units.
    norms
        Norms that the rows had in training, in units of raw activations (`decoder_norms.npy`).
        Unset, as of imported SAEs: 1 in training units.

    Raises
    ------
    InputError
        If decoder rows have other norms: which latents are kept depends on them there, and not in
        this project's trainers.

    Examples
    --------
    >>> import torch
    >>> one = torch.tensor([[1.0]])
    >>> sae = SavedSae(4 * one, torch.tensor([2.0]), one, torch.tensor([3.0]), torch.zeros(1))
    >>> weights_of(sae, scale=2.0)
    Weights(b_dec=tensor([6.]), W_dec=tensor([[1.]]), W_enc=tensor([[4.]]), b_enc=tensor([4.]))
    >>> weights_of(sae, scale=2.0, norms=torch.tensor([2.0]))[1:]
    (tensor([[4.]]), tensor([[1.]]), tensor([1.]))
    """
    saved = sae.W_dec.norm(dim=1)
    if bool((saved - 1).abs().max() > UNIT):
        raise InputError(
            f"decoder rows have norms of {saved.min():.3g} to {saved.max():.3g}, and which latents "
            "are kept depends on them; only SAEs whose rows have norm 1 are trained on"
        )
    b_dec, b_enc = sae.b_dec * scale, sae.b_enc * scale
    if not sae.apply_b_dec_to_input:
        b_enc = b_enc + b_dec @ sae.W_enc
    if norms is None:
        return Weights(b_dec, sae.W_dec, sae.W_enc, b_enc)
    sizes = scale * norms.to(sae.W_dec).clamp(min=1e-8)
    return Weights(b_dec, sae.W_dec * sizes[:, None], sae.W_enc / sizes, b_enc / sizes)


def thresholds_of(
    sae: SavedSae, scale: float, norms: Float[Tensor, " d_sae"] | None = None
) -> Float[Tensor, " d_sae"]:
    """Return the thresholds in training units; parameters as in `weights_of`.

    Examples
    --------
    >>> import torch
    >>> one = torch.tensor([[1.0]])
    >>> sae = SavedSae(one, torch.zeros(1), one, torch.zeros(1), torch.tensor([3.0]))
    >>> thresholds_of(sae, scale=2.0), thresholds_of(sae, scale=2.0, norms=torch.tensor([1.5]))
    (tensor([6.]), tensor([2.]))
    """
    if norms is None:
        return sae.threshold * scale
    return sae.threshold / norms.to(sae.W_dec).clamp(min=1e-8)


def start_from(trainer: Trainer, start: Start, scale: float) -> None:
    """Give a trainer at step 0 the weights of a saved SAE, and its thresholds where it has any.

    Raises
    ------
    InputError
        If the SAE is not the one that is meant, or is not usable.
    """
    sae = open_start(start)
    for value, given in zip(trainer.weights, weights_of(sae, scale), strict=True):
        value.copy_(given)
    trainer.start_at(thresholds_of(sae, scale))


def open_start(start: Start) -> SavedSae:
    """Return the SAE that a training starts from.

    Raises
    ------
    InputError
        If it is missing or another one than is meant.
    """
    path = Path(start.sae) / "sae_weights.safetensors"
    if not path.exists() or sha256_of(path) != start.sha256:
        raise InputError(f"{path}: not the SAE that this training starts from; run again")
    return load_saved_sae(start.sae)


def decoder_at_start(d_in: int, settings: SaeSettings, seed: int) -> Float[Tensor, "d_sae d_in"]:
    """Return the decoder that a training starts with; its norms are no matter."""
    if settings.start is not None:
        return open_start(settings.start).W_dec
    if settings.training.by_sparsify:
        from correct_l0.saes.engine.sparsify import initial_coder

        decoder: Tensor = initial_coder(d_in, settings, seed).W_dec.detach()
        return decoder
    return initial_decoder(d_in, settings.d_sae, seed)
