"""The table of what became of every claim."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from correct_l0.toy_model.report import CLAIM_COLUMNS
from correct_l0.toy_model.report.claims.judgement import VERDICTS, Tables
from correct_l0.toy_model.report.claims.ledger import CLAIMS


def judge_claims(tables: Tables) -> pd.DataFrame:
    """Return one row per claim, columns `CLAIM_COLUMNS`.

    Parameters
    ----------
    tables
        The gathered tables by name; those of experiments that were not run have no rows.
    """
    rows = []
    for claim in CLAIMS:
        found = claim.judge(tables)
        rows.append(
            {
                **{column: getattr(claim, column, None) for column in CLAIM_COLUMNS},
                **vars(found),
            }
        )
    return pd.DataFrame(rows, columns=list(CLAIM_COLUMNS))


def counts(claims: pd.DataFrame) -> dict[str, int]:
    """Return how many claims have each verdict, in the order of `VERDICTS`."""
    found = Counter(claims["verdict"])
    return {verdict: found[verdict] for verdict in VERDICTS}
