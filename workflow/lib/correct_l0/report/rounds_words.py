"""The rounds of a search in words, for the page and the summary."""

from __future__ import annotations

from typing import Any

import pandas as pd

from correct_l0.reading.reading import READ
from correct_l0.report.data import StudyData
from correct_l0.saes.search import L0Search
from correct_l0.settings.base import format_l0

ABSENT = "–"
FIRST = "spaced evenly on log L0"
"""Why the first points are what they are."""
LONGER = (
    "SAEs were trained again on more tokens, and such trainings count as often as they are longer; "
    "the last rows alone, of as many tokens, are what this report shows."
)
"""Said where not all rounds were trained alike."""


def rounds_in_words(study: StudyData) -> dict[str, Any]:
    """Return the rows of the table of rounds, what was searched, how it ended; of a list none."""
    search, table = study.plan.study.saes.search, study.tables["rounds"]
    if search is None or not len(table):
        return {"rows": []}
    return {
        "rows": _rows(table),
        "range": _range(search),
        "longer": LONGER if table["tokens"].nunique() > 1 else "",
        "end": end_in_words(table),
    }


def end_in_words(rounds: pd.DataFrame) -> str:
    """Return how a search ended, or that it has not."""
    last = rounds.iloc[-1]
    if last["add_l0"]:
        return f"It has not ended: next comes L0 {last['add_l0']}, {last['why']}."
    return f"It ended because {last['why']}."


def _rows(rounds: pd.DataFrame) -> list[dict[str, str]]:
    """Return a row for each round: why its points were chosen, and what was said after it."""
    whys = [FIRST, *rounds["why"]]
    return [
        {
            "round": str(row["round"]),
            "trained": row["trained"],
            "tokens": f"{row['tokens']:,}",
            "why": why,
            "outcome": "an L0" if row["outcome"] == READ else row["outcome"],
            "interval": _interval(row["low"], row["high"]) if row["outcome"] == READ else ABSENT,
            "trainings": str(row["trainings"]),
            "time": f"{row['training_s'] / 60:,.0f} min",
        }
        for row, why in zip(rounds.to_dict("records"), whys, strict=False)
    ]


def _interval(low: float, high: float) -> str:
    """Return an interval in words, with the ratio of its ends.

    Examples
    --------
    >>> _interval(22.0, 55.0)
    '22 to 55 (2.50)'
    """
    ends = f"{format_l0(float(f'{low:.3g}'))} to {format_l0(float(f'{high:.3g}'))}"
    return f"{ends} ({high / low:.2f})"


def _range(search: L0Search) -> str:
    """Return what was searched, and what would end it."""
    apart = "until the interval's ends are a factor {:g} apart"
    until = "" if search.until is None else apart.format(search.until)
    budget = "" if search.budget is None else f"with at most {search.budget} trainings"
    limits = ", ".join(filter(None, [until, budget]))
    low, high = format_l0(search.lowest), format_l0(search.highest)
    return f"The pipeline chose them, from L0 {low} to {high}, {limits}."
