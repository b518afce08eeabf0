"""The exact order statistics and the histogram of a batch's projections, tile by tile.

The projections are never held as a whole. Each tile is counted in the fine histogram, and the
values close to where the order statistics are expected are kept. The histogram of all tiles then
tells which bin holds each order statistic and its rank there; a bin whose count equals the number
of values kept of it is complete, and its sorted values contain the statistic itself. Where the
expectation was wrong, the tiles are made a second time, now with the bins known.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from correct_l0.decoder_metrics.histogram import BINS, Ranks, add_to_bins, fine_bins

MARGIN = 0.12
"""Half the width of what is kept around an order statistic after one tile: the share p of
projections above it is looked for within p +- MARGIN p (1 - p) / sqrt(tiles seen)."""

PRIOR_TILES = 16
"""Tiles of this batch that earlier batches are worth as a guide."""

TILE_CPU, TILE_GPU = 1024, 2048
"""Rows and columns of a tile: the product is as fast as in one piece, and memory small."""

CHUNK_CPU, CHUNK_GPU = 2**18, 2**22
"""Values worked on at a time; on a CPU they and their bins stay in its cache."""


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
        self.product = torch.empty(self.tile**2, dtype=W_dec.dtype, device=W_dec.device)
        self.scaled = torch.empty(self.chunk, dtype=W_dec.dtype, device=W_dec.device)
        self.bins = torch.empty(self.chunk, dtype=torch.int32, device=W_dec.device)
        self.mask = torch.empty(self.chunk, dtype=torch.bool, device=W_dec.device)
        self.second_passes = 0

    def measure(
        self, x: Float[Tensor, "batch d_in"], earlier: Ranks | None = None
    ) -> tuple[list[float], Ranks]:
        """Return s_n^dec for each n, and the ranks of all projections in their fine histogram.

        Parameters
        ----------
        x
            Activations less the decoder's bias, in training units.
        earlier
            Projections of earlier batches, as a guide. The results do not depend on it.

        Raises
        ------
        FloatingPointError
            If a projection is not finite.
        """
        total = len(x) * len(self.W_dec)
        dtype = torch.int32 if total < 2**31 else torch.int64
        counts = torch.zeros(BINS, dtype=dtype, device=x.device)
        wanted = None if earlier is None else self._near(earlier, PRIOR_TILES)
        kept: list[Tensor] = []
        for seen, tile in enumerate(self._tiles(x), start=1):
            if not torch.isfinite(tile.sum()):
                raise FloatingPointError("a projection is not finite")
            look_anew = _is_power_of_four(seen) and (wanted is None or seen >= PRIOR_TILES)
            for chunk in tile.split(self.chunk):
                bins = self._bins(chunk)
                add_to_bins(counts, bins)
                if wanted is not None and not look_anew:
                    kept.append(self._keep(chunk, bins, wanted))
            if wanted is None or look_anew:
                wanted = self._near(Ranks(counts), seen)
                kept += self._sift(tile.split(self.chunk), wanted)
        ranks = Ranks(counts)
        wanted = self._near(ranks, None)
        values = self._values(self._sift(kept, wanted), ranks)
        if values is None:
            self.second_passes += 1
            tiles = (tile.split(self.chunk) for tile in self._tiles(x))
            values = self._values(self._sift(itertools.chain.from_iterable(tiles), wanted), ranks)
        if values is None:
            raise RuntimeError("the same projections came out differently when made again")
        return values, ranks

    def _tiles(self, x: Float[Tensor, "batch d_in"]) -> Iterator[Float[Tensor, " values"]]:
        """Yield the projections in parts, each in the same memory as the one before.

        Each takes every so many tokens and latents, so that the first ones resemble the whole.
        """
        rows, columns = (math.ceil(len(side) / self.tile) for side in (x, self.W_dec))
        for shift, row in itertools.product(range(columns), range(rows)):
            tokens, latents = x[row::rows], self.W_dec[(row + shift) % columns :: columns]
            tile = self.product[: len(tokens) * len(latents)]
            torch.matmul(tokens, latents.T, out=tile.view(len(tokens), len(latents)))
            yield tile

    def _bins(self, values: Float[Tensor, " values"]) -> Int[Tensor, " values"]:
        return fine_bins(values, self.scaled[: len(values)], self.bins[: len(values)])

    def _near(self, guide: Ranks, tiles: int | None) -> Bool[Tensor, " bins"]:
        """Return which bins to keep the values of; without `tiles`, the statistics' own alone."""
        margin = MARGIN / math.sqrt(tiles) if tiles else 0.0
        wanted = np.zeros(BINS, dtype=bool)
        for n in self.n:
            share = n / len(self.W_dec)
            reach = margin * share * (1 - share)
            first = guide.bin_of(min(round((share + reach) * guide.total), guide.total - 1))
            last = guide.bin_of(round((share - reach) * guide.total))
            wanted[first : last + 1] = True
        return torch.from_numpy(wanted).to(self.W_dec.device)

    def _sift(
        self, parts: Iterator[Tensor] | Sequence[Tensor], wanted: Bool[Tensor, " bins"]
    ) -> list[Tensor]:
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


def _is_power_of_four(number: int) -> bool:
    return number & (number - 1) == 0 and number.bit_length() % 2 == 1
