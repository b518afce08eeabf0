"""Is the L0 of a single SAE too low? Read off short trainings that start from it, at other L0.

Training on turns latents at any L0: batches throw them, and the SAE goes on learning. How far they
turn at the SAE's own L0 is the control. An SAE whose L0 is too high has latents to spare that
reconstruct what is left; given fewer active latents it has to turn the others, much further than
the control. One whose L0 is too low mixes features in its latents already; given fewer, it turns
them hardly further. Given more, latents turn further in many worlds whatever L0 is right.

Chosen on worlds whose truth is known, and reported on others: docs/calibration.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from correct_l0.reading.calibrated import CONFIDENCE, PULL_TOO_HIGH, PULL_TOO_LOW, STAYS

SAME = 0.05
"""Targets this near to the SAE's own L0, as a relative distance, are its own."""

TOO_LOW = "too low"
ABOUT_RIGHT = "about right"
TOO_HIGH = "too high"
CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class SingleReading:
    """What trainings that start from an SAE say of its L0.

    Attributes
    ----------
    outcome
        `TOO_LOW`, `ABOUT_RIGHT`, `TOO_HIGH` or `CANNOT_TELL`.
    confidence
        How probable it is that this is right, as counted on worlds whose truth is known; `None`
        where nothing is told.
    own_l0, own_c_dec, random
        The SAE's measured L0, its c_dec, and that of random directions.
    pull
        Mean of log(turned at the SAE's own L0 / turned at a lower one): near 0 where its L0 is too
        low, far below where it is too high.
    stays
        Log of how much further latents turn on the side where they turn less, at the nearest
        target, than at the SAE's own L0.
    l0, turned, c_dec
        By target, lowest first, means over seeds: measured L0; the mean angle in degrees between a
        latent's direction before and after; c_dec after.
    """

    outcome: str
    confidence: float | None
    own_l0: float
    own_c_dec: float
    random: float
    pull: float
    stays: float
    l0: tuple[float, ...]
    turned: tuple[float, ...]
    c_dec: tuple[float, ...]


def read_single(trained_on: pd.DataFrame) -> SingleReading:
    """Return what short trainings that start from one SAE say of its L0.

    Parameters
    ----------
    trained_on
        One row for each target and seed: `factor` (target L0 over the SAE's own), `l0_measured`,
        `turned`, `c_dec`; `own_l0`, `own_c_dec`, `random`.

    Examples
    --------
    Given half the active latents they turn four times as far as without a change:

    >>> table = pd.DataFrame({"factor": [0.5, 1.0, 2.0], "l0_measured": [8.0, 16.0, 32.0],
    ...     "turned": [8.0, 2.0, 2.0], "c_dec": [0.3, 0.3, 0.2],
    ...     "own_l0": 16.0, "own_c_dec": 0.3, "random": 0.1})
    >>> reading = read_single(table)
    >>> reading.outcome, round(reading.pull, 3) == -round(math.log(4), 3)
    ('too high', True)
    """
    means = trained_on.groupby("factor")[["l0_measured", "turned", "c_dec"]].mean().sort_index()
    pull = pull_of(means["turned"])
    stays = stays_of(means["turned"])
    outcome = outcome_of(pull, stays)
    first = trained_on.iloc[0]
    return SingleReading(
        outcome=outcome,
        confidence=CONFIDENCE.get(outcome),
        own_l0=float(first["own_l0"]),
        own_c_dec=float(first["own_c_dec"]),
        random=float(first["random"]),
        pull=pull,
        stays=stays,
        l0=tuple(means["l0_measured"].tolist()),
        turned=tuple(means["turned"].tolist()),
        c_dec=tuple(means["c_dec"].tolist()),
    )


def pull_of(turned: pd.Series) -> float:
    """Return how much further an SAE turns at its own L0 than at lower ones, as a logarithm.

    Mean over the lower targets; NaN where there is none, or none at the SAE's own L0.

    Parameters
    ----------
    turned
        Mean angle by target over own L0.

    Examples
    --------
    >>> pull_of(pd.Series({0.4: math.e**2, 0.63: math.e, 1.0: 1.0, 1.6: 5.0}))
    -1.5
    """
    own, down = _own(turned), turned[turned.index < 1 - SAME]
    if own.empty or down.empty:
        return math.nan
    return sum(math.log(own.iloc[0] / each) for each in down) / len(down)


def _own(turned: pd.Series) -> pd.Series:
    """Return the angles at the SAE's own L0."""
    return turned[(turned.index - 1).to_series().abs().to_numpy() <= SAME]


def stays_of(turned: pd.Series) -> float:
    """Return by how much less an SAE turns at its own L0 than at both neighbours of it.

    Log of the smaller of the two neighbours over that at the own L0; NaN where one is missing.

    Parameters
    ----------
    turned
        As in `pull_of`.

    Examples
    --------
    >>> stays_of(pd.Series({0.63: math.e, 1.0: 1.0, 1.6: 20.0}))
    1.0
    """
    up, down = turned[turned.index > 1 + SAME], turned[turned.index < 1 - SAME]
    own = _own(turned)
    if up.empty or down.empty or own.empty:
        return math.nan
    beside = min(up.loc[up.index.min()], down.loc[down.index.max()])
    return math.log(beside / own.iloc[0])


def outcome_of(pull: float, stays: float) -> str:
    """Return what both numbers mean together.

    Examples
    --------
    >>> [outcome_of(x, y) for x, y in ((0.0, 0.0), (-0.9, 0.0), (-0.3, 0.9), (-0.3, 0.0))]
    ['too low', 'too high', 'about right', 'cannot tell']
    """
    if pull > PULL_TOO_LOW:
        return TOO_LOW
    if pull < PULL_TOO_HIGH:
        return TOO_HIGH
    return ABOUT_RIGHT if math.isfinite(pull) and stays > STAYS else CANNOT_TELL
