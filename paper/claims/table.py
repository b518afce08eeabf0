"""The table of what became of every claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pandas as pd

from paper.claims.judgement import VERDICTS, Tables
from paper.claims.ledger import CLAIMS

COLUMNS = (
    "name", "part", "claim", "where", "published", "ours", "spread", "seeds", "threshold",
    "verdict", "study", "training",
)  # fmt: skip
"""`study` names the sweeps that a claim was held against, `training` what is not the paper's."""

Studies = Mapping[str, tuple[str, str]]
"""By what a claim reads: the names of the sweeps, and how their training differs."""


def judge_claims(tables: Tables, studies: Studies | None = None) -> pd.DataFrame:
    """Return one row per claim, columns `COLUMNS`.

    Parameters
    ----------
    tables
        As `paper.tables.claim_tables` makes them; those of sweeps that are not there have no rows.
    studies
        What they were made from.
    """
    rows = []
    for claim in CLAIMS:
        study, training = (studies or {}).get(claim.reads, ("", ""))
        found = claim.judge(tables)
        row = {**vars(claim), **vars(found), "study": study, "training": training}
        rows.append({column: row[column] for column in COLUMNS})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def counts(claims: pd.DataFrame) -> dict[str, int]:
    """Return how many claims have each verdict, in the order of `VERDICTS`."""
    found = Counter(claims["verdict"])
    return {verdict: found[verdict] for verdict in VERDICTS}
