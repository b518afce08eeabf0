"""The norms of the rows, and those of massive norm, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from correct_l0.reading.outlying import leans_on_outlying
from correct_l0.report.names import percents

OFTEN = 0.01
"""Share of the rows from which on outlying ones are no longer a few."""


def norms_line(norms: Mapping[str, Any]) -> str:
    """Return how the norms are spread, and how many rows are outlying.

    Examples
    --------
    >>> norms = {"quantiles": {"0.01": 8.0, "0.5": 10.0, "0.99": 12.0, "1": 9000.0},
    ...          "limit": 100.0, "times": 10.0, "rows": "drop", "training": 2000,
    ...          "outlying_training": 2, "weight": 0.99}
    >>> norms_line(norms)
    'median 10, 98% between 8 and 12, largest 9e+03; above 10 medians: 0.1%, left out'
    >>> norms_line(norms | {"outlying_training": 0})
    'median 10, 98% between 8 and 12, largest 9e+03; none above 10 medians'
    """
    at = norms["quantiles"]
    spread = (
        f"median {at['0.5']:.3g}, 98% between {at['0.01']:.3g} and {at['0.99']:.3g}, "
        f"largest {at['1']:.3g}"
    )
    if norms["limit"] is None:
        return spread
    times = f"above {norms['times']:g} medians"
    if not norms["outlying_training"]:
        return f"{spread}; none {times}"
    return f"{spread}; {times}: {_share(norms)}, {_fate(norms)}"


def norms_caveats(norms: Mapping[str, Any] | None, points: pd.DataFrame, section: str) -> list[str]:
    """Return what outlying rows mean for an answer; nothing where there are none.

    Parameters
    ----------
    norms
        What the source's manifest says (`sources.outlying.norm_facts`).
    points
        Facts of the SAEs, `fvu_ordinary` and `fvu_outlying` among them.
    section
        The section of the configuration that has the rule.
    """
    if norms is None or not norms["outlying_training"] + norms["outlying_held_out"]:
        return []
    largest = norms["quantiles"]["1"] / norms["quantiles"]["0.5"]
    line = (
        f"{norms['outlying_training']:,} of {norms['training']:,} training rows ({_share(norms)}) "
        f"and {norms['outlying_held_out']:,} of {norms['held_out']:,} held-out ones have a norm "
        f"above {norms['times']:g} times the median, up to {largest:,.3g} times"
        f"{_positions(norms)}. "
    )
    if norms["rows"] == "drop":
        line += "They are left out of training and of every metric: the answer is not about them."
    else:
        line += (
            f"They are kept, and are {percents([norms['weight']])} of the squared norm of all "
            "training rows"
        )
        line += ", most of what an SAE learns." if leans_on_outlying(norms) else "."
    caveats = [line + _fvu(points)]
    if norms["outlying_training"] > OFTEN * norms["training"]:
        caveats.append(
            f"Rows of massive norm are usually far fewer than {_share(norms)}: with "
            f"{section}.outlying.norm raised, more rows count as ordinary."
        )
    return caveats


def _share(norms: Mapping[str, Any]) -> str:
    return percents([norms["outlying_training"] / norms["training"]])


def _fate(norms: Mapping[str, Any]) -> str:
    return "left out" if norms["rows"] == "drop" else "kept"


def _positions(norms: Mapping[str, Any]) -> str:
    """Return where most of them stand, counted from the first token of a context."""
    known = norms.get("positions")
    if not known:
        return ""
    (first, count), *_ = known.items()
    where = "the first token" if first == "0" else f"token {int(first) + 1}"
    return f"; {percents([count / norms['outlying_training']])} of them at {where} of a context"


def _fvu(points: pd.DataFrame) -> str:
    """Return how much of either group the SAEs leave unexplained, where that was measured."""
    known = points.get("fvu_outlying", pd.Series(dtype=float)).astype(float).dropna()
    if not len(known):
        return ""
    ordinary = points["fvu_ordinary"].astype(float)
    spread = [f"{min(x):.3g} to {max(x):.3g}" for x in (ordinary.dropna(), known)]
    return f" FVU of the other rows is {spread[0]}, of these {spread[1]}."
