"""The exact order statistics of a batch's projections on a GPU that never waits for the host.

As in `streaming`, values near the order statistics are kept, here in memory whose size is known
beforehand: the projections of some tokens say where that is. Then each tile is read once after its
product: a kernel counts every value in the fine histogram and keeps those near, in the order in
which its programs happen to reach them. What is kept is sorted, and counts are whole numbers, so
that no order shows. Whether all values of an order statistic's bin were kept is known when a
batch's numbers reach the host, behind the next batch; only where they were not is the batch
projected once more, and waited for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from correct_l0.jobs.beside import one_behind, to_device, to_host
from correct_l0.metrics.decoder.histogram import BINS, Ranks, fine_bins
from correct_l0.metrics.decoder.sifting import Found, sift
from correct_l0.metrics.decoder.streaming import ProjectionStream

if TYPE_CHECKING:
    from jaxtyping import Float, Int

KEPT = 16
"""Of this many projections one is kept at most."""

FILLED = 0.5
"""Share of that room that ranges are made for: more may lie in them than was expected."""

IN_BINS = 512
"""The same for the bins of the order statistics themselves, each 2^-14 of a unit wide."""

FEWEST = 2**24
"""A batch of fewer projections has the room of one that has this many."""

PILOT, LARGEST = 256, 64
"""Tokens that say where the order statistics will be, and how many of these have largest norm."""

COPIES = 4
"""Histograms that programs take turns to count in: fewer wait for the same counter."""


class DeviceRanks:
    """Where the values of one histogram stand in their order; see `histogram.Ranks`.

    Parameters
    ----------
    counts
        The histogram.
    total
        Its sum.
    """

    def __init__(self, counts: Int[Tensor, " bins"], total: int) -> None:
        self.counts, self.total = counts, total
        self._up_to = counts.cumsum(0)

    def bin_of(self, ranks: Int[Tensor, " ranks"]) -> Int[Tensor, " ranks"]:
        """Return the bins that hold the values at 0-based ranks in descending order."""
        return torch.searchsorted(self._up_to, self.total - 1 - ranks, right=True)

    def below(self, bins: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Return the number of values in the bins before each of these."""
        return self._up_to[bins] - self.counts[bins]


