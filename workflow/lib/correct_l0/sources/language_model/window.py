"""A window of an activation cache: its rows read from the model, shuffled, checked, summed up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.jobs.progress import Progress
from correct_l0.sources.language_model.language_model import LanguageModel
from correct_l0.sources.language_model.layout import (
    SPLITS,
    Layout,
    Window,
)
from correct_l0.sources.language_model.packing import kept_rows
from correct_l0.sources.language_model.settings import Activations
from correct_l0.sources.language_model.text import StagedText


def shuffle_order(seed: int, window: Window) -> Int[np.ndarray, " rows"]:
    """Return which row of a window's stream is stored at each of its places."""
    entropy = [seed, SPLITS.index(window.split), window.index]
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
    return generator.permutation(window.stop - window.start)


class WindowMemory:
    """Memory for the activations of window after window, used again once a window is written.

    A page that was never used costs more than the row that is put on it.

    Parameters
    ----------
    layout
        Width and type of the activations.
    windows
        How many are held: what is taken must be written when so many more have been taken.

    Examples
    --------
    >>> layout = Layout(d_in=2, dtype="float32", training=9, held_out=1,
    ...                 shard_rows=4, chunk_rows=2, window_shards=1)
    >>> memory = WindowMemory(layout, windows=2)
    >>> taken = [memory.take(rows) for rows in (4, 4, 1)]
    >>> [values.data_ptr() == taken[0].data_ptr() for values in taken], taken[2].shape
    ([True, False, True], torch.Size([1, 2]))
    """

    def __init__(self, layout: Layout, windows: int) -> None:
        self.d_in, self.dtype = layout.d_in, getattr(torch, layout.dtype)
        self._held = [torch.empty((0, self.d_in), dtype=self.dtype)] * windows

    def take(self, rows: int) -> Float[Tensor, "rows d_in"]:
        """Return rows that hold anything."""
        memory = self._held.pop(0)
        if len(memory) < rows:
            memory = torch.empty((rows, self.d_in), dtype=self.dtype)
        self._held.append(memory)
        return memory[:rows]


def read_window(
    model: LanguageModel,
    text: StagedText,
    window: Window,
    order: Int[np.ndarray, " rows"],
    acts: Float[Tensor, "rows d_in"],
    batch_tokens: int,
    progress: Progress,
) -> dict[str, Tensor]:
    """Return the stored columns of a window.

    Parameters
    ----------
    model
        The language model.
    text
        The staged contexts of the window's split.
    window
        Rows of the split.
    order
        Row of the stream at each place, counted from the window's first.
    acts
        Memory for the activations, in the logical type on disk.
    batch_tokens
        Tokens per forward pass.
    progress
        Counts the rows.

    Returns
    -------
    dict
        `acts`, filled; `token_id`, `document_id` and `position` of shape (rows,), int32.
    """
    rows = window.stop - window.start
    place = np.empty(rows, dtype=np.int64)
    place[order] = np.arange(rows)
    bits = acts.view(torch.uint8).numpy()
    columns = np.empty((3, rows), dtype=np.int32)
    numbers = text.covering(window.start, window.stop)
    contexts = [text.tokens(context) for context in numbers]
    for i, values in model.read_all(contexts, batch_tokens, acts.dtype):
        kept = np.flatnonzero(kept_rows(contexts[i], text.dropped_ids))
        first = int(text.row_starts[numbers[i]]) - window.start
        # A context may begin before the window or end after it.
        kept = kept[max(0, -first) : rows - first]
        at = place[max(0, first) : max(0, first) + len(kept)]
        # Numpy copies whole rows, where torch's indexing goes value by value.
        bits[at] = values.contiguous().view(torch.uint8).numpy()[kept]
        columns[:, at] = contexts[i][kept], text.documents(numbers[i])[kept], kept
        progress.add(len(at))
    names = ("token_id", "document_id", "position")
    return {"acts": acts, **dict(zip(names, map(torch.from_numpy, columns), strict=True))}


BLOCK = 16_384
"""Rows of which one sum is made: another number would change the last bits of the sums."""
PIECE = 256
"""Rows that are converted to float64 at once: in kept memory that a core's caches hold."""


def statistics(
    acts: Float[Tensor, "rows d_in"],
) -> tuple[Float[Tensor, " rows"], dict[str, Any]]:
    """Return the norms of the rows, and the sums of both, in float64, of the values as stored.

    Examples
    --------
    >>> norms, sums = statistics(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    >>> norms, sums
    (tensor([5., 1.], dtype=torch.float64), {'norm_sum': 6.0, 'vector_sum': [3.0, 5.0]})
    """
    found, sums = [], []
    for values in _exact(acts):
        found.append(torch.linalg.vector_norm(values, dim=1))
        sums.append(values.sum(dim=0))
    norms, per_block = torch.cat(found), BLOCK // PIECE
    # Torch, too, sums 256 rows first, in sixteens, then those: its bits of the whole block.
    of_blocks = [
        torch.stack(sums[first : first + per_block]).sum(dim=0)
        for first in range(0, len(sums), per_block)
    ]
    return norms, {
        "norm_sum": float(sum(part.sum() for part in norms.split(BLOCK))),
        "vector_sum": torch.stack(of_blocks).sum(dim=0).tolist(),
    }


def row_norms(acts: Float[Tensor, "rows d_in"]) -> Float[Tensor, " rows"]:
    """Return the norms of the rows alone, as `statistics` does."""
    return torch.cat([torch.linalg.vector_norm(values, dim=1) for values in _exact(acts)])


def _exact(acts: Float[Tensor, "rows d_in"]) -> Iterator[Float[Tensor, "piece d_in"]]:
    """Yield the rows in float64, some at a time, in memory that the next ones take over."""
    exact = torch.empty((min(PIECE, len(acts)), acts.shape[1]), dtype=torch.float64)
    for rows in acts.split(PIECE):
        yield exact[: len(rows)].copy_(rows)


def check_finite(
    acts: Float[Tensor, "rows d_in"],
    norms: Float[Tensor, " rows"],
    split: str,
    shard: int,
    activations: Activations,
) -> None:
    """Refuse activations that are infinite or not a number, by the norms of their rows in float64.

    The norm of finite float32 values is finite in float64.

    Raises
    ------
    InputError
        Naming the shard, the row, the hook and the remedy.
    """
    finite = torch.isfinite(norms)
    if finite.all():
        return
    row = int((~finite).nonzero()[0])
    remedy = (
        "the values leave float16's range of 65504; set activations.dtype to bfloat16 or float32"
        if activations.dtype == "float16" and not acts.isnan().any()
        else "set activations.model.dtype to float32, or check the model's weights"
    )
    raise InputError(
        f"non-finite activations at {activations.hook_name} in row {row} of {split} shard {shard} "
        f"({int((~finite).sum())} rows of {len(acts)}), all must be finite; {remedy}"
    )
