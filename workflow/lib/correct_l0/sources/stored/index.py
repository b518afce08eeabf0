"""The index of somebody's rows: every row looked at once, some held out, the manifest last."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt

from correct_l0.errors import InputError
from correct_l0.jobs.progress import Progress
from correct_l0.provenance.manifest import replacing, write_manifest
from correct_l0.sources.outlying import norm_facts, save_outlying
from correct_l0.sources.stored import RECIPE, STAGE
from correct_l0.sources.stored.checks import check_stored
from correct_l0.sources.stored.rows import Rows, checksum_of, open_documents
from correct_l0.sources.stored.settings import Stored


class Looked(NamedTuple):
    """What a look at every row has found."""

    norms: Float[np.ndarray, " rows"]
    """Norm of each row, float32."""
    crcs: UInt[np.ndarray, " pieces"]
    """crc32c of each piece, uint32."""


def make(folder: Path | str, settings_json: str, path: str, documents: str | None) -> None:
    """Look at every row and write `index.npz`, and `manifest.json` last.

    Nothing in them depends on where the files are or on the time: the same rows give the same
    digest.

    Parameters
    ----------
    folder
        Where to.
    settings_json
        `Stored.identity`.
    path, documents
        Where the rows and what tells their texts are.

    Raises
    ------
    InputError
        If the files cannot be used, their width is another, a value is not finite, a piece was
        never written, or nothing would be left to train on.
    """
    folder = Path(folder)
    settings = Stored(**json.loads(settings_json), path=path, documents=documents)
    check_stored(settings)
    rows = settings.rows
    looked = look(rows, path)
    held_out = held_out_rows(rows, settings)
    trained = np.ones(len(rows), dtype=bool)
    trained[held_out.drawn] = False
    held = held_out.used
    facts = norm_facts(looked.norms[trained], looked.norms[held], settings.outlying)
    limit = math.inf if facts["limit"] is None else facts["limit"]
    far = looked.norms > limit
    mean_norm = float(looked.norms[trained & ~far].mean(dtype=np.float64))
    if not mean_norm > 0:
        raise InputError(
            f"stored.path: the mean norm of the rows of {path} is {mean_norm:g}, not above zero; "
            "name activations"
        )
    with replacing(folder / "index.npz") as temporary:
        np.savez(temporary, crcs=looked.crcs, held_out=held, drawn=held_out.drawn)
    write_manifest(
        folder / "manifest.json",
        stage=STAGE,
        recipe=RECIPE,
        parameters=settings_json,
        inputs={},
        outputs=[
            folder / "index.npz",
            *save_outlying(folder, {"training": far & trained, "held_out": far[held]}),
        ],
        norms=facts,
        places={"path": path, "documents": documents},
        rows=len(rows),
        d_in=rows.d_in,
        dtype=rows.dtype,
        piece_rows=rows.piece_rows,
        held_out_tokens=len(held),
        held_out_by=held_out.by,
        sequence=rows.sequence,
        mean_norm=mean_norm,
    )


def look(rows: Rows, path: str) -> Looked:
    """Read every row once.

    Raises
    ------
    InputError
        If a value is not finite, or a whole piece is zero: a piece that was never written reads so.
    """
    count = -(-len(rows) // rows.piece_rows)
    norms = np.empty(len(rows), dtype=np.float32)
    crcs = np.empty(count, dtype=np.uint32)
    out = np.empty((rows.piece_rows, rows.d_in), dtype=disk_type(rows.dtype))
    progress = Progress(len(rows), "rows")
    for piece in range(count):
        start = piece * rows.piece_rows
        stop = min(start + rows.piece_rows, len(rows))
        part = out[: stop - start]
        rows.fill(start, stop, part)
        crcs[piece] = checksum_of(part)
        values = torch.from_numpy(part)
        if rows.dtype == "bfloat16":
            values = values.view(torch.bfloat16)
        found = values.double().norm(dim=1)
        if not torch.isfinite(found).all():
            row = start + int((~torch.isfinite(found)).nonzero()[0])
            raise InputError(f"stored.path: row {row} of {path} is not finite; leave it out")
        if not found.any():
            raise InputError(
                f"stored.path: rows {start} to {stop - 1} of {path} are all zero, as rows are that "
                "were never written; write them, or leave them out"
            )
        norms[start:stop] = found.numpy()
        progress.add(stop - start)
    return Looked(norms, crcs)


def disk_type(dtype: str) -> np.dtype:
    """Return NumPy's type of rows, of bfloat16 that of its bits."""
    return np.dtype({"bfloat16": "uint16"}.get(dtype, dtype))


class HeldOut(NamedTuple):
    """Which rows are held out."""

    used: Int[np.ndarray, " used"]
    """Those that are measured on, in order."""
    drawn: Int[np.ndarray, " drawn"]
    """Those that train no SAE: all of the texts, sequences or blocks that were drawn."""
    by: str
    """`documents`, `sequences` or `blocks`."""


def held_out_rows(rows: Rows, settings: Stored) -> HeldOut:
    """Draw whole texts, sequences or blocks until there are enough rows.

    Raises
    ------
    InputError
        If all texts would be held out.

    Examples
    --------
    Blocks of 4 of 10 rows, of which 5 are wanted: two blocks are drawn.

    >>> ten = Rows((np.ones((10, 2)),), 2, "float32", None, 8, ())
    >>> found = held_out_rows(ten, Stored(path="", d_in=2, block_tokens=4, held_out_tokens=5))
    >>> found.by, found.drawn.tolist(), found.used.tolist()
    ('blocks', [0, 1, 2, 3, 8, 9], [0, 1, 2, 3, 8])
    """
    if settings.documents is not None:
        by, numbers = "documents", open_documents(settings.documents, rows, settings.path)
        changes = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
        starts = np.concatenate([[0], changes])
        _, unit = np.unique(numbers[starts], return_inverse=True)
    else:
        by = "sequences" if rows.sequence else "blocks"
        starts = np.arange(0, len(rows), rows.sequence or settings.block_tokens)
        unit = np.arange(len(starts))
    stops = np.append(starts[1:], len(rows))
    sizes = np.bincount(unit, weights=stops - starts).astype(np.int64)
    order = np.random.Generator(np.random.PCG64(settings.seed)).permutation(len(sizes))
    enough = int(np.searchsorted(np.cumsum(sizes[order]), settings.held_out_tokens)) + 1
    if enough >= len(sizes):
        raise InputError(
            f"stored.held_out_tokens {settings.held_out_tokens:,} takes all {len(sizes)} {by} of "
            f"{settings.path}; lower it, or divide the rows into more of them"
        )
    drawn = np.isin(unit, order[:enough])
    ranges = [np.arange(a, b) for a, b in zip(starts[drawn], stops[drawn], strict=True)]
    whole = np.concatenate(ranges)
    return HeldOut(whole[: settings.held_out_tokens], whole, by)
