"""Whether a result stands: its manifest against the configuration, its files against it."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from correct_l0.errors import InputError
from correct_l0.provenance.differences import describe_difference
from correct_l0.provenance.manifest import DAMAGED, digest_of, is_whole, read_manifest, sha256_of


class Disagreement(NamedTuple):
    """Why a result does not stand: the manifest or the file concerned, and what is wrong."""

    path: Path
    words: str
    settings: tuple[str, str] | None = None
    """Where the settings differ, those found and those wanted."""


def disagreement(
    path: Path | str,
    manifest: Mapping[str, Any],
    *,
    stage: str,
    recipe: int,
    parameters: str,
    inputs: Mapping[str, str | None],
    without_checksum: Container[str] = (),
) -> Disagreement | None:
    """Return the first way in which a manifest is not what the configuration asks for, if any.

    The arguments are those of `check_manifest`; an input whose digest is None is not compared.
    """
    path = Path(path)
    for key, wanted in (("stage", stage), ("recipe", recipe)):
        if manifest.get(key) != wanted:
            return Disagreement(path, f"{key} is {manifest.get(key)!r}, not {wanted!r}")
    if manifest.get("parameters") != parameters:
        settings = str(manifest.get("parameters")), parameters
        words = f"made with other settings ({describe_difference(*settings)})"
        return Disagreement(path, words, settings)
    if not is_whole(manifest):
        return Disagreement(path, DAMAGED)
    found = manifest["inputs"]
    wrong = [name for name, wanted in inputs.items() if wanted not in (None, found.get(name))]
    if wrong := wrong or sorted(found.keys() ^ inputs.keys()):
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        return Disagreement(path, f"made from another {', '.join(wrong[:3])}{more}")
    return _wrong_output(path, manifest, without_checksum)


def check_manifest(
    path: Path | str,
    *,
    stage: str,
    recipe: int,
    parameters: str,
    inputs: Mapping[str, str],
    without_checksum: Container[str] = (),
) -> dict[str, Any]:
    """Return a manifest after holding it against the configuration and its files.

    Of outputs named in `without_checksum` only the size is looked at.

    Raises
    ------
    InputError
        Naming the first disagreement: stage, recipe, a parameter, an input's digest, or a file
        that is missing, of another size or of another checksum.
    """
    manifest = read_manifest(path)
    wrong = disagreement(
        path,
        manifest,
        stage=stage,
        recipe=recipe,
        parameters=parameters,
        inputs=inputs,
        without_checksum=without_checksum,
    )
    if wrong:
        raise InputError(f"{wrong.path}: {wrong.words}; delete {Path(path).parent} and run again")
    return manifest


def check_outputs(path: Path | str, remedy: str) -> None:
    """Hold a manifest's outputs against the sizes and checksums it gives.

    Raises
    ------
    InputError
        Naming the first file that is missing or differs, with the remedy.
    """
    if wrong := _wrong_output(Path(path), read_manifest(path)):
        raise InputError(f"{wrong.path}: {wrong.words}; {remedy}")


def _wrong_output(
    path: Path, manifest: Mapping[str, Any], without_checksum: Container[str] = ()
) -> Disagreement | None:
    if not is_whole(manifest):
        return Disagreement(path, DAMAGED)
    for name, expected in manifest["outputs"].items():
        file = os.path.normpath(path.parent / name)
        try:
            size = os.stat(file).st_size
        except OSError:
            return Disagreement(Path(file), "missing")
        if size != expected["bytes"]:
            return Disagreement(Path(file), f"{size} bytes, not {expected['bytes']}")
        if name not in without_checksum and sha256_of(file) != expected["sha256"]:
            return Disagreement(Path(file), "bytes differ from its manifest's checksum")
    return None


def checked_digest_of(path: Path | str) -> str:
    """Return `digest_of` after `check_outputs`; where a file is damaged, its manifest must go.

    For results whose files Snakemake does not know: it makes them again once the manifest is gone.
    """
    check_outputs(path, f"delete {path} and run again")
    return digest_of(path)
