"""Whether the metrics agree, in words."""

from __future__ import annotations

from collections.abc import Mapping

from correct_l0.reading.f1 import FLAT_F1, PEAK, F1Reading
from correct_l0.reading.outlying import LEANS
from correct_l0.reading.reading import (
    READ,
)
from correct_l0.reading.stability import NOT_REPRODUCIBLE
from correct_l0.reading.verdict import Decision
from correct_l0.reading.voices import Voice, those_that_read
from correct_l0.report.names import Names, join, latents
from correct_l0.report.words import position


def agreement_line(
    d: Decision, f1: Mapping[int, F1Reading], names: Names, probed: bool = True
) -> str:
    """Return whether the decoder metrics and F1 agree, and who does not.

    Of a study that probes nothing F1 is not spoken of; empty where then nothing is left to say.
    """
    if not probed and (d.outcome == NOT_REPRODUCIBLE or not (d.low or _voices_speak(d))):
        return ""
    if d.outcome == LEANS:
        return ""
    if d.outcome == NOT_REPRODUCIBLE:
        return "There is no interval that F1 could confirm, as another seed has other latents."
    if d.led_by_stability:
        if d.low is None or d.high is None:
            return "There is no interval that F1 could confirm."
        first = " and ".join(f"{v.name} {_beside(v, d.low, d.high, names)}" for v in d.voices)
        said_beside = [*filter(None, [first]), *_f1_parts(d, f1, probed)]
        return "; ".join(said_beside) + "." if said_beside else ""
    said = [v for v in d.voices if v.outcome == READ]
    if not said:
        return "There is no interval that F1 could confirm."
    first = "c_dec and s_n^dec agree" if len(said) > 1 else f"Only {said[0].name} has a reading"
    if len(said) > 1 and d.l0 is None:
        first = "c_dec and s_n^dec do not agree"
    return "; ".join([first, *_f1_parts(d, f1, probed)]) + "."


def _voices_speak(d: Decision) -> bool:
    """Return whether the decoder metrics give the answer, and one of them names an L0."""
    return not d.led_by_stability and bool(those_that_read(d.voices))


def _beside(voice: Voice, low: float, high: float, names: Names) -> str:
    """Return where a voice of the decoder lies against the interval."""
    if voice.outcome != READ:
        return position(voice, names)
    where = "inside" if voice.low <= high and voice.high >= low else "outside"
    return f"{position(voice, names)}, {where} the interval"


def _f1_parts(d: Decision, f1: Mapping[int, F1Reading], probed: bool) -> list[str]:
    """Return what F1 says of the interval."""
    parts = []
    for ks, what in (
        (d.f1_agrees, "peaks inside the interval"),
        (d.f1_disagrees, "peaks outside it"),
        (d.f1_silent, "is flat and cannot tell"),
    ):
        if ks and (d.l0 is not None or what.startswith("is")):
            parts.append(f"F1 with {join([latents(k) for k in ks])} {what}")
    if probed and not any(r.outcome in (PEAK, FLAT_F1) for r in f1.values()):
        parts.append("there are no F1 scores to compare with")
    return parts
