"""Ways to read a sweep: each names an L0, or refuses. None looks at the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float

from correct_l0.metrics.decoder.cosine import random_baseline
from correct_l0.reading.calibrated import NOMINAL
from correct_l0.reading.interval import interval_of
from correct_l0.reading.peak import SMOOTHING, PeakReading, read_peak
from correct_l0.reading.reading import READ, CurveReading
from correct_l0.reading.shape import smooth, vertex
from correct_l0.reading.stability import excess_over, is_reproducible
from correct_l0.reading.voices import Voice, common_outcome, those_that_read, voices_of
from correct_l0.report.names import preferred
from correct_l0.report.study import curve_readings, read_study

Tables = Mapping[str, pd.DataFrame]
Made = TypeVar("Made")


@dataclass(frozen=True)
class Estimate:
    """What an estimator says of a world.

    Attributes
    ----------
    l0
        The L0 named; NaN where it refuses.
    low, high
        Its own interval, where it has one; otherwise it gets one from its errors on the first half.
    """

    l0: float = math.nan
    low: float = math.nan
    high: float = math.nan


REFUSED = Estimate()
DRAWS = 200
"""Of the bootstrap."""


@dataclass(frozen=True)
class Curves:
    """A world's curves over measured L0, means over seeds or pairs, lowest L0 first."""

    l0: Float[np.ndarray, " points"]
    c_dec: Float[np.ndarray, " points"]
    reproduced: Float[np.ndarray, " points"]
    d_sae: int
    share: Float[np.ndarray, " points"]
    excess: Float[np.ndarray, " points"]
    dead: Float[np.ndarray, " points"]
    random: float
    """c_dec of random directions."""

    @property
    def step(self) -> float:
        """Median distance of neighbours on log L0."""
        return float(np.median(np.diff(np.log(self.l0))))

    def nearest(self, l0: float) -> int:
        """Return the point nearest to an L0, on the logarithm."""
        return int(np.abs(np.log(self.l0 / l0)).argmin())

    def reproducible(self, l0: float) -> bool:
        """Return whether two seeds find the same latents at the point nearest to an L0."""
        i = self.nearest(l0)
        return is_reproducible(self.share[i], self.excess[i])


def _once(function: Callable[[Tables], Made]) -> Callable[[Tables], Made]:
    """Keep what is made of the last tables, as all estimators are asked about a world in turn."""
    kept: list[tuple[Tables, Made]] = []

    @wraps(function)
    def of(tables: Tables) -> Made:
        if not kept or kept[0][0] is not tables:
            kept[:] = [(tables, function(tables))]
        return kept[0][1]

    return of


@_once
def curves_of(tables: Tables) -> Curves:
    """Return a world's curves at the points that have all of them."""
    points = tables["points"].groupby("l0")[["l0_measured", "dead_fraction"]].mean()
    points["c_dec"] = tables["c_dec"].groupby("l0")["value"].mean()
    pairs = tables["stability"]
    pairs = pairs.assign(excess=excess_over(pairs["pw_mcc"], pairs["chance_pw_mcc"]))
    points = points.join(
        pairs.groupby("l0")[["reproduced_share", "share_above", "excess"]].mean()
    ).dropna()
    points = points.sort_values("l0_measured")

    def column(name: str) -> Float[np.ndarray, " points"]:
        return points[name].to_numpy(dtype=float)

    return Curves(
        l0=column("l0_measured"),
        c_dec=column("c_dec"),
        reproduced=column("reproduced_share"),
        d_sae=int(tables["points"]["d_sae"].iloc[0]),
        share=column("share_above"),
        excess=column("excess"),
        dead=column("dead_fraction"),
        random=random_baseline(int(tables["points"]["d_in"].iloc[0])),
    )


def voices(tables: Tables) -> Estimate:
    """What c_dec and s_n^dec of both seeds say together, refused where the seeds differ."""
    return _said(tables, voices_of(*_decoder_readings(tables)))


def s_n_dec_alone(tables: Tables) -> Estimate:
    """What more than half of the n of s_n^dec say."""
    return _said(tables, voices_of(None, _decoder_readings(tables)[1]))


@_once
def _decoder_readings(tables: Tables) -> tuple[CurveReading | None, dict[int, CurveReading]]:
    return curve_readings(tables, tables["points"].groupby("l0")["l0_measured"].mean())


def _said(tables: Tables, heard: Sequence[Voice]) -> Estimate:
    """Return the L0 that voices name together, unless seeds differ there."""
    if common_outcome(heard) != READ:
        return REFUSED
    said, curves = those_that_read(heard), curves_of(tables)
    bottom = [x for x in curves.l0 if min(v.best for v in said) <= x <= max(v.bottom for v in said)]
    if not all(curves.reproducible(x) for x in bottom):
        return REFUSED
    named = interval_of(said)
    return Estimate(named.l0, named.low, named.high)


