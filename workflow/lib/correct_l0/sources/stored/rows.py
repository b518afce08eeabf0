"""Rows of activations in somebody's files, read where they lie.

The files are opened whenever the workflow is parsed, so nothing heavy is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from jaxtyping import Int

from correct_l0.errors import InputError
from correct_l0.sources.stored import is_path
from correct_l0.sources.stored.layouts import open_arrays

PIECE_BYTES = 256 * 1024
"""Rows are read in pieces of this size, in random order: those of a text lie together, and the
smaller a piece, the fewer of them meet in a batch."""

LARGEST_CHUNK_BYTES = 64 * 2**20
"""A Zarr array is read in its own chunks up to this size."""

BITS = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one or several files.

    Attributes
    ----------
    parts
        Arrays of shape (rows, d_in), one after the other; of bfloat16 its bits.
    d_in
        Width of a row.
    dtype
        float32, float16 or bfloat16.
    sequence
        Rows of one sequence, where the files have sequences.
    piece_rows
        Rows that are read together.
    files
        What they lie in, as far as a few files tell whether anything changed.
    """

    parts: tuple[Any, ...]
    d_in: int
    dtype: str
    sequence: int | None
    piece_rows: int
    files: tuple[str, ...]

    def __len__(self) -> int:
        return sum(self._lengths)

    @property
    def _lengths(self) -> list[int]:
        return [part.shape[0] for part in self.parts]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.d_in * BITS[self.dtype]

    @property
    def description(self) -> str:
        """What they are, in words."""
        return f"{len(self):,} rows of {self.d_in} in {self.dtype}"

    def fill(self, start: int, stop: int, out: np.ndarray) -> None:
        """Copy rows [start, stop) to an array of their type on disk."""
        done = start
        for first, part in self._at(start):
            if done == stop:
                return
            last = min(stop, first + part.shape[0])
            out[done - start : last - start] = part[done - first : last - first]
            done = last

    def _at(self, row: int) -> Iterator[tuple[int, Any]]:
        """Yield the first row and the array of each part, from the one with a row on."""
        begins = np.cumsum([0, *self._lengths])
        number = int(np.searchsorted(begins, row, side="right")) - 1
        for index in range(number, len(self.parts)):
            yield int(begins[index]), self.parts[index]


def checksum_of(rows: np.ndarray) -> int:
    """Return the crc32c of the bytes of some rows."""
    return google_crc32c.extend(0, rows.reshape(-1).view(np.uint8))


def open_rows(path: str, array: str | None = None, dtype: str | None = None) -> Rows:
    """Open the rows in a file, in those of a pattern, or in a folder.

    Parameters
    ----------
    path
        See `Stored.path`.
    array
        Name of the tensor, array or column, where there are several.
    dtype
        Their type, where the files cannot tell.

    Raises
    ------
    InputError
        Naming the file, what is wrong with it, and the remedy.
    """
    arrays, files = open_arrays(path, array)
    shapes = {tuple(each.shape[1:]) for each in arrays}
    if len(shapes) != 1 or len(*shapes) not in (1, 2):
        found = ", ".join(str(tuple(each.shape)) for each in arrays[:3])
        raise InputError(
            f"stored.path: {path} holds arrays of shape {found}, not (rows, d_in) or (sequences, "
            "tokens, d_in) of one d_in; name others"
        )
    (shape,) = shapes
    kind = _logical({_name_of(each) for each in arrays}, dtype, path)
    if not all(each.shape[0] for each in arrays):
        raise InputError(f"stored.path: {path} holds an array without rows; name another")
    d_in = shape[-1]
    own = getattr(arrays[0], "chunks", None)
    rows = max(1, PIECE_BYTES // (d_in * BITS[kind]))
    if own is not None and own[0] * d_in * BITS[kind] <= LARGEST_CHUNK_BYTES:
        rows = own[0]
    parts = tuple(each if own else _flat(each, d_in, kind, path) for each in arrays)
    return Rows(parts, d_in, kind, shape[0] if len(shape) == 2 else None, rows, tuple(files))


def open_documents(given: str, rows: Rows, path: str) -> Int[np.ndarray, " rows"]:
    """Return which text each row is of.

    Parameters
    ----------
    given
        See `Stored.documents`.
    rows, path
        The activations, and where they are.

    Raises
    ------
    InputError
        If there is not one whole number for each row, or for each sequence.
    """
    arrays, _ = open_arrays(given, None) if is_path(given) else open_arrays(path, given)
    numbers = np.concatenate([np.asarray(each[:]) for each in arrays])
    if numbers.ndim == 1 and rows.sequence and len(numbers) * rows.sequence == len(rows):
        numbers = np.repeat(numbers, rows.sequence)
    numbers = numbers.reshape(-1)
    if numbers.dtype.kind not in "iu" or len(numbers) != len(rows):
        raise InputError(
            f"stored.documents: {given} holds {len(numbers):,} values of {numbers.dtype}, not a "
            f"whole number for each of {len(rows):,} rows; name another"
        )
    return numbers


def _name_of(array: Any) -> str:
    """Return the type of an array; of our own Zarr arrays the one that they tell."""
    told = getattr(array, "attrs", {}).get("logical_dtype")
    return str(told or array.dtype)


def _logical(found: set[str], wanted: str | None, path: str) -> str:
    """Return the type of rows by that of their arrays."""
    kind = found.pop() if len(found) == 1 else ", ".join(sorted(found))
    if kind == "|V2" and wanted is None:
        # What safetensors calls BF16, and what NumPy makes of ml_dtypes' bfloat16.
        return "bfloat16"
    if wanted == "bfloat16" and kind in ("|V2", "uint16", "int16", "bfloat16"):
        return "bfloat16"
    if kind in BITS and wanted in (None, kind):
        return kind
    raise InputError(
        f"stored.path: {path} holds values of {kind}, not of "
        f"{wanted or 'float32, float16 or bfloat16 (then stored.dtype has to say so)'}; save it so"
    )


def _flat(array: np.ndarray, d_in: int, kind: str, path: str) -> np.ndarray:
    """Return an array as rows, of bfloat16 as bits; nothing is copied."""
    rows = math.prod(array.shape[:-1])
    return array.view(np.uint16 if kind == "bfloat16" else array.dtype).reshape(rows, d_in)
