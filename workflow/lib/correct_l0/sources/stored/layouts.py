"""The arrays in files of several layouts, opened where they lie.

No torch, and of other libraries only what a layout needs.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from correct_l0.errors import InputError


def open_arrays(path: str, array: str | None) -> tuple[list[Any], list[str]]:
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
