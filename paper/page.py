"""The ledger as a page and in the words that end `make toy`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from correct_l0.report.html import asset, figure_entry, page_environment
from paper.claims.judgement import CONFOUNDED, NOT, NOT_RUN, PARTLY, REPRODUCED
from paper.claims.table import counts
from paper.figures import CAPTIONS

WIDTH = 100
MARKS = {
    REPRODUCED: "reproduced", PARTLY: "partly", NOT: "not", CONFOUNDED: "confounded",
    NOT_RUN: "absent",
}  # fmt: skip
"""How the style sheet names each verdict."""


def render_page(
    title: str, claims: pd.DataFrame, refused: Mapping[str, str], figures: Path | str
) -> str:
    """Return the ledger as one HTML file that needs nothing else.

    Parameters
    ----------
    title
        Heading.
    claims
        The ledger.
    refused
        Why no claim was held against some sweeps, by their name.
    figures
        Folder of `paper.figures`.
    """
    environment = page_environment("paper", "correct_l0.report")
    rows = claims.assign(over=[_over(row) for row in claims.to_dict("records")])
    return environment.get_template("ledger.html").render(
        title=title,
        counts=counts(claims),
        marks=MARKS,
        parts=[
            (part, found.to_dict("records")) for part, found in rows.groupby("part", sort=False)
        ],
        refused=refused,
        figures={name: figure_entry(figures, name, text) for name, text in CAPTIONS.items()},
        style=asset(environment, "report.css") + asset(environment, "ledger.css"),
    )


def _over(row: Mapping) -> str:
    """Return the spread over seeds and how many there are, in words."""
    if not row["seeds"]:
        return str(row["spread"])
    return f"{row['spread']} ({row['seeds']} seed{'s' * (row['seeds'] > 1)})".strip()


def render_summary(
    title: str, claims: pd.DataFrame, refused: Mapping[str, str], page: Path | str
) -> str:
    """Return the ledger as plain text, at most `WIDTH` characters wide."""
    found = ", ".join(f"{count} {name}" for name, count in counts(claims).items() if count)
    lines = [title, "", f"Of the paper's {len(claims)} claims: {found}."]
    for part, rows in claims.groupby("part", sort=False):
        lines += ["", str(part)]
        for row in rows.to_dict("records"):
            mark = f"  {row['verdict']:<24}"
            said = f"{row['claim']}: {row['ours']}"
            lines += textwrap.wrap(
                said, WIDTH, initial_indent=mark, subsequent_indent=" " * len(mark)
            )
    if refused:
        lines += ["", "Held against no claim:"]
        for name, why in refused.items():
            lines += textwrap.wrap(
                f"{name}: {why}", WIDTH, initial_indent="  ", subsequent_indent="    "
            )
    return "\n".join([*lines, "", f"Ledger: {page}"]) + "\n"