class DeviceStream(ProjectionStream):
    """Projects batches on a decoder; see `streaming.ProjectionStream`."""

    def __init__(self, W_dec: Float[Tensor, "d_sae d_in"], n: Sequence[int]) -> None:
        super().__init__(W_dec, n)
        self.held = 0
        self.n_on_device = torch.tensor(list(n), device=W_dec.device)

    def each(
        self, batches: Iterable[Float[Tensor, "batch d_in"]]
    ) -> Iterator[tuple[int, list[float], Ranks]]:
        """Yield the same as `ProjectionStream.each`, one batch behind what the device is at."""
        for size, launched in one_behind((len(x), self.launch(x)) for x in batches):
            yield size, *launched.settle()

    def measure(self, x: Float[Tensor, "batch d_in"]) -> tuple[list[float], Ranks]:
        """Return s_n^dec for each n, and the ranks of all projections; waits for the device."""
        return self.launch(x).settle()

    def launch(self, x: Float[Tensor, "batch d_in"]) -> Launched:
        """Have a batch measured.

        Parameters
        ----------
        x
            Activations less the decoder's bias, in training units.
        """
        finite = torch.isfinite(torch.linalg.vector_norm(x))
        total = len(x) * len(self.W_dec)
        near, inside = (
            Found(min(total, max(FEWEST, total) // share), x.device) for share in (KEPT, IN_BINS)
        )
        counts = self._one_pass(torch.where(finite, x, 0.0), near)
        ranks = DeviceRanks(counts, total)
        bins = ranks.bin_of(self.n_on_device * len(x))
        sift(near.values, near.count, edges=torch.stack((bins, bins), 1).int(), found=inside)
        there = torch.arange(len(inside.values), device=x.device) < inside.count
        ordered = torch.where(there, inside.values, torch.inf).sort()[0]
        places = torch.where(there, fine_bins(ordered), BINS)
        start, stop = (torch.searchsorted(places, bins, right=right) for right in (False, True))
        complete = (stop - start == counts[bins]).all()
        # Which values had no room is a matter of chance: whether it did any harm is not asked.
        complete &= (near.count <= len(near.values)) & (inside.count <= len(inside.values))
        position = start + total - 1 - self.n_on_device * len(x) - ranks.below(bins)
        values = ordered[position.clamp(0, len(ordered) - 1)].double()
        facts = torch.stack([fact.double() for fact in (near.count, complete, finite)])
        return Launched(self, x, near.values, torch.cat((values, facts)), counts)

    def again(
        self, x: Float[Tensor, "batch d_in"], near: Float[Tensor, " room"], found: int, ranks: Ranks
    ) -> list[float]:
        """Return s_n^dec for each n where the bins held more than was sorted on the way."""
        values = self._values([near[:found]], ranks) if found <= len(near) else None
        return self.second_pass(x, ranks) if values is None else values

    def _in_bins(
        self, x: Float[Tensor, "batch d_in"], ranks: Ranks
    ) -> list[Float[Tensor, " found"]]:
        """Return the same as `ProjectionStream._in_bins`; waits once, for the last tile."""
        bins = sorted({ranks.bin_of(n * len(x)) for n in self.n})
        found = Found(sum(int(ranks.counts[index]) for index in bins), x.device)
        edges = torch.tensor([[index, index] for index in bins], dtype=torch.int32)
        edges = to_device(edges, x.device)
        for tile in self._tiles(x):
            sift(tile, edges=edges, found=found)
        return [found.values[: int(found.count)]]

    def _one_pass(self, x: Float[Tensor, "batch d_in"], near: Found) -> Int[Tensor, " bins"]:
        """Find the projections that may be order statistics; return the histogram of all."""
        total = len(x) * len(self.W_dec)
        edges = self._guide(x, FILLED * len(near.values) / total)
        dtype = torch.int32 if total < 2**31 else torch.int64
        counts = torch.zeros(COPIES, BINS, dtype=dtype, device=x.device)
        for tile in self._tiles(x):
            sift(tile, counts=counts, edges=edges, found=near)
        return counts.sum(0, dtype=dtype)

    def _guide(self, x: Float[Tensor, "batch d_in"], room: float) -> Int[Tensor, "n 2"]:
        """Return the first and the last bin near each n, in all of which a share `room` lies.

        Latents differ more than tokens do, so that all of them are looked at, and the tokens of
        large norm, which may hold all of the highest projections. Each of the others stands for
        as many of about its norm.
        """
        step = max(1, math.ceil((len(x) - LARGEST) / (PILOT - LARGEST)))
        order = torch.linalg.vector_norm(x, dim=1).argsort(descending=True)
        tokens = torch.cat((order[:LARGEST], order[LARGEST:][step // 2 :: step]))
        products = x[tokens] @ self.W_dec.T
        counts = torch.zeros(COPIES, BINS, dtype=torch.int32, device=x.device)
        sift(products[LARGEST:].flatten(), counts=counts)
        counts *= step
        sift(products[:LARGEST].flatten(), counts=counts)
        large = min(LARGEST, len(x))
        seen = (large + (len(tokens) - large) * step) * len(self.W_dec)
        ranks = DeviceRanks(counts.sum(0), seen)
        share = self.n_on_device.double() / len(self.W_dec)
        reach = self._width(room) * (share * (1 - share)).sqrt()
        edges = (ranks.bin_of(((share + side * reach) * seen).long()) for side in (1, -1))
        # Where the reach goes beyond the highest projection there is no bin of that rank.
        return torch.stack(tuple(edges), 1).clamp(max=BINS - 1).int()

    def _width(self, room: float) -> float:
        """Return w, so that shares p +- w sqrt(p (1 - p)) of all n cover at most `room` of all.

        A share's error goes with that root.
        """
        width = 1.0
        while True:
            covered = end = 0.0
            for share in sorted(n / len(self.W_dec) for n in self.n):
                reach = width * math.sqrt(share * (1 - share))
                covered += max(0.0, min(share + reach, 1.0) - max(share - reach, end))
                end = max(end, share + reach)
            if covered <= room:
                return width
            width *= 0.9


class Launched:
    """A batch that is being measured."""

    def __init__(
        self,
        stream: DeviceStream,
        x: Float[Tensor, "batch d_in"],
        near: Float[Tensor, " room"],
        numbers: Float[Tensor, " n+3"],
        counts: Int[Tensor, " bins"],
    ) -> None:
        self._stream, self._x, self._near = stream, x, near
        self._numbers, _ = to_host(numbers)
        self._counts, self._there = to_host(counts)

    def settle(self) -> tuple[list[float], Ranks]:
        """Return s_n^dec for each n and the ranks, when the device has got this far.

        Raises
        ------
        FloatingPointError
            If a projection is not finite.
        """
        if self._there is not None:
            self._there.synchronize()
        *values, near, complete, finite = self._numbers.tolist()
        if not finite:
            raise FloatingPointError("a projection is not finite")
        ranks = Ranks(self._counts)
        if complete:
            return values, ranks
        return self._stream.again(self._x, self._near, int(near), ranks), ranks
