"""Does the procedure find back what generated the data? The answer's own check, in pure functions.

An SAE of the study that decodes its own codes gives data whose truth is known (`sources.
semi_synthetic`). They are swept and read as the study was. `generators_of` chooses the SAEs,
`checked` holds one such reading against the truth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from correct_l0.reading.reading import READ

FOUND = "found"
MISSED = "missed"
SILENT = "no L0 named"

NAMED, LOW, HIGH = "the L0 named", "the interval's lower end", "the interval's upper end"
LOWEST, ALIKE = "where c_dec is lowest", "where seeds agree best"


@dataclass(frozen=True)
class Check:
    """What the procedure says of data that one SAE of the study generated.

    L0 values are measured ones; `None` where there is nothing to say.

    Attributes
    ----------
    generator
        L0 of the generating SAE in the study.
    why
        Why this SAE: a constant of this module.
    true_l0
        How many of its latents fire in the data it generates.
    best, best_at_end
        L0 of best recovery in the small sweep, and whether that is an end of its grid.
    recovered
        Share of the features recovered there.
    outcome, l0, low, high
        What the procedure says without the truth.
    result
        `FOUND`: the interval holds the L0 of best recovery. `MISSED`, or `SILENT`.
    """

    generator: float
    why: str
    true_l0: float
    best: float
    best_at_end: bool
    recovered: float
    outcome: str
    l0: float | None
    low: float | None
    high: float | None
    result: str


def generators_of(verdict: Mapping[str, Any], measured: Mapping[float, float]) -> dict[float, str]:
    """Return which SAEs of a study shall generate data, by their target L0, and why these.

    The grid points next to the L0 named and to the ends of its interval; where none is named, the
    lowest point of c_dec and where seeds agree best, but for the grid's start, where an SAE is
    nearly a clustering.

    Parameters
    ----------
    verdict
        As `report.study.read_study` returns it.
    measured
        Measured L0 of each target.

    Examples
    --------
    >>> grid = {8.0: 8.0, 16.0: 16.0, 32.0: 32.0, 64.0: 64.0}
    >>> decision = {"l0": 20.0, "low": 15.0, "high": 60.0}
    >>> generators_of({"outcome": "read", "decision": decision}, grid)
    {16.0: 'the L0 named', 64.0: "the interval's upper end"}
    """
    decision = verdict["decision"]
    if verdict["outcome"] == READ:
        places = {NAMED: decision["l0"], LOW: decision["low"], HIGH: decision["high"]}
    else:
        places = {
            LOWEST: (verdict["c_dec"] or {}).get("minimum"),
            ALIKE: _most_alike(verdict["stability"]),
        }
    found: dict[float, str] = {}
    for why, place in places.items():
        if place is not None:
            found.setdefault(_nearest(place, measured), why)
    return found


def checked(generator: float, why: str, verdict: Mapping[str, Any]) -> Check:
    """Return what a reading of generated data says, held against their truth.

    Parameters
    ----------
    generator, why
        The generating SAE, as `generators_of` chose it.
    verdict
        Of the small sweep, with its recovery.
    """
    decision, recovery = verdict["decision"], verdict["recovery"]
    best = recovery["best"]
    named = verdict["outcome"] == READ
    l0, low, high = (decision[name] if named else None for name in ("l0", "low", "high"))
    found = named and low <= best <= high
    return Check(
        generator=generator,
        why=why,
        true_l0=verdict["true_l0"],
        best=best,
        best_at_end=best in (recovery["points"][0], recovery["points"][-1]),
        recovered=recovery["recovered"][recovery["points"].index(best)],
        outcome=verdict["outcome"],
        l0=l0,
        low=low,
        high=high,
        result=FOUND if found else MISSED if named else SILENT,
    )


def _nearest(place: float, measured: Mapping[float, float]) -> float:
    """Return the target whose measured L0 is nearest on a logarithmic scale, the lower of two."""
    return min(sorted(measured), key=lambda l0: abs(math.log(measured[l0] / place)))


def _most_alike(stability: Mapping[str, Any] | None) -> float | None:
    """Return the L0 at which seeds agree best, but for the grid's start."""
    if not stability:
        return None
    alike = list(zip(stability["reproduced"]["means"], stability["points"], strict=True))
    return max(alike[1:] or alike)[1]
