"""c_dec of the prefixes of a Matryoshka SAE, in words."""

from __future__ import annotations

import pandas as pd

from correct_l0.report.names import Names, join


def prefix_lines(table: pd.DataFrame | None, names: Names) -> list[str]:
    """Return where c_dec of each prefix is lowest, in a line; nothing of an SAE without prefixes.

    Parameters
    ----------
    table
        `c_dec_prefixes` as `gather` makes it.
    names
        How measured L0 are spoken.

    Examples
    --------
    >>> rows = {"l0": [4, 8], "l0_measured": [4, 8], "seed": 0, "latents": 6, "value": [0.2, 0.1]}
    >>> prefix_lines(pd.DataFrame(rows), Names({4: 4, 8: 8}))[0].partition(";")[0]
    'c_dec of the first 6 latents alone is lowest at L0 8 (0.1)'
    """
    if table is None or table.empty:
        return []
    at = table.assign(x=table["l0"].map(table.groupby("l0")["l0_measured"].mean()))
    means = at.groupby(["latents", "x"])["value"].mean()
    parts = []
    for latents in sorted(at["latents"].unique()):
        curve = means[latents]
        parts.append(
            f"of the first {int(latents):,} latents alone is lowest at L0 {names(curve.idxmin())} "
            f"({curve.min():.3g})"
        )
    return [
        f"c_dec {join(parts)}; these are rows of one decoder, not SAEs of that width, and only the "
        "whole is read."
    ]
