"""Ways to read a sweep: each names an L0, or refuses. None looks at the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from correct_l0.reading.curve import curve_of
from correct_l0.reading.peak import SMOOTHING, read_peak, smooth, vertex
from correct_l0.reading.reading import READ, read_curve
from correct_l0.reading.stability import excess_over, is_reproducible
from correct_l0.reading.voices import common_outcome, those_that_read, voices_of

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Estimate:
    """What an estimator says of a world.

    Attributes
    ----------
    l0
        The L0 named; NaN where it refuses.
    step
        Distance on log L0 of neighbouring grid points around it: the unit of its errors.
    low, high
        Its own interval, where it has one; otherwise it gets one from its errors on the first half.
    """

    l0: float = math.nan
    step: float = math.nan
    low: float = math.nan
    high: float = math.nan


REFUSED = Estimate()


@dataclass(frozen=True)
class Curves:
    """A world's curves over measured L0, means over seeds or pairs, lowest L0 first."""

    l0: Float[np.ndarray, " points"]
    c_dec: Float[np.ndarray, " points"]
    reproduced: Float[np.ndarray, " points"]
    share: Float[np.ndarray, " points"]
    excess: Float[np.ndarray, " points"]
    dead: Float[np.ndarray, " points"]

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
    names = ("l0_measured", "c_dec", "reproduced_share", "share_above", "excess", "dead_fraction")
    return Curves(*(points[name].to_numpy(dtype=float) for name in names))


def voices(tables: Tables) -> Estimate:
    """c_dec and s_n^dec as two voices with a veto, and a test of reproducibility: the reading
    before stability led it."""
    measured = tables["points"].groupby("l0")["l0_measured"].mean()

    def at_mean(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(l0_measured=table["l0"].map(measured))

    c_dec = read_curve(curve_of(at_mean(tables["c_dec"]), "c_dec"))
    s_n = at_mean(tables["s_n_dec"])
    s_n = s_n[s_n["statistic"] == "batch_mean"]
    readings = {
        int(n): read_curve(curve_of(rows, f"s_n_dec n={n:g}"), float(n))
        for n, rows in s_n.groupby("n")
    }
    heard = voices_of(c_dec, readings)
    if common_outcome(heard) != READ:
        return REFUSED
    said = those_that_read(heard)
    l0 = math.exp(sum(math.log(v.best) for v in said) / len(said))
    curves = curves_of(tables)
    bottom = [x for x in curves.l0 if min(v.best for v in said) <= x <= max(v.bottom for v in said)]
    if not all(curves.reproducible(x) for x in bottom):
        return REFUSED
    return Estimate(l0, curves.step, min(v.low for v in said), max(v.high for v in said))


def c_dec_fit(tables: Tables) -> Estimate:
    """The lowest point of c_dec, smoothed as stability is; points mostly dead are left out."""
    curves = curves_of(tables)
    alive = curves.dead < 0.5
    if alive.sum() < 5:
        return REFUSED
    x, y = np.log(curves.l0[alive]), -curves.c_dec[alive]
    return _inner_top(x, smooth(x, y, SMOOTHING * curves.step), curves.step)


def stability_top(tables: Tables) -> Estimate:
    """The highest point of the reproduced share, wherever; refused at the grid's ends."""
    curves = curves_of(tables)
    x = np.log(curves.l0)
    return _inner_top(x, smooth(x, curves.reproduced, SMOOTHING * curves.step), curves.step)


def stability_peak(tables: Tables) -> Estimate:
    """The highest peak of the reproduced share inside the grid, if it is reproducible."""
    curves = curves_of(tables)
    peak = read_peak(curves.l0, curves.reproduced)
    if peak.outcome != READ or not curves.reproducible(peak.point):
        return REFUSED
    return Estimate(peak.l0, curves.step, peak.low, peak.high)


def stability_steps(tables: Tables) -> Estimate:
    """The same, with an interval of so many steps of the grid."""
    return replace(stability_peak(tables), low=math.nan, high=math.nan)


def stability_above(tables: Tables) -> Estimate:
    """The same of the share of latents matched above 0.9."""
    curves = curves_of(tables)
    peak = read_peak(curves.l0, curves.share)
    if peak.outcome != READ or not curves.reproducible(peak.point):
        return REFUSED
    return Estimate(peak.l0, curves.step)


def both(tables: Tables) -> Estimate:
    """The peak of stability, refused where c_dec's lowest point is more than two steps lower."""
    peak, lowest = stability_peak(tables), c_dec_fit(tables)
    if math.isnan(peak.l0):
        return REFUSED
    if lowest.l0 < peak.l0 * math.exp(-2 * peak.step):
        return REFUSED
    return peak


ESTIMATORS: dict[str, Callable[[Tables], Estimate]] = {
    "c_dec and s_n^dec (before)": voices,
    "c_dec, smooth": c_dec_fit,
    "stability, highest": stability_top,
    "stability, peak": stability_peak,
    "stability, peak, in steps": stability_steps,
    "share above .9, peak": stability_above,
    "stability and c_dec": both,
}


def _inner_top(x: np.ndarray, curve: np.ndarray, step: float) -> Estimate:
    top = int(curve.argmax())
    if top in (0, len(x) - 1):
        return REFUSED
    return Estimate(math.exp(vertex(x[top - 1 : top + 2], curve[top - 1 : top + 2])), step)
