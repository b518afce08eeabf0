"""What a claim is, the verdicts it can get, and the few rules that turn numbers into verdicts.

Every verdict is a function of the tables. A claim about one SAE is tested for each seed, as
training sometimes sticks in a poor local minimum: it is reproduced where at least `MOST` of the
seeds pass, partly where some do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

REPRODUCED = "reproduced"
PARTLY = "partly"
NOT = "not"
CONFOUNDED = "confounded as published"
NOT_RUN = "not run"
VERDICTS = (REPRODUCED, PARTLY, NOT, CONFOUNDED, NOT_RUN)

MOST = 0.8
"""Share of the seeds that have to pass."""

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Finding:
    """What the study found about a claim: in words, its spread over seeds, and the verdict."""

    verdict: str
    ours: str
    spread: str = ""
    seeds: int = 0


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes
    ----------
    name, part
        Its name, and the part of the ledger that it stands in.
    claim, where, published
        What the paper says, where in which version, and the value it gives.
    threshold
        In words: from which value on it counts as reproduced.
    reads
        Which sweeps it is about, by their role in `studies.ROLES`; else the table: `small_model`,
        `theory`, `hedging`, `language_models` or `widths`.
    judge
        Finds the verdict in the tables.
    """

    name: str
    part: str
    claim: str
    where: str
    published: str
    threshold: str
    reads: str
    judge: Callable[[Tables], Finding]


def not_run(why: str) -> Finding:
    """Return that a claim was not tested, and why."""
    return Finding(NOT_RUN, why)


def by_share(passed: Sequence[bool], nearly: Sequence[bool] = (False,)) -> str:
    """Return the verdict of a test that was made for each seed.

    Parameters
    ----------
    passed
        Which seeds pass. Reproduced from `MOST` of them on, partly from one on.
    nearly
        Which seeds pass a weaker test: `MOST` of them are enough for partly.

    Examples
    --------
    >>> by_share([True] * 4 + [False]), by_share([True, False]), by_share([False]), by_share([])
    ('reproduced', 'partly', 'not', 'not run')
    >>> by_share([False, False], nearly=[True, True])
    'partly'
    """
    if not len(passed):
        return NOT_RUN
    share = float(np.mean(passed))
    if share >= MOST:
        return REPRODUCED
    return PARTLY if share > 0 or np.mean(nearly) >= MOST else NOT


def all_of(verdicts: Sequence[str]) -> str:
    """Return the verdict of several tests together: theirs where they agree, partly otherwise.

    Examples
    --------
    >>> all_of([REPRODUCED, REPRODUCED]), all_of([REPRODUCED, NOT]), all_of([NOT, NOT])
    ('reproduced', 'partly', 'not')
    """
    return verdicts[0] if len(set(verdicts)) == 1 else PARTLY


def at_l0(table: pd.DataFrame, l0: float, column: str = "l0") -> pd.DataFrame:
    """Return the rows at one L0."""
    return table[np.isclose(table[column].astype(float), l0)]


def per_seed(table: pd.DataFrame, column: str) -> pd.Series:
    """Return the mean of a column for each seed that has one."""
    return table.dropna(subset=[column]).groupby("seed")[column].mean().astype(float)


def number(x: float) -> str:
    """Return a number with three digits.

    Examples
    --------
    >>> number(0.99937), number(2.7312), number(10.945), number(1234.5), number(-0.0002)
    ('0.999', '2.73', '10.9', '1234', '−0.0002')
    """
    return (f"{x:.0f}" if abs(x) >= 1000 else f"{x:.3g}").replace("-", "−")


def spread_of(values: pd.Series | np.ndarray | Sequence[float]) -> str:
    """Return the range over seeds in words.

    Examples
    --------
    >>> spread_of([0.9, 1.0]), spread_of([11, 11]), spread_of([0.5]), spread_of([])
    ('0.9 to 1', '11 in each seed', 'one seed', '')
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if len(known) < 2:
        return "one seed" if len(known) else ""
    low, high = number(known.min()), number(known.max())
    return f"{low} in each seed" if low == high else f"{low} to {high}"


def each_seed(
    values: pd.Series, passes: Callable[[float], bool], what: str, missing: str
) -> Finding:
    """Return the finding of a test of one value per seed.

    Parameters
    ----------
    values
        One value per seed.
    passes
        The test.
    what
        What the value is, in words.
    missing
        Why there are no values, where there are none.
    """
    if not len(values):
        return not_run(missing)
    passed = [bool(passes(float(value))) for value in values]
    ours = f"{what} {number(float(values.mean()))}; {count_of(passed)}"
    return Finding(by_share(passed), ours, spread_of(values), len(values))


def count_of(passed: Sequence[bool], what: str = "seed") -> str:
    """Return how many seeds, or others, pass, in words.

    Examples
    --------
    >>> count_of([True, False]), count_of([True])
    ('holds in 1 of 2 seeds', 'holds in its one seed')
    """
    if len(passed) == 1:
        return f"holds in its one {what}" if passed[0] else f"does not hold in its one {what}"
    return f"holds in {sum(passed)} of {len(passed)} {what}s"


def rank_correlation(x: Any, y: Any) -> float:
    """Return Spearman's rank correlation, NaN where one side is constant or has under 3 values.

    Examples
    --------
    >>> rank_correlation([1, 2, 3, 4], [1, 4, 9, 16]), rank_correlation([1, 2], [1, 2])
    (1.0, nan)
    """
    ranks = pd.DataFrame({"x": np.asarray(x, float), "y": np.asarray(y, float)}).dropna().rank()
    if len(ranks) < 3 or ranks["x"].nunique() < 2 or ranks["y"].nunique() < 2:
        return float("nan")
    return float(round(ranks["x"].corr(ranks["y"]), 12))
