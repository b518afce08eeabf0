"""Points at which no latent fires: with a penalty that strong there is no L0 to be read at."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def drop_silent(
    tables: Mapping[str, pd.DataFrame],
) -> tuple[dict[str, pd.DataFrame], list[float]]:
    """Return the tables without the points whose mean measured L0 is zero, and what these are.

    Examples
    --------
    >>> points = pd.DataFrame({"l0": [0.3, 3.0], "l0_measured": [7.9, 0.0]})
    >>> kept, silent = drop_silent({"points": points})
    >>> kept["points"]["l0"].tolist(), silent
    ([0.3], [3.0])
    """
    measured = tables["points"].groupby("l0")["l0_measured"].mean()
    silent = [float(l0) for l0 in measured.index[measured <= 0]]
    kept = {
        name: table[~table["l0"].isin(silent)].reset_index(drop=True)
        if silent and "l0" in table and name != "gaps"
        else table
        for name, table in tables.items()
    }
    return kept, silent
