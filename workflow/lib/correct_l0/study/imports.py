"""The SAEs that a configuration imports, found among folders, a release's table, or a repository.

What a hub or SAELens' table said is kept in the study's folder: it is asked once, and parsing the
workflow again, on a node without a network too, finds the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import read_or_empty, write_json
from correct_l0.saes.imported.find import sweep_of
from correct_l0.saes.imported.listing import (
    local_listing,
    named_listing,
    release_listing,
    table_version,
)
from correct_l0.saes.imported.published import published_scores, results_in, results_on_hub
from correct_l0.saes.imported.settings import Import, ImportedSaes, PublishedScores
from correct_l0.settings.canonical import canonical
from correct_l0.sources.language_model.places import remembered_digests
from correct_l0.study.file import StudyFile


def with_found(
    file: StudyFile, raw: Mapping[str, Any], base: Path, results: Path
) -> Mapping[str, Any]:
    """Return a configuration with the SAEs that its imports find in their place.

    Parameters
    ----------
    file
        The configuration, checked.
    raw
        The same, as its file has it.
    base
        Folder that relative paths start from.
    results
        The folder that the study's folder is in.

    Raises
    ------
    InputError
        If an import finds no sweep, after the name of the sweep where there are several.
    """
    folder = results / file.study
    if isinstance(file.saes, ImportedSaes):
        return {**raw, "saes": _found(file.saes.import_, base, folder, "saes")}
    sweeps = dict(raw.get("sweeps") or {})
    for name, saes in file.sweeps.items():
        if isinstance(saes, ImportedSaes):
            try:
                sweeps[name] = _found(saes.import_, base, folder, name)
            except InputError as error:
                raise InputError(f"sweep {name}: {error}") from None
    return {**raw, "sweeps": sweeps} if file.sweeps else raw


def _found(wanted: Import, base: Path, folder: Path, name: str) -> dict[str, Any]:
    """Return the sweep that an import finds, as `ImportedSweep` reads it."""
    sweep = _sweep(wanted, base, folder, name)
    if wanted.true_l0 is not None:
        sweep["true_l0"] = wanted.true_l0
    if wanted.scores:
        return {**sweep, **_published(wanted.scores, base, folder / "listings", name, sweep)}
    return sweep


def _published(
    wanted: str | PublishedScores, base: Path, folder: Path, name: str, sweep: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the scores of a sweep's SAEs and, of those of the hub, of which commit they are."""
    names, origin = [sae["name"] for sae in sweep["saes"]], sweep["origin"]
    if isinstance(wanted, str):
        return {"published": published_scores(results_in(wanted, base), names, origin)}
    record = folder / f"{name}.scores.json"
    asked = {"scores": canonical(wanted), "names": names, "origin": origin}
    known = read_or_empty(record)
    if known.get("asked") != asked:
        results = results_on_hub(wanted)
        scores = published_scores(results, names, origin)
        known = {"asked": asked, "published": scores, "published_commit": results.commit}
        write_json(record, known)
    return {key: known[key] for key in ("published", "published_commit")}


def _sweep(wanted: Import, base: Path, folder: Path, name: str) -> dict[str, Any]:
    if wanted.folders:
        sweep = sweep_of(wanted, local_listing(wanted.folders, base))
        weights = [Path(sweep["place"], sae["files"][0]) for sae in sweep["saes"]]
        digests = remembered_digests(weights, folder.parent / ".digests.json")
        for sae, path in zip(sweep["saes"], weights, strict=True):
            sae["digest"] = digests[path]
        return sweep
    if wanted.repository and wanted.names_each:
        return sweep_of(wanted, named_listing(wanted))
    record = folder / "listings" / f"{name}.json"
    asked = {"import": canonical(wanted, "scores", "true_l0"), "table": table_version()}
    known = read_or_empty(record)
    if known.get("asked") == asked:
        found: dict[str, Any] = known["sweep"]
        return found
    if wanted.release:
        found = sweep_of(wanted, release_listing(wanted.release))
    else:
        from correct_l0.saes.imported.hub import hub_listing

        found = sweep_of(wanted, hub_listing(wanted.repository, wanted.revision))
    write_json(record, {"asked": asked, "sweep": found})
    return found
