"""Coefficients of a penalty that end at one L0: it saturates there, and they are one point."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

SAME = 0.03
"""Largest relative distance of two measured L0 that count as one."""


def one_of_each(
    tables: Mapping[str, pd.DataFrame],
) -> tuple[dict[str, pd.DataFrame], list[tuple[float, ...]]]:
    """Return the tables with one coefficient of those that end at one L0, and what was merged.

    Of each group the lowest coefficient stays. A group reaches up to `SAME` above its lowest L0.

    Parameters
    ----------
    tables
        Of a sweep over coefficients, which stand in the column `l0`.

    Examples
    --------
    >>> points = pd.DataFrame({"l0": [0.1, 1.0, 9.0], "l0_measured": [11.1, 11.0, 7.0]})
    >>> kept, merged = one_of_each({"points": points})
    >>> kept["points"]["l0"].tolist(), merged
    ([0.1, 9.0], [(0.1, 1.0)])
    """
    measured = tables["points"].groupby("l0")["l0_measured"].mean().sort_values()
    groups: list[list[float]] = []
    lowest = 0.0
    for coefficient, l0 in measured.items():
        if not groups or l0 > lowest * (1 + SAME):
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
