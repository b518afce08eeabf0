"""The shuffled stream of training batches.

The order is a pure function of the store, the seed and the step: training resumes exactly, and an
SAE trained alone sees the batches it would see in a group.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from correct_l0.errors import InputError

if TYPE_CHECKING:
    from correct_l0.sources.language_model.reader import Store

# Not configurable: whether a split is held in memory decides the order of its rows, which must not
# differ between machines.
MEMORY_BYTES = 2 * 2**30
GROUP_CHUNKS = 128
# Rows are gathered and converted this many bytes at a time: what was gathered is converted while it
# is in the core's own cache.
BLOCK_BYTES = 256 * 1024
SHARED_BLOCK_BYTES = 4 * 2**20
SPARE_BATCHES = 3


class TrainingStream:
    """Batches of raw training rows, each row that is used once per epoch.

    A split of at most 2 GiB is read into memory and permuted as a whole in each epoch. A larger
    one is read in whole chunks, in an order drawn anew in each epoch, 65 to 128 at a time; the rows
    of such a group are permuted together while a thread reads the next one. A batch may end one
    epoch and begin the next.

    Parameters
    ----------
    store
        An open store.
    seed
        Seed of the order.
    batch_tokens
        Rows per batch.
    prefetch
        Make the next step's batch in a thread meanwhile, with values of two bytes as they are
        stored. Pays where the training itself runs on another device, which converts them.
    read_threads
        Threads that read and verify the chunks of a group, where the split is not held in memory.
        The order does not depend on them.
    memory_bytes, group_chunks
        Sizes for tests; the order depends on them.

    Raises
    ------
    InputError
        If the store holds fewer training rows than one batch.
    """

    def __init__(
        self,
        store: Store,
        seed: int,
        batch_tokens: int,
        *,
        prefetch: bool = False,
        read_threads: int = 1,
        memory_bytes: int = MEMORY_BYTES,
        group_chunks: int = GROUP_CHUNKS,
    ) -> None:
        if not 0 < batch_tokens <= store.n_training:
            raise InputError(
                f"batch_tokens {batch_tokens} is not between 1 and the {store.n_training} tokens "
                "cached for training; cache more or make the batch smaller"
            )
        self.store = store
        self.batch_tokens = batch_tokens
        in_memory = store.layout.training * store.layout.row_bytes <= memory_bytes
        if in_memory:
            self._order: _InMemory | _Groups = _InMemory(store, seed)
        else:
            self._order = _Groups(store, seed, group_chunks, read_threads)
        stored = store.view(store.empty(0)).dtype
        as_stored = prefetch and stored.itemsize < torch.float32.itemsize
        self._memory = _Recycled(batch_tokens, store.d_in, stored if as_stored else torch.float32)
        # With one worker, nothing but it touches the order.
        self._worker = ThreadPoolExecutor(max_workers=1) if prefetch else None
        self._ahead: dict[int, Future[Tensor]] = {}

    def batch(self, step: int) -> Float[Tensor, "batch_tokens d_in"]:
        """Return the raw activations of a step, counted from 0: in float32 without `prefetch`."""
        if self._worker is None:
            return self._make(step)
        made = self._ahead.pop(step, None) or self._worker.submit(self._make, step)
        batch = made.result()
        self._ahead = {step + 1: self._worker.submit(self._make, step + 1)}
        return batch

    def _make(self, step: int) -> Tensor:
        batch = self._memory.take()
        start = 0
        for values, order in self._parts(step):
            gather(values, order, batch[start : start + len(order)])
            start += len(order)
        return batch

    def row_numbers(self, step: int) -> Int[Tensor, " batch_tokens"]:
        """Return which training rows make up the batch of a step."""
        return torch.cat([self._order.numbers(*piece) for piece in self._pieces(step)])

    def _parts(self, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (rows in memory, those wanted of them) for each part of a batch."""
        for piece in self._pieces(step):
            yield from self._order.rows(*piece)

    def _pieces(self, step: int) -> Iterator[tuple[int, int, int]]:
        """Yield (epoch, start, stop) of a batch's parts, one for each epoch it touches."""
        n = self.store.n_training
        start, stop = step * self.batch_tokens, (step + 1) * self.batch_tokens
        while start < stop:
            epoch, offset = divmod(start, n)
            length = min(stop - start, n - offset)
            yield epoch, offset, offset + length
            start += length