def c_dec_fit(tables: Tables) -> Estimate:
    """The lowest point of c_dec, smoothed as stability is; points mostly dead are left out."""
    curves = curves_of(tables)
    alive = curves.dead < 0.5
    if alive.sum() < 5:
        return REFUSED
    x, y = np.log(curves.l0[alive]), -curves.c_dec[alive]
    return _inner_top(x, smooth(x, y, SMOOTHING * curves.step))


def stability_top(tables: Tables) -> Estimate:
    """The highest point of the reproduced share, wherever; refused at the grid's ends."""
    curves = curves_of(tables)
    x = np.log(curves.l0)
    return _inner_top(x, smooth(x, curves.reproduced, SMOOTHING * curves.step))


def stability_peak(tables: Tables) -> Estimate:
    """The highest peak of the reproduced share inside the grid, if it is reproducible."""
    curves = curves_of(tables)
    return _peak(curves, read_peak(curves.l0, curves.reproduced))


def stability_and_c_dec(tables: Tables) -> Estimate:
    """The same, leaving out peaks where latents overlap too much: what the package reads."""
    curves = curves_of(tables)
    return _peak(curves, read_peak(curves.l0, curves.reproduced, curves.c_dec / curves.random))


def report_says(tables: Tables) -> Estimate:
    """What a report prints: it refuses for want of training too, and tells preferred numbers."""
    points = tables["points"]
    verdict = read_study(
        tables,
        d_sae=int(points["d_sae"].iloc[0]),
        l0=sorted(points["l0"].unique()),
        training_tokens=1,  # only what to do next is told in tokens
    )
    if verdict["outcome"] != READ:
        return REFUSED
    return Estimate(*(preferred(verdict["decision"][name]) for name in ("l0", "low", "high")))


def stability_steps(tables: Tables) -> Estimate:
    """The same, with an interval of so many steps of the grid."""
    return replace(stability_and_c_dec(tables), low=math.nan, high=math.nan)


def stability_bootstrap(tables: Tables) -> Estimate:
    """The same, with an interval of the bootstrap over matched latents: the middle 90% of peaks.

    Of a pair's latents the tables have the mean alone. Each latent's part of it is between 0 and 1,
    so that a binomial spreads at least as far as drawing the latents again.
    """
    curves, named = curves_of(tables), stability_and_c_dec(tables)
    if math.isnan(named.l0):
        return REFUSED
    draw = np.random.default_rng(0)
    shares = draw.binomial(curves.d_sae, curves.reproduced, (DRAWS, len(curves.l0))) / curves.d_sae
    peaks = [read_peak(curves.l0, each, curves.c_dec / curves.random).l0 for each in shares]
    if np.isnan(peaks).mean() > 0.5:
        return REFUSED
    low, high = np.nanquantile(peaks, [(1 - NOMINAL) / 2, (1 + NOMINAL) / 2])
    return Estimate(named.l0, float(low), float(high))


def stability_above(tables: Tables) -> Estimate:
    """The same of the share of latents matched above 0.9."""
    curves = curves_of(tables)
    return replace(_peak(curves, read_peak(curves.l0, curves.share)), low=math.nan, high=math.nan)


READING = "stability's peak, where c_dec is low"
"""The one that the package reads by (`correct_l0.reading.peak`)."""
PRINTED = "the report, as printed"

ESTIMATORS: dict[str, Callable[[Tables], Estimate]] = {
    "c_dec and s_n^dec together": voices,
    "s_n^dec alone": s_n_dec_alone,
    "c_dec, lowest": c_dec_fit,
    "stability, highest": stability_top,
    "share above .9, peak": stability_above,
    "stability, peak": stability_peak,
    READING: stability_and_c_dec,
    PRINTED: report_says,
    f"{READING}; fixed interval": stability_steps,
    f"{READING}; bootstrap": stability_bootstrap,
}


def _peak(curves: Curves, peak: PeakReading) -> Estimate:
    """Return the estimate of a peak, unless seeds differ too much there."""
    if peak.outcome != READ or not curves.reproducible(peak.point):
        return REFUSED
    return Estimate(peak.l0, peak.low, peak.high)


def _inner_top(x: Float[np.ndarray, " points"], curve: Float[np.ndarray, " points"]) -> Estimate:
    top = int(curve.argmax())
    if top in (0, len(x) - 1):
        return REFUSED
    return Estimate(math.exp(vertex(x[top - 1 : top + 2], curve[top - 1 : top + 2])))
