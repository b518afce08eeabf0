"""What distinguishes the sweeps of a study: the settings in which they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from correct_l0.report.names import join
from correct_l0.saes.architectures import read_architecture
from correct_l0.saes.imported.settings import ImportedSweep
from correct_l0.saes.sweep import Sweep
from correct_l0.settings.base import format_l0
from correct_l0.study.plan import Plan

ABSENT = "–"

COMPARISON, GROWTH, WIDTH = "comparison", "growth", "width"
"""Figures of the page of all sweeps."""
FEWEST_VALUES = 3

ALONG = {GROWTH: ("training_tokens", set()), WIDTH: ("d_sae", {"l0", "coefficient"})}
"""What sweeps differ in that a figure is drawn along, and what they may differ in besides."""


def comparison_figures(plans: Iterable[Plan]) -> tuple[str, ...]:
    """Return the figures of the page: what longer training does, or more latents, where sweeps
    differ in that alone, from three values on.
    """
    sweeps = {str(plan.study.sweep): plan.study.saes for plan in plans}
    differing = differing_settings(sweeps)
    along = [
        figure
        for figure, (name, besides) in ALONG.items()
        if {name} <= set(differing) <= {name} | besides
        and len(set(differing[name])) >= FEWEST_VALUES
    ]
    return (COMPARISON, *along)


def differing_settings(sweeps: Mapping[str, Sweep]) -> dict[str, list[str]]:
    """Return each setting that is not the same in all sweeps, with its value in each, in words.

    What has no effect on the numbers is left out; a setting that a sweep does not have is a dash.

    Examples
    --------
    >>> training = {"training_tokens": 8192, "lr": 1e-3}
    >>> narrow = Sweep(d_sae=64, l0=[4, 8, 2], training=training)
    >>> wide = Sweep(d_sae=128, l0=[2, 4, 8], training={**training, "lr": 2e-3})
    >>> differing_settings({"narrow": narrow, "wide": wide})
    {'d_sae': ['64', '128'], 'lr': ['0.001', '0.002']}

    Of imported sweeps:

    >>> sae = {"l0": 2.0, "seed": 0, "name": "a", "layout": "gemma_2", "files": ["a/params.npz"]}
    >>> shared = {"origin": "me/mine", "family": "jumprelu", "l0": [2.0], "d_in": 8, "saes": [sae]}
    >>> five = ImportedSweep(**shared, d_sae=16, layer="5")
    >>> differing_settings({"5": five, "12": ImportedSweep(**shared, d_sae=16, layer="12")})
    {'layer': ['5', '12']}
    """
    flat = [_flat(saes) for saes in sweeps.values()]
    names = dict.fromkeys(name for each in flat for name in each)
    told = {name: [each.get(name, ABSENT) for each in flat] for name in names}
    return {name: values for name, values in told.items() if len(set(values)) > 1}


def _flat(saes: Sweep) -> dict[str, str]:
    """Return the settings of a sweep in words, by name; defaults too."""
    if isinstance(saes, ImportedSweep):
        return _of_imported(saes)
    name, options = read_architecture(saes.architecture)
    values: dict[str, Any] = {
        "architecture": name,
        **options.model_dump(mode="json"),
        "d_sae": saes.d_sae,
        saes.swept: sorted(saes.l0),
        "seeds": sorted(saes.seeds),
        **saes.training.model_dump(mode="json"),
        "lr": saes.training.lr_at(saes.d_sae),
    }
    for l0, override in saes.overrides.items():
        changed: dict[str, Any] = dict(override)
        given = {name: value for name, value in changed.items() if value is not None}
        values |= {f"{name} at {saes.swept} {format_l0(l0)}": x for name, x in given.items()}
    return {name: in_words(value) for name, value in values.items() if value is not None}


def _of_imported(saes: ImportedSweep) -> dict[str, str]:
    """Return what distinguishes imported SAEs, in words, by name."""
    values: dict[str, Any] = {
        "SAEs of": saes.origin,
        "revision": saes.revision or None,
        "layer": saes.layer or None,
        "architecture": saes.family,
        "d_sae": saes.d_sae,
        saes.swept: sorted(saes.l0),
        "seeds": sorted(saes.seeds),
    }
    return {name: in_words(value) for name, value in values.items() if value is not None}


def in_words(value: Any) -> str:
    """Return the value of a setting in words.

    Examples
    --------
    >>> in_words(200000), in_words(0.003), in_words("fused"), in_words([2.0, 4.0, 10.95])
    ('200,000', '0.003', 'fused', '2, 4 and 10.95')
    >>> in_words({"kind": "linear", "end_l0": 8.0, "none": None}), in_words(True)
    ('kind linear, end_l0 8', 'yes')
    >>> in_words([float(x) for x in range(2, 22)])
    '20 from 2 to 21'
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return format_l0(value)
    if isinstance(value, Mapping):
        given = {name: each for name, each in value.items() if each is not None}
        return ", ".join(f"{name} {in_words(each)}" for name, each in given.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        told = [in_words(each) for each in value]
        return join(told) if len(told) <= 12 else f"{len(told)} from {told[0]} to {told[-1]}"
    return str(value)
