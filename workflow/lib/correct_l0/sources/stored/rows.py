"""Rows of activations in files of several layouts, read where they lie.

No torch, and of other libraries only what a layout needs: the files are opened whenever the
workflow is parsed.
"""

from __future__ import annotations

import glob
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from jaxtyping import Int

from correct_l0.errors import InputError

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
    arrays, files = _open(path, array)
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
    from correct_l0.sources.stored.settings import is_path

    arrays, _ = _open(given, None) if is_path(given) else _open(path, given)
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


def _open(path: str, array: str | None) -> tuple[list[Any], list[str]]:
    """Return the arrays that a path names, and the files that tell whether they changed."""
    files = [path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True))
    if not files:
        raise InputError(f"stored.path: {path} does not exist; correct it")
    if len(files) == 1 and os.path.isdir(files[0]):
        return _open_folder(Path(files[0]), array)
    openers = {".npy": _open_npy, ".safetensors": _open_safetensors}
    arrays = []
    for file in files:
        opener = openers.get(Path(file).suffix)
        if opener is None:
            raise InputError(
                f"stored.path: {file} is no .npy, no .safetensors, no Zarr array and no folder "
                "that datasets saved; save the rows as one of these"
            )
        try:
            arrays.append(opener(file, array))
        except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
            raise InputError(f"stored.path: {file}: damaged ({error}); save it again") from None
    return arrays, files


def _open_npy(file: str, array: str | None) -> np.ndarray:
    found = np.load(file, mmap_mode="r", allow_pickle=False)
    if not found.flags.c_contiguous:
        raise ValueError("its rows do not lie one after the other, but its columns")
    return found


SAFETENSORS: dict[str, Any] = {"F32": np.float32, "F16": np.float16, "BF16": np.dtype("V2"),
               "I64": np.int64, "I32": np.int32}  # fmt: skip


def _open_safetensors(file: str, array: str | None) -> np.ndarray:
    """Return a tensor of a .safetensors file where it lies (8 bytes of length, JSON, data)."""
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if length > os.path.getsize(file):
            raise ValueError("its header is longer than it")
        header = json.loads(opened.read(length))
    tensors = {name: told for name, told in header.items() if name != "__metadata__"}
    told = tensors[_one_of(tensors, array, file)]
    if told["dtype"] not in SAFETENSORS:
        raise ValueError(f"a tensor of {told['dtype']}, not of {', '.join(SAFETENSORS)}")
    start = 8 + length + told["data_offsets"][0]
    dtype, shape = np.dtype(SAFETENSORS[told["dtype"]]), tuple(told["shape"])
    return np.memmap(file, dtype=dtype, mode="r", offset=start, shape=shape)


def _one_of(names: Sequence[str] | dict[str, Any], wanted: str | None, where: str | Path) -> str:
    """Return the name that is wanted, or the only one there is."""
    names = [*names]
    if wanted in names or (wanted is None and len(names) == 1):
        return wanted or names[0]
    which = "several arrays" if wanted is None else f"no array {wanted!r}"
    raise InputError(
        f"stored.array: {where} has {which}; name one of {', '.join(map(str, names[:5]))}"
    )


def _open_folder(folder: Path, array: str | None) -> tuple[list[Any], list[str]]:
    if (folder / "state.json").exists():
        return _open_datasets(folder, array)
    told = [name for name in ("zarr.json", ".zarray", ".zgroup") if (folder / name).exists()]
    if not told:
        raise InputError(
            f"stored.path: {folder} is no Zarr array and no folder that datasets saved; of files "
            f"in it name a pattern, such as {folder}/*.npy"
        )
    import zarr

    found: Any = zarr.open(folder, mode="r")
    if isinstance(found, zarr.Group):
        name = _one_of([*found.array_keys()], array, folder)
        found, folder = found[name], folder / name
        told = [name for name in ("zarr.json", ".zarray") if (folder / name).exists()]
    if found.ndim > 2 or (found.ndim == 2 and found.chunks[1] != found.shape[1]):
        raise InputError(
            f"stored.path: {folder} has shape {found.shape} in chunks of {found.chunks}, not "
            "(rows, d_in) in chunks of whole rows; rewrite it"
        )
    return [found], [str(folder / told[0])]


def _open_datasets(folder: Path, column: str | None) -> tuple[list[Any], list[str]]:
    """Return the arrays of a column that `datasets` saved: Arrow's own memory, not a copy."""
    import pyarrow as pa
    import pyarrow.compute as pc

    listed = json.loads((folder / "state.json").read_text())["_data_files"]
    files = [folder / each["filename"] for each in listed]
    arrays = []
    for file in files:
        try:
            table = pa.ipc.open_stream(pa.memory_map(str(file))).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(f"stored.path: {file}: damaged ({error}); save it again") from None
        nested = [name for name in table.column_names if _depth(table.schema.field(name).type)]
        if column is None:
            # Whole numbers, such as SAELens' token_ids, are no activations.
            nested = [name for name in nested if _is_real(table.schema.field(name).type)]
        name = _one_of(table.column_names if column else nested, column, folder)
        for chunk in table.column(name).chunks:
            # `datasets`, where it is imported, gives its arrays a type of its own.
            values, shape = getattr(chunk, "storage", chunk), [len(chunk)]
            while _depth(values.type):
                lengths = pc.min_max(pc.list_value_length(values)).as_py()
                if values.null_count or lengths["min"] != lengths["max"]:
                    raise InputError(
                        f"stored.path: column {name} of {folder} has rows of several lengths, or "
                        "without a value; keep those of one length"
                    )
                shape.append(lengths["min"])
                values = values.flatten()
            if values.null_count:
                raise InputError(f"stored.path: column {name} of {folder} lacks values; drop them")
            arrays.append(values.to_numpy(zero_copy_only=True).reshape(shape))
    return arrays, [str(folder / "state.json"), *map(str, files)]


def _depth(kind: Any) -> int:
    """Return how many lists an Arrow type is nested in."""
    inner = getattr(getattr(kind, "storage_type", kind), "value_type", None)
    return 0 if inner is None else 1 + _depth(inner)


def _is_real(kind: Any) -> bool:
    kind = getattr(kind, "storage_type", kind)
    while _depth(kind):
        kind = kind.value_type
    return str(kind) in ("float", "halffloat", "double")


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
