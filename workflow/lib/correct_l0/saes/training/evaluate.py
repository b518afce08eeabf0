"""What a finished SAE is and does: sparsity, reconstruction and dead latents on held-out tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.jobs.beside import to_device

CHUNK_TOKENS = 4096
PIECE = 2**18
"""Values of a decoder that are looked at together: those that a processor's cache holds."""


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
        yield to_device(torch.as_tensor(rows), device)


@torch.no_grad()
def measure(
    sae: Codes,
    chunks: Iterable[Float[Tensor, "chunk d_in"]],
    scale: float,
    outlying: Outlying | None = None,
) -> dict:
    """Return what an inference SAE does on raw activations.

    Parameters
    ----------
    sae
        The SAE, on the device of the chunks.
    chunks
        Raw activations.
    scale
        Factor from raw activations to training units.
    outlying
        What is known of outlying rows, where the source has any.

    Returns
    -------
    dict
        `l0_measured` (mean active latents per token); `mse` (squared error per token, summed over
        d_in, training units); `fvu` (squared error over the squared distance from the mean);
        `dead_latents` and `dead_fraction` (never active on these tokens); `evaluated_tokens`. With
        outlying rows `fvu_ordinary` and `fvu_outlying`, of either group of rows, both over the
        squared distance from the mean of the ordinary ones, and `outlying_tokens`.

    Examples
    --------
    >>> from correct_l0.saes.saved import SavedSae
    >>> one, zero = torch.eye(2), torch.zeros(2)
    >>> sae = SavedSae(one, zero, one, zero, threshold=zero)
    >>> found = measure(sae, [torch.tensor([[3.0, -4.0], [1.0, 0.0]])], scale=0.5)
    >>> found["l0_measured"], found["dead_latents"], found["mse"], found["fvu"]
    (1.0, 1, 2.0, 1.6)
    """
    sums: list[Tensor] = []
    tokens = 0
    groups = None if outlying is None else RowGroups(outlying.limit)
    for x in chunks:
        acts = sae.encode(x)
        errors = (sae.decode(acts) - x).square()
        if groups is not None:
            groups.add(x, errors)
        wide = x.to(torch.float64)
        # They stay on the device, so that no chunk is waited for; of truths the sum is "any".
        of_chunk = [
            errors.sum(dtype=torch.float64),
            torch.count_nonzero(acts),
            wide.square().sum(),
            wide.sum(0),
            (acts != 0).any(0),
        ]
        sums = [a + b for a, b in zip(sums, of_chunk, strict=True)] if sums else of_chunk
        tokens += len(x)
    if not sums:
        raise ValueError("no held-out tokens to measure on")
    error, active, squares = (value.item() for value in sums[:3])
    total, fired = sums[3:]
    variance = squares - total.square().sum().item() / tokens
    dead = int((~fired).sum())
    by_group = {}
    if groups is not None and outlying is not None:
        aside = outlying.aside
        groups.add(aside, (sae.decode(sae.encode(aside)) - aside).square())
        by_group = groups.facts()
    return {
        "l0_measured": active / tokens,
        "mse": error * scale**2 / tokens,
        "fvu": error / variance,
        "dead_latents": dead,
        "dead_fraction": dead / sae.d_sae,
        "evaluated_tokens": tokens,
        **by_group,
    }


class Outlying(NamedTuple):
    """Outlying rows of a source: the norm above which a row is one, and held-out ones left out."""

    limit: float
    aside: Float[Tensor, "rows d_in"]


class RowGroups:
    """Squared errors of ordinary and of outlying rows.

    Parameters
    ----------
    limit
        The norm above which a row is outlying.

    Examples
    --------
    Ordinary rows 1 and 3 have mean 2, one away from either; an outlying 102 is 100 away:

    >>> groups = RowGroups(limit=50.0)
    >>> groups.add(torch.tensor([[1.0], [3.0], [102.0]]), torch.tensor([[0.5], [0.5], [2500.0]]))
    >>> groups.facts()
    {'fvu_ordinary': 0.5, 'fvu_outlying': 0.25, 'outlying_tokens': 1}
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._rows = [0, 0]
        self._errors, self._squares = [0.0, 0.0], [0.0, 0.0]
        self._sums: list[Any] = [0.0, 0.0]

    def add(self, x: Float[Tensor, "rows d_in"], errors: Float[Tensor, "rows d_in"]) -> None:
        """Add rows, and the squared error of each value."""
        far = x.norm(dim=1) > self._limit
        for group, chosen in enumerate((~far, far)):
            wide = x[chosen].double()
            self._rows[group] += len(wide)
            self._errors[group] += errors[chosen].sum(dtype=torch.float64).item()
            self._squares[group] += wide.square().sum().item()
            self._sums[group] = self._sums[group] + wide.sum(0)

    def facts(self) -> dict[str, Any]:
        """Return the share of the squared distance that is left, of both groups."""
        centre = self._sums[0] / self._rows[0]

        def fvu(group: int) -> float | None:
            if not self._rows[group]:
                return None
            cross = (centre * self._sums[group]).sum().item()
            distance = self._rows[group] * centre.square().sum().item() - 2 * cross
            return self._errors[group] / (self._squares[group] + distance)

        return {
            "fvu_ordinary": fvu(0),
            "fvu_outlying": fvu(1),
            "outlying_tokens": self._rows[1],
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
    pieces = max(1, rows.numel() // PIECE)
    pairs = zip(rows.tensor_split(pieces), others.tensor_split(pieces), strict=True)
    return torch.cat([torch.nn.functional.cosine_similarity(*pair, dim=-1) for pair in pairs])


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
