"""The exact order statistics and the histogram of a batch's projections, tile by tile.

Each tile is counted in the fine histogram. The histogram of all tiles tells which bin holds each
order statistic and its rank there, and the sorted values of that bin contain the statistic itself.
The first tiles are held until then. Of the others, only values close to where the first ones say
that the order statistics will be are kept; a bin whose count is the number of its values at hand is
complete. Where one is not, the tiles are made a second time, now with the bins known.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from correct_l0.metrics.decoder.histogram import BINS, Ranks, add_to_bins, fine_bins

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

TILE_CPU, TILE_GPU = 1024, 2048
"""Rows and columns of a tile: the product is as fast as in one piece, and memory small."""

CHUNK_CPU, CHUNK_GPU = 2**17, 2**22
"""Values worked on at a time; on a CPU they and their bins stay in its cache."""

HELD = 8 * 2**20
"""Projections held, 34 MB."""

MARGIN = 120.0
"""Half the width of what is kept around an order statistic, after s projections: the share p of
projections above it is looked for within p +- MARGIN p (1 - p) / sqrt(s)."""


class ProjectionStream:
    """Projects batches on a decoder and returns exact order statistics and histograms.

    Examples
    --------
    Z of two tokens and three latents is 6, 1, 4 and 2, 5, 3; s_n^dec for n = 1 is at index 1 * 2
    of 6, 5, 4, 3, 2, 1.

    >>> stream = ProjectionStream(torch.tensor([[6.0, 2.0], [1.0, 5.0], [4.0, 3.0]]), [1])
    >>> values, ranks = stream.measure(torch.eye(2))
    >>> values, ranks.total
    ([4.0], 6)
    """

    def __init__(self, W_dec: Float[Tensor, "d_sae d_in"], n: Sequence[int]) -> None:
        self.W_dec = W_dec
        self.n = n
        self.tile = TILE_GPU if W_dec.is_cuda else TILE_CPU
        self.chunk = CHUNK_GPU if W_dec.is_cuda else CHUNK_CPU
        self.held = HELD // self.tile**2
        self.scaled = torch.empty(self.chunk, dtype=W_dec.dtype, device=W_dec.device)
        self.bins = torch.empty(self.chunk, dtype=torch.int32, device=W_dec.device)
        self.mask = torch.empty(self.chunk, dtype=torch.bool, device=W_dec.device)
        self.products: list[Tensor] = []
        self.second_passes = 0

    def each(
        self, batches: Iterable[Float[Tensor, "batch d_in"]]
    ) -> Iterator[tuple[int, list[float], Ranks]]:
        """Yield the number of tokens of each batch, and what `measure` returns of it."""
        for x in batches:
            yield len(x), *self.measure(x)

    def measure(self, x: Float[Tensor, "batch d_in"]) -> tuple[list[float], Ranks]:
        """Return s_n^dec for each n, and the ranks of all projections in their fine histogram.

        Parameters
        ----------
        x
            Activations less the decoder's bias, in training units.

        Raises
        ------
        FloatingPointError
            If a projection is not finite.
        """
        if not torch.isfinite(torch.linalg.vector_norm(x)):
            raise FloatingPointError("a projection is not finite")
        kept, counts = self._first_pass(x)
        ranks = Ranks(counts)
        values = self._values(self._sift(kept, self._near(ranks, 0.0)), ranks)
        return self.second_pass(x, ranks) if values is None else values, ranks

    def second_pass(self, x: Float[Tensor, "batch d_in"], ranks: Ranks) -> list[float]:
        """Return s_n^dec for each n of a batch whose histogram is known, from its tiles anew."""
        self.second_passes += 1
        values = self._values(self._in_bins(x, ranks), ranks)
        if values is None:
            raise RuntimeError("the same projections came out differently when made again")
        return values

    def _in_bins(
        self, x: Float[Tensor, "batch d_in"], ranks: Ranks
    ) -> list[Float[Tensor, " found"]]:
        """Return a batch's projections in the bins of its order statistics, made anew."""
        chunks = (chunk for tile in self._tiles(x) for chunk in tile.split(self.chunk))
        return self._sift(chunks, self._near(ranks, 0.0))

    def _first_pass(
        self, x: Float[Tensor, "batch d_in"]
    ) -> tuple[list[Tensor], Int[Tensor, " bins"]]:
        """Return the values that may be order statistics, and the histogram of all."""
        # Smaller counters keep more of the histogram in a CPU's cache.
        dtype = torch.int32 if len(x) * len(self.W_dec) < 2**31 else torch.int64
        counts = torch.zeros(BINS, dtype=dtype, device=x.device)
        wanted: Tensor | None = None
        kept: list[Tensor] = []
        seen = 0
        for made, tile in enumerate(self._tiles(x), start=1):
            if made > self.held and (wanted is None or _is_power_of_two(made)):
                wanted = self._near(Ranks(counts), MARGIN / math.sqrt(seen))
            for chunk in tile.split(self.chunk):
                bins = self._bins(chunk)
                add_to_bins(counts, bins)
                kept.append(chunk if wanted is None else self._keep(chunk, bins, wanted))
            seen += len(tile)
        return kept, counts

    def _tiles(self, x: Float[Tensor, "batch d_in"]) -> Iterator[Float[Tensor, " values"]]:
        """Yield the projections in parts; those beyond the ones held share their memory.

        Each takes every so many tokens and latents, so that the first ones resemble the whole.
        """
        rows, columns = (math.ceil(len(side) / self.tile) for side in (x, self.W_dec))
        for made, (shift, row) in enumerate(itertools.product(range(columns), range(rows))):
            tokens, latents = x[row::rows], self.W_dec[(row + shift) % columns :: columns]
            if len(self.products) <= min(made, self.held):
                self.products.append(self.W_dec.new_empty(self.tile**2))
            product = self.products[min(made, self.held)][: len(tokens) * len(latents)]
            torch.matmul(tokens, latents.T, out=product.view(len(tokens), len(latents)))
            yield product

    def _bins(self, values: Float[Tensor, " values"]) -> Int[Tensor, " values"]:
        return fine_bins(values, self.scaled[: len(values)], self.bins[: len(values)])

    def _near(self, guide: Ranks, margin: float) -> Bool[Tensor, " bins"]:
        """Return which bins to keep the values of: those of the order statistics, and around."""
        wanted = np.zeros(BINS, dtype=bool)
        for n in self.n:
            share = n / len(self.W_dec)
            reach = margin * share * (1 - share)
            first = guide.bin_of(min(round((share + reach) * guide.total), guide.total - 1))
            last = guide.bin_of(round((share - reach) * guide.total))
            wanted[first : last + 1] = True
        return torch.from_numpy(wanted).to(self.W_dec.device)

    def _sift(self, parts: Iterable[Tensor], wanted: Bool[Tensor, " bins"]) -> list[Tensor]:
        return [self._keep(part, self._bins(part), wanted) for part in parts]

    def _keep(
        self,
        values: Float[Tensor, " values"],
        bins: Int[Tensor, " values"],
        wanted: Bool[Tensor, " bins"],
    ) -> Float[Tensor, " kept"]:
        mask = torch.index_select(wanted, 0, bins, out=self.mask[: len(bins)])
        if mask.is_cuda:
            return torch.masked_select(values, mask)
        # numpy skips what is masked several values at a time, torch does not.
        return torch.from_numpy(values.numpy()[mask.numpy()])

    def _values(self, kept: Sequence[Tensor], ranks: Ranks) -> list[float] | None:
        """Return the order statistics, or None where not all values of their bins were kept."""
        ordered = torch.cat(list(kept)).sort().values
        bins = fine_bins(ordered).cpu().numpy()
        found = []
        for n in self.n:
            rank = n * ranks.total // len(self.W_dec)
            index = ranks.bin_of(rank)
            start, stop = np.searchsorted(bins, [index, index + 1])
            if stop - start != ranks.counts[index]:
                return None
            position = int(start) + ranks.total - 1 - rank - ranks.below(index)
            found.append(float(ordered[position]))
        return found


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0
