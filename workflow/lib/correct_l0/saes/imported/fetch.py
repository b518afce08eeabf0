"""The weights of a sweep on this machine: fetched once, and recorded with what they are."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from correct_l0.errors import InputError
from correct_l0.provenance.checks import check_manifest
from correct_l0.provenance.manifest import read_manifest, sha256_of, write_json, write_manifest
from correct_l0.saes.imported import RECIPE, STAGE
from correct_l0.saes.imported.layouts import MAY_BE_MISSING, Told, tell
from correct_l0.saes.imported.settings import FoundSae, ImportedSweep

RECORD = "weights.json"


def fetch_weights(folder: Path, settings: str) -> None:
    """Fetch the files of every SAE; write `weights.json`, and `manifest.json` last.

    Nothing but the SAEs' own files is downloaded.

    Parameters
    ----------
    folder
        Where the record goes; files of the hub go to its cache.
    settings
        Canonical settings of the sweep (`Plan.settings_weights`).

    Raises
    ------
    InputError
        If a file cannot be had, or is not what is said of it.
    """
    start, commit = time.perf_counter(), ""
    sweep = ImportedSweep.model_validate_json(settings)
    if not sweep.place:
        from correct_l0.saes.imported.hub import commit_of

        commit = commit_of(sweep.origin, sweep.revision)
    saes, total = [], 0
    for sae in sweep.saes:
        files: dict[str, dict[str, Any]] = {}
        for name in sae.files:
            path = _file(sweep, name, commit, may_be_missing=name not in sae.files[:1])
            if path is None:
                if name.removeprefix(sae.name) not in MAY_BE_MISSING:
                    print(f"{name}: not in {sweep.origin}", flush=True)
                continue
            files[name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
            total += files[name]["bytes"]
        weights = files[sae.files[0]]
        if sae.digest and sae.digest != weights["sha256"]:
            raise InputError(f"{sae.name}: its weights changed while they were read; run again")
        told = _told(sae, _finder(sweep, commit), sweep.origin)
        saes.append({"name": sae.name, "files": files, **told})
        print(f"{sae.name}: {sum(x['bytes'] for x in files.values()):,} bytes", flush=True)
    write_json(folder / RECORD, {"origin": sweep.origin, "commit": commit, "saes": saes})
    write_manifest(
        folder / "manifest.json",
        stage=STAGE,
        recipe=RECIPE,
        parameters=settings,
        inputs={},
        outputs=[folder / RECORD],
        d_in=sweep.d_in,
        origin=sweep.origin,
        commit=commit,
        bytes=total,
        wall_s=round(time.perf_counter() - start, 3),
    )


def _file(sweep: ImportedSweep, name: str, commit: str, *, may_be_missing: bool) -> Path | None:
    if sweep.place:
        path = Path(sweep.place, name)
        if path.is_file():
            return path
        if may_be_missing:
            return None
        raise InputError(f"{path}: missing; correct saes.import.folders")
    from correct_l0.saes.imported.hub import fetch_file, file_if_there

    if may_be_missing:
        return file_if_there(sweep.origin, name, commit)
    return fetch_file(sweep.origin, name, commit)


def _finder(sweep: ImportedSweep, commit: str) -> Callable[[str], Path]:
    """Return what tells where a file lies on this machine."""
    if sweep.place:
        return lambda name: Path(sweep.place, name)
    from correct_l0.saes.imported.hub import cached_file

    return lambda name: cached_file(sweep.origin, name, commit)


def _told(sae: FoundSae, find: Callable[[str], Path], origin: str) -> dict[str, Any]:
    """Return what the files tell that was not known before they were fetched."""

    def read(name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(find(name).read_text())
        except (InputError, OSError, ValueError):
            return {}
        return found

    told = tell(Told(sae.name, sae.layout, sae.files), read, origin)
    return {
        "announced": sae.announced or told.announced,
        "k": sae.k or told.k,
        "training_steps": sae.training_steps or told.training_steps,
        "overlap_loss": told.overlap_loss,
    }


class Fetched:
    """The weights that a sweep's record names.

    Raises
    ------
    InputError
        If the record is missing or damaged.
    """

    def __init__(self, manifest: Path | str) -> None:
        settings = str(read_manifest(manifest).get("parameters"))
        check_manifest(manifest, stage=STAGE, recipe=RECIPE, parameters=settings, inputs={})
        record = read_manifest(Path(manifest).with_name(RECORD))
        self.sweep = ImportedSweep.model_validate_json(settings)
        self.commit = str(record["commit"])
        self.find = _finder(self.sweep, self.commit)
        self._facts = {each["name"]: each for each in record["saes"]}

    def facts(self, sae: FoundSae) -> dict[str, Any]:
        """Return what is recorded of an SAE, its weights held against the record."""
        facts: dict[str, Any] = self._facts[sae.name]
        for name, told in facts["files"].items():
            path = self.find(name)
            if not path.is_file() or path.stat().st_size != told["bytes"]:
                raise InputError(
                    f"{path}: missing, or not as it was fetched; delete the study's weights/ and "
                    "run again"
                )
        return facts
