"""What is right in a world: the L0 whose SAE recovers its features best, if any does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from calibration.measure import tables_of
from calibration.worlds import World, world

FOUND = 0.25
"""Share of the features that could be recovered which the best SAE has to recover (cosine above 0.9
with a latent of their own): below it, a world has no answer."""


@dataclass(frozen=True)
class Truth:
    """The right answer of a world.

    Attributes
    ----------
    right
        Measured L0 of the best recovery (mean cosine of features and latents matched one to one,
        mean over seeds), of the SAEs that were trained.
    found
        Share of min(features, d_sae) features recovered there.
    at_end
        Whether it is the lowest or the highest of them, so that a better one may lie beyond.
    true_l0
        Mean number of features that fire.
    """

    right: float
    found: float
    at_end: bool
    true_l0: float

    @property
    def has_answer(self) -> bool:
        """Whether there is an L0 to name; otherwise the right answer is none."""
        return self.found >= FOUND and not self.at_end


def truth_of(tables: Mapping[str, pd.DataFrame], features: int, d_sae: int) -> Truth:
    """Return what is right in a world.

    Examples
    --------
    >>> recovery = pd.DataFrame({"l0": [4.0, 8, 16], "l0_measured": [4.0, 8.5, 16],
    ...     "mcc": [0.7, 0.9, 0.8], "share_recovered": [0.1, 0.4, 0.3], "true_l0": 9.0})
    >>> truth_of({"recovery": recovery}, features=100, d_sae=50)
    Truth(right=8.5, found=0.8, at_end=False, true_l0=9.0)
    """
    means = tables["recovery"].groupby("l0").mean(numeric_only=True)
    best = int(means["mcc"].argmax())
    row = means.iloc[best]
    return Truth(
        right=float(row["l0_measured"]),
        found=float(row["share_recovered"] * features / min(features, d_sae)),
        at_end=best in (0, len(means) - 1),
        true_l0=float(row["true_l0"]),
    )


def truth_in(each: World, table: pd.DataFrame) -> Truth:
    """Return what is right in a world by its tables (`measure.one_table`)."""
    return truth_of(tables_of(table), each.features, each.config["saes"]["d_sae"])


def truths(*tables: pd.DataFrame) -> dict[int, Truth]:
    """Return what is right in every world of the first table, by all SAEs that were trained in it.

    Parameters
    ----------
    *tables
        The worlds' tables (`measure.one_table`), one under another.
    """
    known = pd.concat(tables, ignore_index=True)
    numbers = sorted(tables[0]["world"].astype(int).unique().tolist())
    return {number: truth_in(world(number), known[known["world"] == number]) for number in numbers}
