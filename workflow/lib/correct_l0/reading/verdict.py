"""From the readings of the curves to one answer, with everything that speaks against it.

1. The agreement of seeds says which L0 (`peak`): the voice that was found right on worlds of known
   truth (docs/calibration.md). How far its interval reaches stands in `calibrated`.
   With one seed two *voices* of the decoder, c_dec and s_n^dec, say what they can (`voices`).
2. F1 agrees, disagrees or cannot tell.
3. The SAEs the answer stands on must be trained enough (`health`), and those it names must be those
   of any seed (`stability`): if not, no answer.
4. What would help (`remedy`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from correct_l0.reading.calibrated import RIGHT_OF_HINTS
from correct_l0.reading.f1 import FLAT_F1, PEAK, F1Reading
from correct_l0.reading.health import NOT_TRAINED, weak_points
from correct_l0.reading.interval import (
    Ground,
    Interval,
    ground_of,
    ground_of_peak,
    interval_of,
    interval_of_peak,
    marks_of_peak,
)
from correct_l0.reading.outlying import LEANS
from correct_l0.reading.peak import NO_PEAK
from correct_l0.reading.reading import ABOVE_N, FLAT, READ, TOO_FEW, CurveReading
from correct_l0.reading.remedy import NOTHING, remedy_of
from correct_l0.reading.stability import (
    NOT_REPRODUCIBLE,
    Reproducibility,
    StabilityReading,
    reproducibility_at,
)
from correct_l0.reading.voices import (
    DISAGREE,
    Voice,
    common_outcome,
    those_that_read,
    voices_of,
)


@dataclass(frozen=True)
class Decision:
    """The answer; `l0`, `low`, `high` are measured L0 and `None` unless there is one to name.

    Attributes
    ----------
    outcome
        `READ`, `FLAT`, `FALLS`, `NO_PEAK`, `TOO_HIGH`, `TOO_FEW`, `ABOVE_N`, `NOT_TRAINED`,
        `NOT_REPRODUCIBLE`, `LEANS` or `DISAGREE`.
    led_by_stability
        Whether the agreement of seeds gave the answer, or the decoder metrics had to.
    overlapping
        Where seeds agree well at an L0 that is clearly too low (`PeakReading.overlapping`).
    as_it_stands
        For `NOT_TRAINED`, `NOT_REPRODUCIBLE` and `LEANS`: what the curves would say otherwise.
    leaning
        L0 of the points the answer leans on.
    f1_agrees, f1_disagrees, f1_silent
        probe_k of the F1 curves by what they say about the answer.
    weak
        Of `leaning`, the points that fail a test of training health (`health.weak_points`).
    reproducibility
        Whether two seeds agree at the points that the answer names; `None` where it was not
        measured.
    remedy, add_l0
        What to do next (a constant of `remedy`), and the points to add.
    """

    outcome: str
    voices: tuple[Voice, ...]
    l0: float | None = None
    low: float | None = None
    high: float | None = None
    as_it_stands: str | None = None
    leaning: tuple[float, ...] = ()
    f1_agrees: tuple[int, ...] = ()
    f1_disagrees: tuple[int, ...] = ()
    f1_silent: tuple[int, ...] = ()
    add_l0: tuple[float, ...] = ()
    weak: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    reproducibility: Reproducibility | None = None
    remedy: str = NOTHING
    led_by_stability: bool = False
    overlapping: float | None = None

    @property
    def is_hint(self) -> bool:
        """Whether it says where the right L0 is by the decoder metrics alone."""
        return not self.led_by_stability and self.outcome in RIGHT_OF_HINTS

    @property
    def with_s_n_dec(self) -> bool:
        """Whether s_n^dec was measured."""
        return len(self.voices) > 1


@dataclass(frozen=True)
class F1Say:
    """probe_k of the F1 curves: their peak is in the interval, is not, or there is none."""

    agrees: tuple[int, ...]
    disagrees: tuple[int, ...]
    silent: tuple[int, ...]


def decide(
    c_dec: CurveReading | None,
    s_n_dec: Mapping[int, CurveReading],
    f1: Mapping[int, F1Reading],
    health: pd.DataFrame,
    d_sae: int,
    stability: StabilityReading | None = None,
    leans: bool = False,
) -> Decision:
    """Return the answer.

    Parameters
    ----------
    c_dec
        Reading of c_dec, the headline metric of the paper's later version.
    s_n_dec
        Readings of s_n^dec by n.
    f1
        Readings of F1 by probe_k.
    health
        One row per L0 and seed: `l0`, `l0_measured` and, where known, `init_cosine_median`,
        `c_dec_moved` (in the last tenth of training, as a share of c_dec's jump), `loss_slope`,
        `dead_fraction`.
    d_sae
        Number of latents: no L0 above half of it is proposed.
    stability
        How alike two seeds are, at the same measured L0 as `health` has; `None` where that is not
        known.
    leans
        Whether the SAEs are largely of rows of massive norm (`outlying.leans_on_outlying`).
    """
    voices = voices_of(c_dec, s_n_dec)
    grid = sorted(health.groupby("l0")["l0_measured"].mean())

    peak = stability.peak if stability and stability.peak.outcome != TOO_FEW else None
    if peak:
        interval = interval_of_peak(peak) if peak.outcome == READ else None
    else:
        interval = interval_of(voices) if common_outcome(voices) == READ else None
    f1_say = say_of_f1(f1, interval)
    curves_say = peak.outcome if peak else DISAGREE if f1_say.disagrees else common_outcome(voices)

    ground = ground_of_peak(peak, interval, grid) if peak else ground_of(curves_say, voices, grid)
    weak = weak_points(health, ground.leaning)
    alike = reproducibility_at(stability, ground.named) if stability else None
    # Where seeds agree on an L0 without c_dec, its moves as a share of its own rise tell nothing.
    c_dec_counts = not (peak and peak.outcome == READ and math.isnan(peak.seeds_agree))
    untrained = {*weak["init_cosine"], *(weak["c_dec_moved"] if c_dec_counts else ())}
    refusal = LEANS if leans else refusal_of(curves_say, ground, untrained, alike)

    outcome = refusal or curves_say
    named = None if outcome in (NOT_REPRODUCIBLE, LEANS) else interval
    marks = marks_of_peak(peak, interval, grid) if peak else marks_of(voices, f1, f1_say)
    overlapping = peak.overlapping if peak and math.isfinite(peak.overlapping) else None
    remedy = remedy_of(outcome, marks, grid, d_sae, too_low=overlapping is not None)
    return Decision(
        outcome=outcome,
        voices=voices,
        l0=named.l0 if named else None,
        low=named.low if named else None,
        high=named.high if named else None,
        as_it_stands=curves_say if refusal else None,
        leaning=ground.leaning,
        f1_agrees=f1_say.agrees,
        f1_disagrees=f1_say.disagrees,
        f1_silent=f1_say.silent,
        add_l0=remedy.add_l0,
        weak=weak,
        reproducibility=alike,
        remedy=remedy.what,
        led_by_stability=peak is not None,
        overlapping=overlapping,
    )


def say_of_f1(f1: Mapping[int, F1Reading], interval: Interval | None) -> F1Say:
    """Return which F1 curves peak in the interval; none agrees or disagrees where there is none."""
    silent = tuple(k for k, reading in f1.items() if reading.outcome == FLAT_F1)
    if interval is None:
        return F1Say((), (), silent)
    peaks = {k: reading.peak_set for k, reading in f1.items() if reading.outcome == PEAK}
    agrees = tuple(
        k for k, peak in peaks.items() if any(interval.low <= x <= interval.reach for x in peak)
    )
    return F1Say(agrees, tuple(k for k in peaks if k not in agrees), silent)


def refusal_of(
    outcome: str,
    ground: Ground,
    untrained: Collection[float],
    alike: Reproducibility | None,
) -> str | None:
    """Return why there is no answer whatever the curves say, or nothing.

    Not trained enough: at a point the answer leans on, of which some are `untrained`. Not
    reproducible: at a point it names. More than half of the points where no L0 is named: where
    nothing stands out for both, where metrics disagree for the second.
    """
    if len(untrained) > (len(ground.leaning) / 2 if outcome in (FLAT, NO_PEAK) else 0):
        return NOT_TRAINED
    if alike is None or outcome in (TOO_FEW, ABOVE_N):
        return None
    most = len(alike.points) / 2 if outcome in (FLAT, DISAGREE, NO_PEAK) else 0
    if len(alike.differing) > most:
        return NOT_REPRODUCIBLE
    return None


def marks_of(
    voices: Sequence[Voice], f1: Mapping[int, F1Reading], f1_say: F1Say
) -> tuple[float, ...]:
    """Return all L0 between which the answer may lie: the voices' bounds, other peaks of F1."""
    bounds = [x for v in those_that_read(voices) for x in (v.low, v.high)]
    return (*bounds, *(x for k in f1_say.disagrees for x in f1[k].peak_set))
