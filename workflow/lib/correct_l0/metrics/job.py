"""Jobs that measure several points: each result with its own manifest, each failure its own.

What stands is left as it is. A point whose SAE is not there is left out. A job that could not make
everything fails in the end, having made the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from correct_l0.errors import InputError
from correct_l0.metrics import Measured
from correct_l0.provenance.checks import check_manifest
from correct_l0.provenance.manifest import digest_of, read_or_empty, write_json, write_manifest
from correct_l0.saes.finished import check_trained
from correct_l0.saes.settings import PointJob


@dataclass(frozen=True)
class Trained:
    """An SAE that is there: the folder of its point, its manifest, and what identifies it."""

    folder: Path
    record: Mapping[str, Any]
    digest: str

    @property
    def seed(self) -> int:
        """Seed of the SAE."""
        return int(self.record["seed"])


def trained_points(saes: Mapping[str, str], seed: int, source: str) -> list[Trained]:
    """Return the SAEs of a group that are there as they should be, and say which are not.

    Parameters
    ----------
    saes
        Settings of each SAE (`Plan.settings_sae`) by the folder of its point.
    seed
        Their seed.
    source
        Digest of the source they are trained on.
    """
    found = []
    for folder, settings in saes.items():
        point = PointJob(Path(folder), settings, seed)
        try:
            record = check_trained(point, source)
        except InputError as error:
            print(f"{folder}: left out, its SAE is not there ({error})", flush=True)
        else:
            found.append(Trained(point.folder, record, digest_of(point.folder / "manifest.json")))
    return found


@dataclass(frozen=True)
class Wanted:
    """A result that a job makes.

    Attributes
    ----------
    folder
        Where it goes.
    stage, recipe, settings, inputs
        What its manifest has to say.
    facts
        What the manifest says besides: the point, the device.
    """

    folder: Path
    stage: str
    recipe: int
    settings: str
    inputs: Mapping[str, str]
    facts: Mapping[str, Any]


def make(wanted: Wanted, measure: Callable[[], Measured]) -> bool:
    """Make a result unless it stands; return whether it stands now.

    An input that cannot be used leaves failure.json with the reason, for whoever gathers.
    """
    manifest, failure = wanted.folder / "manifest.json", wanted.folder / "failure.json"
    failure.unlink(missing_ok=True)
    asked: dict[str, Any] = {
        "stage": wanted.stage,
        "recipe": wanted.recipe,
        "parameters": wanted.settings,
        "inputs": dict(wanted.inputs),
    }
    if manifest.exists():
        try:
            check_manifest(manifest, **asked)
        except InputError as error:
            print(f"{wanted.folder}: made again ({str(error).partition(';')[0]})", flush=True)
        else:
            print(f"{wanted.folder}: stands", flush=True)
            return True
        # A result half made again must not pass for the earlier one.
        manifest.unlink()
    start = time.perf_counter()
    wanted.folder.mkdir(parents=True, exist_ok=True)
    try:
        measured = measure()
    except InputError as error:
        print(f"error: {error}", flush=True)
        write_json(failure, {"reason": str(error)})
        return False
    write_manifest(
        manifest,
        **asked,
        outputs=measured.outputs,
        **wanted.facts,
        **measured.facts,
        wall_s=round(time.perf_counter() - start, 3),
    )
    print(f"{wanted.folder}: measured", flush=True)
    return True


def write_record(
    path: Path | str, saes: Iterable[str], trained: Iterable[Trained], failed: Iterable[Path]
) -> None:
    """Write the record that ends a job of several results: all stand that have an SAE.

    A point whose training failed is left out; the job that gathers the points says so.

    Parameters
    ----------
    path
        The record.
    saes
        The folders of the points that the job is about.
    trained
        Those whose SAE is there.
    failed
        The folders of the results that could not be made.

    Raises
    ------
    InputError
        If another SAE is not there or a result could not be made: which first, and why.
    """
    there = {str(point.folder) for point in trained}
    wanted = [folder for folder in saes if not Path(folder, "failure.json").exists()]
    lost = [folder for folder in wanted if folder not in there] + list(map(str, failed))
    if lost:
        failure = read_or_empty(Path(lost[0]) / "failure.json")
        more = f" (and {len(lost) - 1} more, see the log)" if len(lost) > 1 else ""
        reason = failure.get("reason", "no SAE is there as it should be")
        raise InputError(f"{lost[0]}: {reason}{more}")
    write_json(path, {"saes": wanted})
