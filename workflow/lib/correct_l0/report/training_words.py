"""Whether the training was long enough, in words."""

from __future__ import annotations

import math

import pandas as pd

from correct_l0.reading.health import OTHERWISE, Convergence, means_at
from correct_l0.reading.reading import FALLS, FLAT, READ, TOO_FEW, TOO_HIGH, CurveReading
from correct_l0.reading.verdict import Decision
from correct_l0.report.names import Names, percents


def training_lines(convergence: Convergence, names: Names) -> list[str]:
    """Return what c_dec would have said with less training, and how far it last moved."""
    c = convergence
    half, nine_tenths = _would(c.half, names), _would(c.nine_tenths, names)
    lines = [
        f"Stopped at half or at nine tenths of its training, c_dec {half}."
        if half == nine_tenths
        else f"Stopped at half of its training, c_dec {half}; at nine tenths, it {nine_tenths}."
    ]
    known = [(share, x) for share, x in zip(c.moved_share, c.points, strict=True) if share >= 0]
    if known:
        shares, where = percents([share for share, _ in known]), names(max(known)[1])
        lines.append(
            f"In the last tenth of its training, c_dec moved by {shares} of its whole rise, most "
            f"at L0 {where}."
        )
    return lines


def training_caveats(
    convergence: Convergence | None,
    final: CurveReading | None,
    decision: Decision,
    health: pd.DataFrame,
    names: Names,
) -> list[str]:
    """Return what speaks against an answer whose training may have been too short."""
    caveats = []
    if convergence and final and convergence.since_half:
        where = (
            "" if convergence.since_half == OTHERWISE else f" towards {convergence.since_half} L0"
        )
        path = zip(
            (convergence.half, convergence.nine_tenths, final),
            ("at half of it", "at nine tenths", "at its end"),
            strict=True,
        )
        caveats.append(
            f"The bottom of c_dec's curve still moves{where} with training: "
            + ", ".join(f"{_bottom(reading, names)} {when}" for reading, when in path)
            + ". A longer training may move it on."
        )
    if decision.weak.get("loss_slope"):
        slopes = means_at(health, "loss_slope", decision.leaning)
        line = (
            f"The loss still falls by {percents(slopes)} per tenth of training at L0 "
            f"{names.span(decision.leaning)}"
        )
        moved = means_at(health, "c_dec_moved", decision.leaning)
        if any(math.isfinite(x) for x in moved):
            line += f", while c_dec there moves by {percents(moved)} of its whole rise"
        caveats.append(line + ".")
    return caveats


def _would(reading: CurveReading, names: Names) -> str:
    """Return what a curve would have said, after `c_dec`."""
    if reading.outcome == READ:
        return (
            f"would have read L0 {names(reading.best)} (between {names(reading.low)} and "
            f"{names(reading.high)})"
        )
    return {
        FALLS: "would still have fallen at the end of the grid",
        TOO_HIGH: "would have been lowest at the start of the grid",
        FLAT: "would have been flat",
        TOO_FEW: "would have had too few points to read",
    }[reading.outcome]


def _bottom(reading: CurveReading, names: Names) -> str:
    """Return where the bottom of a curve is."""
    return {
        READ: f"L0 {names(reading.best)}",
        FALLS: f"L0 {names(reading.minimum)} or above",
        TOO_HIGH: f"L0 {names(reading.minimum)} or below",
        FLAT: "none (flat)",
        TOO_FEW: "none (too few points)",
    }[reading.outcome]
