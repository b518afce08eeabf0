"""What a finished SAE is and does: sparsity, reconstruction and dead latents on held-out tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

CHUNK_TOKENS = 4096


class Codes(Protocol):
    """An SAE in use."""

    @property
    def d_sae(self) -> int:
        """Number of latents."""

    def encode(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_sae"]:
        """Return latent activations."""

    def decode(self, acts: Float[Tensor, "batch d_sae"]) -> Float[Tensor, "batch d_in"]:
        """Return the reconstruction."""


class HeldOut(Protocol):
    """Held-out activations of a store."""

    n_held_out: int

    def held_out(self, start: int, stop: int) -> Any:
        """Return rows start to stop, float32, shape (stop - start, d_in)."""


def held_out_chunks(
    store: HeldOut, part: int, device: str = "cpu"
) -> Iterator[Float[Tensor, "chunk d_in"]]:
    """Yield every second chunk of the held-out rows: one part calibrates, the other measures.

    A chunk has `CHUNK_TOKENS` rows, fewer where both parts would not have one.

    Parameters
    ----------
    store
        Has at least two held-out rows.
    part
        0 for the first, third, ... chunk, 1 for the others.
    device
        Where the chunks go.
    """
    size = min(CHUNK_TOKENS, (store.n_held_out + 1) // 2)
    for start in range(part * size, store.n_held_out, 2 * size):
        rows = store.held_out(start, min(start + size, store.n_held_out))
        yield torch.as_tensor(rows).to(device)


@torch.no_grad()
def measure(sae: Codes, chunks: Iterable[Float[Tensor, "chunk d_in"]], scale: float) -> dict:
    """Return what an inference SAE does on raw activations.

    Parameters
    ----------
    sae
        The SAE, on the device of the chunks.
    chunks
        Raw activations.
    scale
        Factor from raw activations to training units.

    Returns
    -------
    dict
        `l0_measured` (mean active latents per token); `mse` (squared error per token, summed over
        d_in, training units); `fvu` (squared error over the squared distance from the mean);
        `dead_latents` and `dead_fraction` (never active on these tokens); `evaluated_tokens`.

    Examples
    --------
    >>> from correct_l0.saes.saved import SavedSae
    >>> one, zero = torch.eye(2), torch.zeros(2)
    >>> sae = SavedSae(one, zero, one, zero, threshold=zero)
    >>> found = measure(sae, [torch.tensor([[3.0, -4.0], [1.0, 0.0]])], scale=0.5)
    >>> found["l0_measured"], found["dead_latents"], found["mse"], found["fvu"]
    (1.0, 1, 2.0, 1.6)
    """
    active = error = squares = 0.0
    total: Tensor | None = None
    tokens = 0
    fired = torch.zeros(sae.d_sae, dtype=torch.bool)
    for x in chunks:
        acts = sae.encode(x)
        error += (sae.decode(acts) - x).square().sum(dtype=torch.float64).item()
        active += torch.count_nonzero(acts).item()
        fired |= (acts != 0).any(0).cpu()
        wide = x.to(torch.float64)
        squares += wide.square().sum().item()
        total = wide.sum(0) if total is None else total + wide.sum(0)
        tokens += len(x)
    if total is None:
        raise ValueError("no held-out tokens to measure on")
    variance = squares - total.square().sum().item() / tokens
    dead = int((~fired).sum())
    return {
        "l0_measured": active / tokens,
        "mse": error * scale**2 / tokens,
        "fvu": error / variance,
        "dead_latents": dead,
        "dead_fraction": dead / sae.d_sae,
        "evaluated_tokens": tokens,
    }


def row_cosines(
    rows: Float[Tensor, "n width"], others: Float[Tensor, "n width"]
) -> Float[Tensor, " n"]:
    """Return the cosine of each row with the row of the same index.

    Examples
    --------
    >>> row_cosines(torch.tensor([[1.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 2.0], [3.0, 4.0]]))
    tensor([0., 1.])
    """
    return torch.nn.functional.cosine_similarity(rows, others, dim=-1)


def quantiles(values: Float[Tensor, " n"]) -> dict[str, float]:
    """Return the 5, 25, 50, 75 and 95% quantiles by name."""
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    found = torch.quantile(values.double(), torch.tensor(levels, dtype=torch.float64)).tolist()
    return {f"{level:g}": value for level, value in zip(levels, found, strict=True)}


def loss_slope(losses: Float[Tensor, " steps"]) -> float:
    """Return the relative fall of the loss from the last but one tenth of training to the last.

    Near 0: nothing more is learnt; 0.05: the loss still fell by 5%. Zero below two steps.

    Examples
    --------
    >>> loss_slope(torch.tensor([10.0, 8.0, 6.0]))
    0.25
    """
    size = max(1, len(losses) // 10)
    last, before = losses[-size:].double().mean(), losses[-2 * size : -size].double()
    if not len(before):
        return 0.0
    return (1 - last / before.mean()).item()
