"""The files that SAEs are found among: of local folders, of a repository, of a release.

Nothing heavy is imported; the hub is asked for a repository's list, once.
"""

from __future__ import annotations

import difflib
import glob
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from correct_l0.errors import InputError
from correct_l0.saes.imported.layouts import WEIGHTS_OF
from correct_l0.saes.imported.settings import Import

SMALL_BYTES = 1_000_000
"""Larger JSON files tell nothing of an SAE."""


@dataclass(frozen=True)
class Listing:
    """Files by name, with `/`.

    Attributes
    ----------
    origin
        What was named: a repository, or folders.
    names
        Every file.
    read
        The content of a small JSON file, empty where it cannot be had.
    place
        Of local folders: the folder that names start from.
    revision
        Of a repository: the commit.
    l0
        L0 by folder, where a table tells.
    layout
        Of a release: how its SAEs are written; empty: as the files tell.
    model
        Of a release: the model.
    """

    origin: str
    names: tuple[str, ...]
    read: Callable[[str], dict[str, Any]] = lambda name: {}
    place: str = ""
    revision: str = ""
    l0: dict[str, float] = field(default_factory=dict)
    layout: str = ""
    model: str = ""


def local_listing(patterns: tuple[str, ...], base: Path) -> Listing:
    """Return the files below local folders.

    Parameters
    ----------
    patterns
        Folders, patterns allowed.
    base
        Folder that relative ones start from.

    Raises
    ------
    InputError
        If a pattern matches no folder.
    """
    folders: list[str] = []
    named: list[str] = []
    for pattern in patterns:
        whole = os.path.normpath(base / Path(pattern).expanduser())
        found = sorted(x for x in glob.glob(whole, recursive=True) if os.path.isdir(x))
        if not found:
            raise InputError(f"saes.import.folders {pattern!r}: no folder matches; correct it")
        plain = takewhile(lambda part: not glob.has_magic(part), Path(whole).parts)
        named.append(str(Path(*plain)))
        folders += [x for x in found if x not in folders]
    # Names begin with the folder that was named, up to a pattern: it may tell the layer.
    place = os.path.commonpath([os.path.dirname(each) for each in named])
    names = [
        Path(file).relative_to(place).as_posix()
        for folder in folders
        for file in sorted(glob.glob(f"{glob.escape(folder)}/**", recursive=True))
        if os.path.isfile(file)
    ]

    def read(name: str) -> dict[str, Any]:
        path = Path(place, name)
        if path.stat().st_size > SMALL_BYTES:
            return {}
        return _json(path.read_text(errors="replace"))

    return Listing(" ".join(patterns), tuple(dict.fromkeys(names)), read, place=place)


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def named_listing(wanted: Import) -> Listing:
    """Return the SAEs of a repository that a configuration names one by one; no hub is asked."""
    layout = str(wanted.layout)
    names = tuple(name + WEIGHTS_OF[layout][0] for name in wanted.patterns)
    return Listing(wanted.repository, names, layout=layout)


@cache
def releases() -> dict[str, Any]:
    """Return SAELens' table of releases as its file has it."""
    spec = find_spec("sae_lens")
    if spec is None or spec.origin is None:
        raise InputError("saes.import.release: SAELens is not installed; install sae-lens")
    table = Path(spec.origin).with_name("pretrained_saes.yaml")
    with open(table) as file:
        loaded: dict[str, Any] = yaml.load(
            file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        )
    return loaded


def table_version() -> str:
    """Return the version of SAELens, whose table changes with it."""
    try:
        return version("sae-lens")
    except PackageNotFoundError:
        return ""


def release_listing(release: str) -> Listing:
    """Return the weights of a release of SAELens' table; no hub is asked.

    Raises
    ------
    InputError
        If there is none of this name, naming the nearest, or its SAEs are of another kind.
    """
    table = releases()
    if release not in table:
        near = difflib.get_close_matches(release, table, n=1, cutoff=0.0)
        raise InputError(
            f"saes.import.release: {release!r} is not in SAELens' table of {len(table)} releases; "
            f"the nearest is {near[0]!r}"
        )
    entry = table[release]
    layout = entry.get("conversion_func") or "sae_lens"
    if layout not in WEIGHTS_OF:
        raise InputError(
            f"saes.import.release: {release} is written as {layout}, which is not read here; known "
            f"are {', '.join(WEIGHTS_OF)}"
        )
    names, l0 = [], {}
    for sae in entry["saes"]:
        folder = str(sae["path"])
        names.append(folder + WEIGHTS_OF[layout][0])
        # A canonical id stands for one that is listed besides; some tell no L0.
        if sae.get("l0"):
            l0[folder] = float(sae["l0"])
    return Listing(
        entry["repo_id"],
        tuple(dict.fromkeys(names)),
        l0=l0,
        layout=layout,
        model=str(entry.get("model", "")),
    )
