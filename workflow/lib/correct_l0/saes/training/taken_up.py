"""A finished SAE taken up again: its weights as they were trained, and steps from there.

The first and second moments of Adam are not kept with a finished SAE; they start anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from correct_l0.saes.engine.batchtopk import Weights
from correct_l0.saes.saved import SavedSae
from correct_l0.saes.training.train import Batches, Run


def unfold(sae: SavedSae, norms: Float[Tensor, " d_sae"], scale: float) -> Weights:
    """Return the weights, in training units, that `result.fold` made a saved SAE of.

    Parameters
    ----------
    sae
        Saved, with decoder rows of unit norm.
    norms
        Norms that the rows had, in units of raw activations (`decoder_norms.npy`).
    scale
        Factor from raw activations to training units.

    Examples
    --------
    >>> import torch
    >>> from correct_l0.saes.training.result import fold
    >>> weights = Weights(*map(torch.tensor, ([6.0], [[4.0]], [[5.0]], [1.0])))
    >>> unfold(fold(weights, scale=2.0), torch.tensor([2.0]), scale=2.0)
    Weights(b_dec=tensor([6.]), W_dec=tensor([[4.]]), W_enc=tensor([[5.]]), b_enc=tensor([1.]))
    """
    sizes = norms.to(sae.W_dec).clamp(min=1e-8)
    encoder = (sae.W_enc.T / (scale * sizes[:, None])).contiguous()
    return Weights(
        b_dec=sae.b_dec * scale,
        W_dec=sae.W_dec * (scale * sizes[:, None]),
        # In the layout of the engine's own.
        W_enc=encoder.T,
        b_enc=sae.b_enc / sizes,
    )


class Later:
    """Batches of a stream from some step on.

    Parameters
    ----------
    batches
        The stream.
    first
        Its step that comes first.
    """

    def __init__(self, batches: Batches, first: int) -> None:
        self._batches, self._first = batches, first

    def batch(self, step: int) -> Float[Tensor, "batch d_in"]:
        """Return the batch of one step."""
        return self._batches.batch(self._first + step)


def train_on(runs: Sequence[Run], batches: Batches, scale: float, device: str) -> None:
    """Train SAEs to the end of their steps, all on the same batches.

    Parameters
    ----------
    runs
        The SAEs, of one number of steps.
    batches
        Raw rows by step.
    scale
        Factor from raw activations to training units.
    device
        Where they are trained.

    Raises
    ------
    InputError
        If a loss is not finite.
    """
    while not runs[0].ended:
        sae_in = batches.batch(runs[0].step).to(device) * scale
        for run in runs:
            run.train_step(sae_in, batches)