def gather(
    values: Float[Tensor, "rows d_in"],
    order: Int[Tensor, " wanted"],
    out: Float[Tensor, "wanted d_in"],
) -> None:
    """Write the rows `values[order]` to `out`, converted to its type."""
    if values.dtype == out.dtype:
        torch.index_select(values, 0, order, out=out)
        return
    row_bytes = values.shape[1] * values.element_size()
    # Several threads wait for each other after every block.
    block_bytes = BLOCK_BYTES if torch.get_num_threads() == 1 else SHARED_BLOCK_BYTES
    size = max(1, block_bytes // row_bytes)
    block = torch.empty((min(size, len(order)), values.shape[1]), dtype=values.dtype)
    for wanted, target in zip(order.split(size), out.split(size), strict=True):
        part = block[: len(wanted)]
        torch.index_select(values, 0, wanted, out=part)
        target.copy_(part)


class _Recycled:
    """Memory for batches, used again once nothing refers to a batch: fresh pages cost more."""

    def __init__(self, rows: int, d_in: int, dtype: torch.dtype) -> None:
        self.shape, self.dtype = (rows, d_in * dtype.itemsize), dtype
        self.spare: list[np.ndarray] = []

    def take(self) -> Float[Tensor, "rows d_in"]:
        """Return uninitialised rows."""
        # Torch aligns its memory to 64 bytes, which numpy does not; that has no bfloat16.
        fresh = None if self.spare else torch.empty(self.shape, dtype=torch.uint8)
        memory = self.spare.pop() if fresh is None else fresh.numpy()
        # The tensor's storage keeps this array, and all its views and what autograd saved keep the
        # storage: the array is gone when the last of them is.
        lent = memory[:]
        weakref.finalize(lent, self._back, memory).atexit = False
        return torch.from_numpy(lent).view(self.dtype)

    def _back(self, memory: np.ndarray) -> None:
        if len(self.spare) < SPARE_BATCHES:
            self.spare.append(memory)


def _generator(seed: int, *context: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *context])))


