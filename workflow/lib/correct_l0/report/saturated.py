"""Points that end at one L0, as coefficients of a penalty do where it saturates: they are one."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

SAME = {"l0": 0.001, "coefficient": 0.03, "number": 0.03}
"""Largest relative distance of two measured L0 that count as one, by what is swept. Between two
points of one L0 no curve is read; targets may be as near to each other as they are asked for."""


def one_of_each(
    tables: Mapping[str, pd.DataFrame], swept: str
) -> tuple[dict[str, pd.DataFrame], list[tuple[float, ...]]]:
    """Return the tables with one point of those that end at one L0, and what was merged.

    Of each group the lowest value of `l0` stays. A group reaches up to `SAME` above its lowest L0.

    Parameters
    ----------
    tables
        Of a sweep.
    swept
        What stands in their column `l0`: `l0`, `coefficient` or `number`.

    Examples
    --------
    >>> points = pd.DataFrame({"l0": [0.1, 1.0, 9.0], "l0_measured": [11.1, 11.0, 7.0]})
    >>> kept, merged = one_of_each({"points": points}, "coefficient")
    >>> kept["points"]["l0"].tolist(), merged
    ([0.1, 9.0], [(0.1, 1.0)])
    """
    measured = tables["points"].groupby("l0")["l0_measured"].mean().sort_values()
    groups: list[list[float]] = []
    lowest = 0.0
    for coefficient, l0 in measured.items():
        if not groups or l0 > lowest * (1 + SAME[swept]):
            groups.append([])
            lowest = float(l0)
        groups[-1].append(float(str(coefficient)))
    merged = [tuple(sorted(group)) for group in groups if len(group) > 1]
    dropped = [value for group in merged for value in group[1:]]
    kept = {
        name: table[~table["l0"].isin(dropped)].reset_index(drop=True)
        if dropped and "l0" in table and name != "gaps"
        else table
        for name, table in tables.items()
    }
    return kept, merged
