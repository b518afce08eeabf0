"""Which SAEs an import means, and that they are one sweep.

Nothing heavy is imported here: it is asked whenever Snakemake parses the workflow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from itertools import takewhile
from typing import Any

from correct_l0.errors import InputError
from correct_l0.saes.imported import NEAR
from correct_l0.saes.imported.layouts import Told, natural, recognise, tell
from correct_l0.saes.imported.listing import Listing
from correct_l0.saes.imported.settings import Import
from correct_l0.settings.base import format_l0

SHOWN = 6
"""Groups and names that a message lists."""

Group = tuple[str, str, int | None, int | None]


def sweep_of(wanted: Import, listing: Listing) -> dict[str, Any]:
    """Return what an import means, as `ImportedSweep` reads it.

    Parameters
    ----------
    wanted
        The import.
    listing
        The files it is among.

    Raises
    ------
    InputError
        If none is selected, they are of several sweeps, or their sizes are not known.
    """
    told = [_completed(x, wanted, listing) for x in _selected(wanted, listing)]
    group = _one_group(told)
    layer, family, d_sae, d_in = group
    for name, value in (("d_sae", d_sae), ("d_in", d_in)):
        if value is None:
            raise InputError(
                f"saes.import: {name} of {told[0].name} is not told by its names and files; add "
                f"saes.import.{name}"
            )
    numbered = any(x.announced is None for x in told)
    saes = _numbered(told) if numbered else _with_replicates(told)
    return {
        "origin": listing.origin,
        "place": listing.place,
        "revision": wanted.revision or listing.revision,
        "family": family or "unknown",
        "layer": layer,
        "d_sae": d_sae,
        "d_in": d_in,
        "by_number": numbered,
        "l0": sorted({x["l0"] for x in saes}),
        "seeds": sorted({x["seed"] for x in saes}),
        "saes": saes,
    }


def _selected(wanted: Import, listing: Listing) -> list[Told]:
    """Return the SAEs that the patterns select."""
    found = recognise(listing.names, listing.layout)
    if not found:
        raise InputError(
            f"saes.import: {listing.origin} has no SAE of a known layout (its weights are in "
            "sae_weights.safetensors, params.npz, params.safetensors, ae.pt, sae.safetensors, "
            "final.safetensors or layer*.sae.pt); name another"
        )
    chosen = [x for x in found if any(fnmatch(x.name, p) for p in wanted.patterns)]
    if not chosen:
        some = ", ".join(x.name for x in found[:3])
        raise InputError(
            f"saes.import.select {' '.join(wanted.patterns)!r} selects none of the {len(found)} "
            f"SAEs of {listing.origin}, such as {some}; correct it"
        )
    return chosen


def _completed(told: Told, wanted: Import, listing: Listing) -> Told:
    """Return an SAE with all that its files, its names, the table and the configuration tell."""
    x = tell(told, listing.read, f"{listing.origin} {listing.model}".strip())
    changes: dict[str, Any] = {}
    if x.name in listing.l0:
        changes["announced"] = listing.l0[x.name]
    for l0, pattern in wanted.l0.items():
        if fnmatch(x.name, pattern):
            changes["announced"] = l0
    for name in ("d_in", "d_sae"):
        if (value := getattr(wanted, name)) is not None:
            changes[name] = value
    return Told(**{**vars(x), **changes})


def _one_group(told: Sequence[Told]) -> Group:
    """Return layer, architecture and sizes, which all SAEs of a sweep share.

    Raises
    ------
    InputError
        If they do not, naming the groups and the line that picks each.
    """
    groups: dict[Group, list[str]] = {}
    for x in told:
        groups.setdefault((x.layer, x.family, x.d_sae, x.d_in), []).append(x.name)
    if len(groups) == 1:
        return next(iter(groups))
    every = [x.name for x in told]
    words = [
        f"{_spoken(group)} ({len(names)}): select: {_line(names, every)}"
        for group, names in sorted(groups.items(), key=lambda item: natural(item[1][0]))
    ]
    more = f"; and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    raise InputError(
        f"saes.import: {len(told)} SAEs of {len(groups)} groups are selected, a sweep is of one "
        f"layer, width and architecture; pick one: {'; '.join(words[:SHOWN])}{more}"
    )


def _spoken(group: Group) -> str:
    layer, family, d_sae, d_in = group
    parts = [
        f"layer {layer}" if layer else "",
        "" if d_sae is None else f"{d_sae:,} latents",
        "" if d_in is None else f"of {d_in:,}",
        family,
    ]
    return " ".join(filter(None, parts)) or "unknown"


def _line(names: Sequence[str], every: Sequence[str]) -> str:
    """Return the shortest pattern that selects some names and no others, else the names.

    Examples
    --------
    >>> _line(["l_5/w/x_1", "l_5/w/x_2"], ["l_5/w/x_1", "l_5/w/x_2", "l_12/w/x_1"])
    '"l_5/w/x_*"'
    """
    start = _common_start(names)
    end = _common_start([name[len(start) :][::-1] for name in names])[::-1]
    for pattern in (f"{start}*", f"{start}*{end}"):
        if {x for x in every if fnmatch(x, pattern)} == {*names}:
            return f'"{pattern}"'
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _common_start(words: Sequence[str]) -> str:
    """Return the characters that all words begin with."""
    alike = takewhile(lambda each: len({*each}) == 1, zip(*words, strict=False))
    return "".join(each[0] for each in alike)


def _numbered(told: Sequence[Told]) -> list[dict[str, Any]]:
    """Return the points of SAEs whose L0 is not told: their numbers in the order of names."""
    return [_point(x, number, 0) for number, x in enumerate(told, start=1)]


def _with_replicates(told: Sequence[Told]) -> list[dict[str, Any]]:
    """Return the points of SAEs whose L0 is told: near ones share the lowest, as replicates.

    Seeds that names or files tell are kept where they tell replicates apart.
    """
    clusters: list[list[Told]] = []
    for x in sorted(told, key=lambda x: (x.announced or 0.0, natural(x.name))):
        first = clusters[-1][0].announced if clusters else None
        if first and x.announced and x.announced <= first * NEAR:
            clusters[-1].append(x)
        else:
            clusters.append([x])
    points = []
    for cluster in clusters:
        seeds = Counter(x.seed for x in cluster)
        kept = None not in seeds and max(seeds.values()) == 1
        # The label is what is read in paths and tables: the L0 as it is announced.
        label = float(format_l0(cluster[0].announced or 0.0))
        points += [_point(x, label, x.seed if kept else n) for n, x in enumerate(cluster)]
    return points


def _point(told: Told, l0: float, seed: int | None) -> dict[str, Any]:
    facts = {
        "l0": l0, "seed": seed, "name": told.name, "layout": told.layout,
        "announced": told.announced, "k": told.k, "training_steps": told.training_steps,
        "files": told.files,
    }  # fmt: skip
    return {key: value for key, value in facts.items() if value is not None}