class _InMemory:
    """The whole split in memory, in its type on disk; one permutation per epoch."""

    def __init__(self, store: Store, seed: int) -> None:
        self.seed = seed
        rows = store.layout.training
        self.values = store.view(store.column("training", "acts", 0, rows))
        self.kept = store.kept["training"]
        self.epoch = -1
        self.permutation = torch.empty(0, dtype=torch.long)

    def numbers(self, epoch: int, start: int, stop: int) -> Tensor:
        if epoch != self.epoch:
            order = _generator(self.seed, epoch).permutation(len(self.kept))
            if len(order) < len(self.values):
                order = self.kept.numbers(0, len(order))[order]
            self.permutation, self.epoch = torch.from_numpy(order), epoch
        return self.permutation[start:stop]

    def rows(self, epoch: int, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
        yield self.values, self.numbers(epoch, start, stop)


class _Groups:
    """Chunks in random order; the rows of each group of chunks permuted together."""

    def __init__(self, store: Store, seed: int, group_chunks: int, read_threads: int) -> None:
        self.store = store
        self.seed = seed
        self.chunks = store.layout.chunks("training")
        self.count = -(-self.chunks // group_chunks)
        self.group_rows = -(-self.chunks // self.count) * store.layout.chunk_rows
        self.spare: list[np.ndarray] = []
        self.loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="activations")
        self.readers = ThreadPoolExecutor(read_threads) if read_threads > 1 else None
        self.loaded: dict[tuple[int, int], Future[tuple[np.ndarray, Tensor]]] = {}
        self.plan: tuple[int, list[np.ndarray], np.ndarray] | None = None

    def rows(self, epoch: int, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
        for group, first, after in self._locate(epoch, start, stop):
            values, order = self._values(epoch, group)
            yield self.store.view(values), order[first:after]

    def numbers(self, epoch: int, start: int, stop: int) -> Tensor:
        parts = []
        for group, first, after in self._locate(epoch, start, stop):
            chunks = [int(c) for c in self._groups(epoch)[0][group]]
            rows = np.concatenate([np.arange(*self._range(c)) for c in chunks])
            order = self._order((epoch, group), chunks)[first:after]
            parts.append(torch.from_numpy(rows)[order])
        return torch.cat(parts)

    def _groups(self, epoch: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the chunks of each group of an epoch, and the row where each group begins."""
        if self.plan is None or self.plan[0] != epoch:
            groups = self._draw(epoch)
            kept = self.store.kept["training"]
            sizes = [sum(kept.count(*self._range(int(c))) for c in g) for g in groups]
            self.plan = (epoch, groups, np.cumsum([0, *sizes]))
        return self.plan[1], self.plan[2]

    def _locate(self, epoch: int, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield (group, first, after): the places in its groups of rows [start, stop)."""
        _, begins = self._groups(epoch)
        while start < stop:
            group = int(np.searchsorted(begins, start, side="right")) - 1
            first, after = int(begins[group]), int(begins[group + 1])
            yield group, start - first, min(stop, after) - first
            start = min(stop, after)

    def _range(self, chunk: int) -> tuple[int, int]:
        """Return the rows [start, stop) of a chunk."""
        start = chunk * self.store.layout.chunk_rows
        return start, start + self.store.chunk_length("training", chunk)

    def _order(self, group: tuple[int, int], chunks: list[int]) -> Tensor:
        """Return the order in which a group's rows that are used are given out, by their place."""
        kept, begin, places = self.store.kept["training"], 0, []
        for start, stop in map(self._range, chunks):
            places.append(kept.between(start, stop) - start + begin)
            begin += stop - start
        used = np.concatenate(places)
        order = _generator(self.seed, *group, 1).permutation(len(used))
        return torch.from_numpy(used[order])

    def _values(self, epoch: int, group: int) -> tuple[np.ndarray, Tensor]:
        """Return a group's rows as they lie in its chunks, and the order they are given out in."""
        here = (epoch, group)
        after = (epoch, group + 1) if group + 1 < self.count else (epoch + 1, 0)
        for key in [key for key in self.loaded if key not in (here, after)]:
            past = self.loaded.pop(key)
            if not past.cancel():
                self.spare.append(past.result()[0])
        for key in (here, after):
            if key not in self.loaded:
                self.loaded[key] = self.loader.submit(self._load, key, self._chunks(*key))
        return self.loaded[here].result()

    def _chunks(self, epoch: int, group: int) -> list[int]:
        if self.plan is not None and self.plan[0] == epoch:
            return [int(c) for c in self.plan[1][group]]
        return [int(c) for c in self._draw(epoch)[group]]

    def _draw(self, epoch: int) -> list[np.ndarray]:
        """Return the chunks of each group of an epoch; groups differ by one chunk at most."""
        return np.array_split(_generator(self.seed, epoch).permutation(self.chunks), self.count)

    def _load(self, group: tuple[int, int], chunks: list[int]) -> tuple[np.ndarray, Tensor]:
        begins = np.cumsum([0, *(self.store.chunk_length("training", chunk) for chunk in chunks)])
        # Fresh memory costs more than the reading itself.
        values = self.spare.pop() if self.spare else self.store.empty(self.group_rows)
        parts = [values[start:stop] for start, stop in itertools.pairwise(begins)]
        apply = map if self.readers is None else self.readers.map
        for _ in apply(self._read, chunks, parts):
            pass
        return values, self._order(group, chunks)

    def _read(self, chunk: int, out: np.ndarray) -> None:
        self.store.fill_chunk("training", "acts", chunk, out)
