"""The hedging rate in words and in the table of all points."""

from __future__ import annotations

import pandas as pd

from correct_l0.report.names import Names

COLUMNS = {
    "rate": "hedging rate",
    "share_of_shift": "share of the shift towards new latents",
    "new_alive": "new latents alive (share)",
    "l0_control": "L0 of the hedging rate's control",
    "l0_widened": "L0 of the widened SAE",
}
"""The last two where thresholds are learnt: in the second half of the two trainings."""


def hedging_lines(table: pd.DataFrame, names: Names) -> list[str]:
    """Return what the hedging rate says, in a line; none where it was not measured.

    Parameters
    ----------
    table
        As gathered, `l0_measured` being the mean over seeds of each point.
    names
        How L0 are spoken.

    Examples
    --------
    >>> table = pd.DataFrame({"l0_measured": [2.0, 2.0, 8.0, 8.0], "new_latents": 4, "steps": 100,
    ...                       "rate": [0.25, 0.35, 0.0, 0.04], "new_alive": 1.0})
    >>> print(hedging_lines(table, Names({2.0: 2.0, 8.0: 8.0}))[0])
    Hedging: given 4 new latents and 100 steps, latents go over to them by 0.300 at L0 2 (0.250 to 0.350 over seeds) and 0.020 at L0 8 (0.000 to 0.040 over seeds): the hedging rate, 0 where no more than to random directions.
    """  # noqa: E501
    if table.empty:
        return []
    rates = table.groupby("l0_measured")["rate"].agg(["mean", "min", "max", "size"])
    means = dict(zip(rates.index.astype(float), rates["mean"], strict=True))
    top, low = max(means, key=means.__getitem__), min(means, key=means.__getitem__)

    def told(l0: float) -> str:
        row = rates.loc[l0]
        spread = f" ({row['min']:.3f} to {row['max']:.3f} over seeds)" if row["size"] > 1 else ""
        return f"{row['mean']:.3f} at L0 {names(l0)}{spread}"

    first = table.iloc[0]
    ends = " and ".join(dict.fromkeys((told(top), told(low))))
    line = (
        f"Hedging: given {int(first['new_latents'])} new latents and {int(first['steps']):,} "
        f"steps, latents go over to them by {ends}: the hedging rate, 0 where no more than to "
        "random directions."
    )
    silent = 1 - table["new_alive"].mean()
    if silent > MOST_SILENT:
        line += (
            f" {silent:.0%} of the new latents were dead at the end: of an SAE that has no use for "
            "them the rate says little."
        )
    return [line + _moved_l0(table, names)]


def _moved_l0(table: pd.DataFrame, names: Names) -> str:
    """Return where the two trainings of an SAE ended at different L0; empty where none did."""
    if "l0_widened" not in table:
        return ""
    ends = table.groupby("l0_measured")[["l0_control", "l0_widened"]].mean()
    more = ends["l0_widened"] / ends["l0_control"].where(ends["l0_control"] > 0) - 1
    if not (more.abs() > MOST_MOVED).any():
        return ""
    most = ends.assign(more=more.abs()).nlargest(1, "more").reset_index().iloc[0]
    control, widened = (f"{most[name]:.3g}" for name in ("l0_control", "l0_widened"))
    return (
        f" At L0 {names(most['l0_measured'])} widened SAEs go on at L0 {widened}, their controls "
        f"at {control}: no target holds it, and the rate tells of that, too."
    )


MOST_SILENT = 0.1
"""Share of dead new latents from which on it is told."""

MOST_MOVED = 0.05
"""Relative distance of the L0 of both trainings from which on it is told."""


def hedging_columns(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the columns of the table of all points, and what they are called."""
    if table.empty:
        return pd.DataFrame(), {}
    there = {name: label for name, label in COLUMNS.items() if name in table}
    return table.set_index(["l0", "seed"])[list(there)], there
