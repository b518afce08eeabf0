"""What speaks against an answer; of seeds, training and norms their own modules say it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from correct_l0.reading.f1 import FLAT_F1, F1Reading
from correct_l0.reading.health import NOT_TRAINED, weak_points
from correct_l0.reading.reading import CurveReading
from correct_l0.reading.verdict import Decision
from correct_l0.report import words
from correct_l0.report.imported_words import Imported, imported_caveats
from correct_l0.report.names import percents
from correct_l0.report.saturated import SAME
from correct_l0.settings.base import format_l0

OFF_TARGET = 0.02
"""Relative distance of the measured from the target L0 from which on it is told."""
ENGLISH_LIMIT = 0.04
"""Share of the commonest English words below which a text counts as hardly English."""


def caveats_of(
    decision: Decision,
    c_dec: CurveReading | None,
    s_n: Mapping[int, CurveReading],
    f1: Mapping[int, F1Reading],
    tables: Mapping[str, pd.DataFrame],
    names: words.Names,
    swept: str,
    imported: Imported | None,
) -> list[str]:
    """Return what speaks against an answer: seeds, gaps, dead latents, targets, flat scores."""
    points, gaps = tables["points"], tables["gaps"]
    caveats = imported_caveats(imported, points) if imported else []
    if points["seed"].nunique() == 1 and len(points) > 1:
        caveats.append(
            "One seed per L0: the spread over seeds is unknown. How far points lie off the line "
            "between their neighbours stands in for it."
            if c_dec and c_dec.noise == "roughness"
            else "One seed per L0: the spread over seeds is unknown, and so are standard errors."
        )
    if points["seed"].nunique() == 1 and not imported:
        caveats.append(
            "Whether another seed finds the same latents is unknown: add one to saes.seeds. Until "
            "then c_dec and s_n^dec give a hint."
        )
    if len(gaps):
        which = ", ".join(_gap(row) for row in gaps.to_dict("records"))
        low, high = decision.low or math.nan, decision.high or math.nan
        inside = any(low <= x <= high for x in gaps["l0"])
        caveats.append(
            f"Missing, and not interpolated: {which}."
            + (" A missing point lies inside the interval named." if inside else "")
        )
    if decision.outcome != NOT_TRAINED and decision.high is not None:
        weak = weak_points(points, [decision.high])
        if weak.get("init_cosine"):
            caveats.append(
                f"The SAEs at L0 {names(decision.high)}, just above, are still close to their "
                "random initialisation: the rise seen there may come from that, so trust the "
                "lower bound more than the upper one."
            )
    if dead := decision.weak.get("dead"):
        caveats.append(f"More than 10% of the latents are dead at L0 {names.list(dead)}.")
    if swept == "l0":
        caveats += _off_target(points, "announced L0" if imported else "target")
    if not_counted := words.not_counted(s_n):
        caveats.append(f"s_n^dec: {not_counted}, as n has to be above the correct L0.")
    flat = [words.latents(k) for k, reading in f1.items() if reading.outcome == FLAT_F1]
    if flat:
        caveats.append(f"F1 with {words.join(flat)} is flat: it neither supports nor contradicts.")
    return caveats


def language_caveats(english_words: float | None) -> list[str]:
    """Return what scores on English tasks mean where the text is hardly English."""
    if english_words is None or english_words >= ENGLISH_LIMIT:
        return []
    return [
        f"F1 is of English tasks, and the text is hardly English: {percents([english_words])} of "
        "its words are among the commonest English ones, of English prose about 10%. F1 then says "
        "how well latents that were learnt on this text tell English prompts apart, which may peak "
        "at another L0."
    ]


def _off_target(points: pd.DataFrame, target: str) -> list[str]:
    off = points[(points["l0_measured"] / points["l0"] - 1).abs() > OFF_TARGET]
    if not len(off):
        return []
    targets = ", ".join(format_l0(x) for x in sorted(off["l0"].unique()))
    return [
        f"Measured L0 is off its {target} by more than {OFF_TARGET:.0%} at {target} {targets}; "
        "everything is read over measured L0."
    ]


def saturates(group: tuple[float, ...], measured: pd.Series, swept: str) -> str:
    """Return that several points end at one L0."""
    l0 = format_l0(float(f"{measured[group[0]]:.3g}"))
    these = {
        "coefficient": "The penalty saturates: its coefficients",
        "number": "The SAEs of the numbers",
        "l0": "The SAEs of the targets",
    }[swept]
    return (
        f"{these} {words.join([format_l0(x) for x in group])} all end at L0 {l0}, within "
        f"{100 * SAME[swept]:g}%. They are one point, that of {format_l0(group[0])}."
    )


def _gap(row: Mapping[Any, Any]) -> str:
    """Return what a row of the table of gaps is about; the study, an L0 or a point of it."""
    if math.isnan(row["l0"]):
        return str(row["room"])
    seed = "" if pd.isna(row["seed"]) else f" seed {row['seed']:.0f}"
    return f"L0 {format_l0(row['l0'])}{seed} ({row['room']})"
