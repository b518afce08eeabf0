"""What is found of one result: its manifest held against the configuration and its files.

Nothing heavy is imported here, because the workflow asks whenever its jobs are worked out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from correct_l0.errors import InputError
from correct_l0.provenance.checks import Disagreement, disagreement
from correct_l0.provenance.manifest import read_manifest

LARGE_BYTES = 2**20
"""Files of this size on are spared where time is short."""

WEIGHTS = "sae/sae_weights.safetensors"

LATER_SECONDS = 1.0
"""A file dated this much after its manifest was written after it.

A manifest is the last file that a job writes or puts back, but clocks of file systems are coarse.
After a copy that keeps no times files may be later at random: then checksums are computed in vain.
"""


@dataclass(frozen=True)
class Finding:
    """What was found of one result.

    Attributes
    ----------
    room
        A stage's, or what else has a manifest.
    path
        Its manifest.
    manifest
        Its content; None where it is missing or unreadable.
    wrong
        Why it does not stand; None where it does.
    l0, seed
        The point, where it is a point's.
    """

    room: str
    path: Path
    manifest: dict[str, Any] | None
    wrong: Disagreement | None
    l0: str | None = None
    seed: int | None = None


class _Spared:
    """The outputs whose checksum takes too long to be computed without a cause."""

    def __init__(self, path: Path, manifest: Mapping[str, Any], quick: bool) -> None:
        self._path, self._manifest, self._quick = path, manifest, quick

    def __contains__(self, name: object) -> bool:
        spared = name == WEIGHTS
        if self._quick and not spared:
            size = self._manifest["outputs"][name]["bytes"]
            spared = size >= LARGE_BYTES or str(name).startswith("json/")
        return spared and not self._written_after(str(name))

    def _written_after(self, name: str) -> bool:
        written = os.stat(os.path.normpath(self._path.parent / name)).st_mtime
        return written > os.stat(self._path).st_mtime + LATER_SECONDS


def examine(
    room: str,
    path: Path,
    *,
    stage: str,
    recipe: int,
    parameters: str,
    inputs: Mapping[str, str | None],
    l0: str | None = None,
    seed: int | None = None,
    quick: bool = False,
) -> Finding:
    """Return what is found of one result.

    Parameters
    ----------
    room, path, l0, seed
        The result.
    stage, recipe, parameters, inputs
        What its manifest should say; an input whose digest is None is not compared.
    quick
        Spare files from `LARGE_BYTES` on and sae-probes' result files, of which there is one per
        task. Otherwise only the SAE's weights are spared, which can be gigabytes: the jobs that
        read them check them. A spared file is looked at by its size, and by its checksum only where
        it was written after its manifest.
    """
    try:
        manifest = read_manifest(path)
    except InputError as error:
        words = str(error).removeprefix(f"{path}: ").partition(";")[0]
        return Finding(room, path, None, Disagreement(path, words), l0, seed)
    wrong = disagreement(
        path,
        manifest,
        stage=stage,
        recipe=recipe,
        parameters=parameters,
        inputs=inputs,
        without_checksum=_Spared(path, manifest, quick),
    )
    wanted = {} if l0 is None else {"seed": seed, "l0": float(l0)}
    for fact, value in wanted.items() if wrong is None else ():
        # Of a swept coefficient a manifest says no L0.
        if manifest.get(fact) not in (None, value):
            wrong = Disagreement(path, f"{fact} is {manifest[fact]}, not {value}")
    return Finding(room, path, manifest, wrong, l0, seed)
