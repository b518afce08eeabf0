"""The answer in words: a headline, one line per metric, and what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from correct_l0.reading.calibrated import NOMINAL, RIGHT_OF_HINTS
from correct_l0.reading.f1 import FLAT_F1, NO_SCORES, F1Reading
from correct_l0.reading.health import COSINE_LIMIT, MOVED_LIMIT, NOT_TRAINED
from correct_l0.reading.outlying import LEANS
from correct_l0.reading.peak import FEWEST_POINTS, NO_PEAK, OVERLAP
from correct_l0.reading.reading import (
    ABOVE_N,
    FALLS,
    FLAT,
    READ,
    TOO_FEW,
    TOO_HIGH,
    VALLEY_RATIO,
    CurveReading,
)
from correct_l0.reading.remedy import ADD_POINTS, DROP_ROWS, RAISE_N, TRAIN_OR_NARROW, WIDEN
from correct_l0.reading.stability import NOT_REPRODUCIBLE
from correct_l0.reading.verdict import Decision
from correct_l0.reading.voices import DISAGREE, SPLIT, Voice, those_that_read
from correct_l0.report.names import Names, join, latents
from correct_l0.report.stability_words import differing_words
from correct_l0.settings.base import format_l0

RAISE_IT = "Raise n above the L0 in question, at most to d_sae / 2."


def metric_name(metric: str) -> str:
    """Return a metric's name as it is written in text.

    Examples
    --------
    >>> metric_name("s_n_dec n=48")
    's_n^dec at n = 48'
    """
    return metric.replace("s_n_dec n=", "s_n^dec at n = ")


def headline(
    decision: Decision, names: Names, grid: Sequence[float], imported: bool = False
) -> str:
    """Return the answer in a few sentences: never a bare number, and at most one order.

    Of imported SAEs, which cannot be trained on, none. What rests on the decoder metrics alone is
    called a hint, with how often such ones are right.
    """
    order = _order(decision)
    if decision.is_hint:
        right, said = RIGHT_OF_HINTS[decision.outcome][decision.with_s_n_dec]
        order = (
            f"A hint, no answer: {right} of {said} such readings of one seed were right where the "
            f"truth is known. Two seeds at {FEWEST_POINTS} L0 or more tell better."
        )
    elif imported:
        order = "The sweep ends before its minimum." if decision.outcome == FALLS else ""
    return " ".join(filter(None, [_finding(decision, names, grid), order]))


def _finding(d: Decision, names: Names, grid: Sequence[float]) -> str:
    span = names.span(grid) if grid else "no points"
    if d.outcome == READ and not d.led_by_stability:
        who = join([voice.name for voice in those_that_read(d.voices)])
        return f"{_about(d, names)} by {who} alone."
    if d.outcome == READ:
        return _about(d, names) + "."
    if d.led_by_stability and d.outcome in (FLAT, FALLS, NO_PEAK):
        return _no_peak(d, names, grid)
    if d.outcome == FLAT:
        flat = [v.name for v in d.voices if v.outcome == FLAT]
        who = f"{flat[0]} changes" if len(flat) == 1 else "the decoder metrics change"
        return (
            f"Flat: over L0 {span} {who} by less than 3 standard errors. "
            "This study cannot say which L0 is right."
        )
    if d.outcome == FALLS:
        return (
            f"L0 above {names(grid[-2])}, by how much this grid cannot say: the decoder metrics "
            f"still fall at its highest point, {names(grid[-1])}."
        )
    if d.outcome == TOO_HIGH:
        return (
            f"L0 at or below {names(grid[0])}: the decoder metrics are lowest at the lowest point "
            "of the grid, so that the rise at low L0 is not seen."
        )
    if d.outcome == NOT_TRAINED:
        as_it_stands = _finding(replace(d, outcome=d.as_it_stands or TOO_FEW), names, grid)
        return (
            "Not trained enough to say: "
            + join(_untrained(d, names))
            + f". As they stand, the curves would read: {as_it_stands}"
        )
    if d.outcome == LEANS:
        return (
            "Leans on outlying rows: a few rows of massive norm weigh more than a tenth of all "
            "rows together, so that the SAEs are largely about them. No L0 is named."
        )
    if d.outcome == NOT_REPRODUCIBLE and d.reproducibility:
        return f"Not reproducible: {differing_words(d.reproducibility, names)}. No L0 is named."
    if d.outcome == DISAGREE:
        return "The metrics disagree: " + "; ".join(_positions(d, names)) + "."
    if d.outcome == ABOVE_N:
        return (
            "Not readable: s_n^dec names an L0 of n or more at every n, and n has to be above the "
            "correct L0."
        )
    return f"Too few points to read a curve ({span}): at least 3 L0 values are needed."


def _no_peak(d: Decision, names: Names, grid: Sequence[float]) -> str:
    """Return what the agreement of seeds says where it has no peak inside the grid."""
    if d.outcome == FALLS:
        return (
            f"L0 above {names(grid[-2])}, by how much this grid cannot say: the agreement of two "
            f"seeds still rises at its highest point, {names(grid[-1])}."
        )
    if d.outcome == FLAT:
        return f"Flat: two seeds agree as much at every L0, {names.span(grid)}. No L0 is named."
    if d.overlapping is not None:
        return (
            f"No peak: two seeds agree best at L0 {names(d.overlapping)}, which does not count, as "
            f"latents overlap there more than {OVERLAP:g} times as much as random directions, and "
            "ever less above it. No L0 is named."
        )
    return (
        f"No peak: two seeds agree best at the lowest L0 of the grid, {names(grid[0])}, and ever "
        "less above it. At an L0 of a few they can agree on latents that are no features: no L0 is "
        "named."
    )


def _order(d: Decision) -> str:
    """Return what to do about it, where the headline says so; the same as `Decision.remedy`."""
    if d.remedy == ADD_POINTS:
        return {
            FALLS: "Extend the grid.",
            TOO_HIGH: "Start lower.",
            NO_PEAK: "Start lower.",
        }.get(d.outcome, "")
    return {
        WIDEN: "The SAE has to be wider.",
        RAISE_N: RAISE_IT,
        TRAIN_OR_NARROW: "Train longer or narrower.",
        DROP_ROWS: "Leave them out.",
    }.get(d.remedy, "")


def _about(d: Decision, names: Names) -> str:
    if d.l0 is None or d.low is None or d.high is None:
        raise ValueError("no L0 to name")
    if d.led_by_stability:
        share = f"{NOMINAL:.0%} interval "
        return f"L0 about {names(d.l0)} ({share}{names(d.low)} to {names(d.high)})"
    return f"L0 about {names(d.l0)} (between {names(d.low)} and {names(d.high)})"


def _untrained(d: Decision, names: Names) -> list[str]:
    parts = []
    if cosine := d.weak.get("init_cosine"):
        parts.append(
            f"at L0 {names.list(cosine)} the decoder is still close to its random initialisation "
            f"(median cosine above {COSINE_LIMIT:g})"
        )
    if moved := d.weak.get("c_dec_moved"):
        parts.append(
            f"at L0 {names.list(moved)} c_dec moved by more than {MOVED_LIMIT:.0%} of its whole "
            "rise in the last tenth of training"
        )
    return parts


def _positions(d: Decision, names: Names) -> list[str]:
    positions = [f"{v.name} {position(v, names)}" for v in d.voices]
    return positions + [f"F1 with {latents(k)} does not peak there" for k in d.f1_disagrees]


def position(voice: Voice, names: Names) -> str:
    """Return what a voice says, in a few words."""
    if voice.outcome == READ:
        return (
            f"says about {names(voice.best)} (between {names(voice.low)} and {names(voice.high)})"
        )
    return {
        FALLS: "still falls at the end of the grid",
        TOO_HIGH: "is lowest at the start of the grid",
        FLAT: "is flat",
        SPLIT: "says different things at different n",
        ABOVE_N: "is not counted, as it names an L0 of n or more",
        TOO_FEW: "has too few points",
    }[voice.outcome]


def curve_line(reading: CurveReading, names: Names) -> str:
    """Return what one curve says, with its numbers."""
    r, name = reading, metric_name(reading.metric)
    if r.outcome == TOO_FEW:
        return f"{name}: too few points to read ({len(r.points)})."
    error = f" ± {r.jump_error:.2g}" if r.jump_error else ""
    lowest = f"{name} is lowest at L0 {names(r.minimum)} ({r.minimum_value:.3g})"
    others = [x for x in r.minimum_set if x != r.minimum]
    lowest += f", not distinguishable from {names.list(others)}" if others else ""
    if r.outcome == FLAT:
        return (
            f"{lowest}: flat, it rises by only {r.jump:.2g}{error} towards L0 {names(r.points[0])}."
        )
    if r.outcome == ABOVE_N:
        return f"{lowest}: it names an L0 of n or more, and is not counted."
    if r.outcome == TOO_HIGH:
        return f"{lowest}, the start of the grid: the rise at low L0 is not seen."
    rise = f"it rises by {r.jump:.3g}{error} towards L0 {names(r.points[0])}"
    elbow = (
        f"that rise begins (the elbow) between {names(r.elbow_low)} and {names(r.elbow_high)}, "
        f"by interpolation at {format_l0(float(f'{r.elbow:.3g}'))}"
    )
    line = f"{lowest}; {rise}; {elbow}"
    if r.outcome == FALLS:
        return f"{lowest}, the end of the grid, and still falls there; {rise}."
    if r.minimum > VALLEY_RATIO * r.best:
        line += f"; from {names(r.best)} to {names(r.minimum)} it is a shallow valley"
    if r.open_end:
        line += "; the valley reaches the end of the grid, so that no rise is seen"
    return line + "."


def not_counted(readings: Mapping[int, CurveReading]) -> str:
    """Return which n of s_n^dec name an L0 of n or more; empty where none does."""
    above = [str(n) for n, reading in readings.items() if reading.outcome == ABOVE_N]
    if not above:
        return ""
    verbs = ("names", "is") if len(above) == 1 else ("name", "are")
    return f"n = {', '.join(above)} {verbs[0]} an L0 of n or more and {verbs[1]} not counted"


def voice_line(voice: Voice, readings: Mapping[int, CurveReading], names: Names) -> str:
    """Return what s_n^dec says over the n that count, who differs, and who cannot tell."""
    if voice.outcome == ABOVE_N:
        return f"s_n^dec cannot tell: {not_counted(readings)}. {RAISE_IT}"
    by_name = {reading.metric: n for n, reading in readings.items()}

    def ns(metrics: Sequence[str]) -> str:
        return ", ".join(str(by_name[metric]) for metric in metrics)

    counted = {r.metric for r in readings.values() if r.outcome != ABOVE_N}
    line = f"s_n^dec {position(voice, names)} at {len(voice.agreeing)} of {len(counted)} n"
    line += f" (n = {ns(voice.agreeing)})" if voice.agreeing else ""
    if voice.differing:
        line += f"; something else at n = {ns(voice.differing)}"
    if silent := [metric for metric in voice.silent if metric in counted]:
        line += f"; n = {ns(silent)} cannot tell (flat, or too few points)"
    return "; ".join(filter(None, [line, not_counted(readings)])) + "."


def f1_line(reading: F1Reading, names: Names) -> str:
    """Return what one F1 curve says."""
    r, who = reading, f"F1 with {latents(reading.probe_k)}"
    if r.outcome == NO_SCORES or r.peak is None or r.peak_f1 is None:
        few = "1 task is too few" if r.tasks == 1 else "too few points or tasks"
        return f"{who}: no reading, {few if r.tasks else 'there are no scores'}."
    over = f"over {r.tasks} tasks and {r.seeds} seed" + ("" if r.seeds == 1 else "s")
    resolved = f"differences below {r.resolution:.2g} are not resolved {over}"
    if r.outcome == FLAT_F1:
        worst = (
            f"worst lower by {r.spread:.2g} ± {r.spread_error:.2g}" if r.spread else "and all alike"
        )
        return f"{who} is flat: best {r.peak_f1:.3f} at L0 {names(r.peak)}, {worst}; {resolved}."
    rest = [x for x in r.peak_set if x != r.peak]
    tied = f", not distinguishable from {names.list(rest)}" if rest else ""
    return f"{who} peaks at L0 {names(r.peak)} ({r.peak_f1:.3f}){tied}; {resolved}."
