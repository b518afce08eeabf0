"""The summary that ends `make toy`: the verdict against the truth, and every claim in a line."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from correct_l0.report.summary import StageTime, times_table
from correct_l0.toy_model.report.claims.table import counts

WIDTH = 100


def render_toy_summary(
    verdict: Mapping[str, Any],
    claims: pd.DataFrame,
    report: Path | str,
    title: str,
    times: Sequence[StageTime],
) -> str:
    """Return the summary as plain text, at most `WIDTH` characters wide.

    Parameters
    ----------
    verdict
        The content of `verdict.json`.
    claims
        The ledger.
    report
        Where the page is.
    title
        Of the study.
    times
        Of each stage.
    """
    lines = [title, "", verdict["headline"], verdict["truth"]["sentence"], ""]
    lines += _wrapped([*verdict["lines"], *verdict["minima"]], "  ")
    lines += _wrapped([f"But: {line}" for line in verdict["caveats"]], "  ")
    found = ", ".join(f"{count} {name}" for name, count in counts(claims).items() if count)
    lines += ["", f"Of the paper's {len(claims)} claims: {found}."]
    for part, rows in claims.groupby("part", sort=False):
        lines += ["", str(part)]
        for row in rows.to_dict("records"):
            mark = f"  {row['verdict']:<24}"
            said = f"{row['claim']}: {row['ours']}"
            lines += textwrap.wrap(
                said, WIDTH, initial_indent=mark, subsequent_indent=" " * len(mark)
            )
    lines += ["", f"Report: {report}"]
    return "\n".join([*lines, *times_table(times)]) + "\n"


def _wrapped(sentences: Sequence[str], indent: str) -> list[str]:
    return [
        line
        for sentence in sentences
        for line in textwrap.wrap(
            sentence, WIDTH, initial_indent=indent, subsequent_indent=indent + "  "
        )
    ]
