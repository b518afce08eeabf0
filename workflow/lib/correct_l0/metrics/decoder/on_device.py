"""The exact order statistics of a batch's projections on a GPU that never waits for the host.

The steps are those of `streaming`, on the device and in memory whose size is known beforehand: of
each chunk at most a share is kept, the first ones. Whether all values of an order statistic's bin
were among them is known when a batch's numbers reach the host, behind the next batch; only where
they were not is the batch projected once more, and waited for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from correct_l0.jobs.beside import one_behind, to_host
from correct_l0.metrics.decoder.histogram import BINS, Ranks, fine_bins
from correct_l0.metrics.decoder.streaming import ProjectionStream

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

KEPT = 16
"""Of this many values of a chunk one is kept at most: near the order statistics lie fewer."""

IN_BINS = 128
"""The same for the bins of the order statistics themselves, each 2^-14 of a unit wide."""

FEWEST = 1024
"""Values that are kept at most of a small chunk."""


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
    """Projects batches on a decoder; see `streaming.ProjectionStream`.

    Examples
    --------
    >>> stream = DeviceStream(torch.tensor([[6.0, 2.0], [1.0, 5.0], [4.0, 3.0]]), [1])
    >>> values, ranks = stream.launch(torch.eye(2)).settle()
    >>> values, ranks.total
    ([4.0], 6)
    """

    def __init__(self, W_dec: Float[Tensor, "d_sae d_in"], n: Sequence[int]) -> None:
        super().__init__(W_dec, n)
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
        parts, counts = self._first_pass(torch.where(finite, x, 0.0))
        total = len(x) * len(self.W_dec)
        ranks = DeviceRanks(counts, total)
        bins = ranks.bin_of(self.n_on_device * len(x))
        wanted = _marked(bins, bins)
        chunks = [chunk for part in parts for chunk in part.split(self.chunk)]
        ordered = torch.cat(
            [self._kept_of(chunk, self._bins(chunk), wanted, IN_BINS) for chunk in chunks]
        ).sort()[0]
        places = fine_bins(ordered)
        start, stop = (
            torch.searchsorted(places, bins.int(), right=right) for right in (False, True)
        )
        complete = (stop - start == counts[bins]).all()
        position = start + total - 1 - self.n_on_device * len(x) - ranks.below(bins)
        values = ordered[position.clamp(0, len(ordered) - 1)].double()
        numbers = torch.cat((values, complete.double()[None], finite.double()[None]))
        return Launched(self, x, numbers, counts)

    def _guide(self, counts: Int[Tensor, " bins"], seen: int, margin: float) -> Tensor:
        """Return which bins to keep the values of; see `ProjectionStream._guide`."""
        share = self.n_on_device.double() / len(self.W_dec)
        reach = margin * share * (1 - share)
        ranks = DeviceRanks(counts, seen)
        edges = ((share + side * reach).mul(seen).round().long() for side in (1, -1))
        first, last = (ranks.bin_of(edge.clamp(0, seen - 1)) for edge in edges)
        return _marked(first, last)

    def _keep_near(
        self,
        values: Float[Tensor, " values"],
        bins: Int[Tensor, " values"],
        wanted: Bool[Tensor, " bins"],
    ) -> Float[Tensor, " kept"]:
        return self._kept_of(values, bins, wanted, KEPT)

    def _kept_of(
        self,
        values: Float[Tensor, " values"],
        bins: Int[Tensor, " values"],
        wanted: Bool[Tensor, " bins"],
        share: int,
    ) -> Float[Tensor, " kept"]:
        """Return the first values of the wanted bins, infinite where there are fewer."""
        mask = torch.index_select(wanted, 0, bins, out=self.mask[: len(bins)])
        size = min(len(values), max(FEWEST, len(values) // share))
        places = torch.nonzero_static(mask, size=size).view(-1)
        return torch.where(places < 0, torch.inf, values[places.clamp(min=0)])


def _marked(first: Int[Tensor, " n"], last: Int[Tensor, " n"]) -> Bool[Tensor, " bins"]:
    """Return whether a bin lies between the first and the last of any pair, these included."""
    change = torch.zeros(BINS + 1, dtype=torch.int32, device=first.device)
    one = change.new_ones(1).expand(len(first))
    change.index_add_(0, first, one).index_add_(0, last + 1, one, alpha=-1)
    return change.cumsum(0)[:BINS] > 0


class Launched:
    """A batch that is being measured."""

    def __init__(
        self,
        stream: DeviceStream,
        x: Float[Tensor, "batch d_in"],
        numbers: Float[Tensor, " n+2"],
        counts: Int[Tensor, " bins"],
    ) -> None:
        self._stream, self._x = stream, x
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
        *values, complete, finite = self._numbers.tolist()
        if not finite:
            raise FloatingPointError("a projection is not finite")
        ranks = Ranks(self._counts)
        return values if complete else self._stream.second_pass(self._x, ranks), ranks
