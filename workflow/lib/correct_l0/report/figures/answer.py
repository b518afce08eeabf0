"""The picture of the answer: what decides, one panel under the other over one axis of L0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from correct_l0.reading.reading import READ
from correct_l0.report import words
from correct_l0.report.data import StudyData
from correct_l0.report.figures.marks import (
    LEANING,
    answer_band,
    chance_line,
    control_mark,
    mark_reading,
    nothing,
    seed_curve,
)
from correct_l0.report.figures.metrics import control_curves
from correct_l0.report.figures.style import (
    ANSWER,
    BAND,
    BLUE,
    GREEN,
    PINK,
    PROBE_COLORS,
    TRUTH_LINES,
    l0_axis,
    legend_of,
    lighter,
    panels,
)
from correct_l0.report.figures.tenths import draw_tenths
from correct_l0.report.truth_words import true_l0_in_words

Panel = Callable[[Axes, StudyData], None]


def answer(study: StudyData, narrow: bool) -> Figure:
    """c_dec, stability, F1 and recovery, of those that the study has, and c_dec's past."""
    drawn = panels_of(study)
    figure, axes = panels(len(drawn), 1, narrow, height=2.35 if narrow else 1.85)
    for ax, draw in zip(axes, drawn, strict=True):
        answer_band(ax, study)
        draw(ax, study)
        l0_axis(ax, study, narrow)
        _legend(ax, narrow, last=ax is axes[-1])
    for ax in axes[:-1]:
        ax.set_xlabel("")
        ax.tick_params(axis="x", labelbottom=False)
    figure.legend(
        handles=said(study), loc="outside upper left", ncols=1 if narrow else 3, fontsize=9,
        handlelength=1.6, borderaxespad=0.2,
    )  # fmt: skip
    figure.align_ylabels(axes)
    return figure


def _legend(ax: Axes, narrow: bool, last: bool) -> None:
    """Put what a panel shows beside it, on a phone below it, and never over a curve."""
    shown = legend_of(ax, *TRUTH_LINES, ANSWER, LEANING["label"])
    if not shown:
        return
    where: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    if narrow:
        below = -0.36 if last else -0.04
        where = {"loc": "upper left", "bbox_to_anchor": (-0.05, below), "ncols": 2}
    ax.legend(shown.values(), shown.keys(), **where)


def panels_of(study: StudyData) -> list[Panel]:
    """Return the panels of the answer's picture that a study has, top first."""
    rooms, study_rooms = study.plan.rooms, study.plan.study_rooms
    present = {
        _draw_c_dec: True,
        _draw_stability: "stability" in study_rooms,
        _draw_f1: "probing" in rooms,
        _draw_recovery: "recovery" in rooms,
        draw_tenths: True,
    }
    return [draw for draw, there in present.items() if there]


def said(study: StudyData) -> list[Artist]:
    """Return what the legend says: the answer, or that there is none, and what is known true."""
    name = study.names
    if decision := study.named:
        interval = f"{name(decision['low'])} to {name(decision['high'])}"
        what = "a hint" if study.verdict["is_hint"] else "the answer"
        label = f"{what}: L0 about {name(decision['l0'])} ({interval})"
        handles: list[Artist] = [Patch(facecolor=BAND, alpha=0.35, label=label)]
    else:
        label = f"no L0 is named: {study.verdict['outcome']}"
        if study.refused_by:
            label += f", by the points at L0 {name.span(study.refused_by)}"
        handles = [Line2D([], [], **LEANING | {"label": label, "linewidth": 9})]
    for what, (key, line) in TRUTH_LINES.items():
        if (value := study.truth.get(key)) is not None:
            shown = name(value) if key == "best" else true_l0_in_words(value)
            handles.append(Line2D([], [], label=f"{what}: {shown}", **line))
    return handles


def _draw_c_dec(ax: Axes, study: StudyData) -> None:
    table = study.tables["c_dec"]
    ax.set_title("$c_{dec}$: overlap of latents, lower is better")
    ax.set_ylabel("mean |cosine|")
    if not len(table):
        return nothing(ax, "no decoder metrics")
    seed_curve(ax, table, "value", BLUE, "$c_{dec}$")
    chance_line(ax, table["random"].mean())
    control_mark(ax, study.control, "c_dec")
    mark_reading(ax, study.verdict["c_dec"], BLUE)


def _draw_stability(ax: Axes, study: StudyData) -> None:
    table = study.tables["stability"]
    ax.set_title("Stability: latents that another seed finds")
    ax.set_ylabel("share of latents")
    if not len(table):
        return nothing(ax, "seeds were not compared")
    seed_curve(ax, table, "reproduced_share", GREEN, "reproduced")
    seed_curve(ax, table, "share_above", lighter(GREEN), "matched above 0.9", linewidth=1.3)
    peak = study.verdict["stability"]["peak"]
    if peak["outcome"] == READ:
        ax.plot(peak["l0"], peak["height"], marker="^", markersize=9, color=GREEN,
                markeredgecolor="white", linestyle="none", zorder=5, label="peak")  # fmt: skip
    control_mark(ax, study.control, "reproduced_share")
    for column in ("share_above", "reproduced_share"):
        chance_line(ax, table[f"chance_{column}"].mean())
    ax.set_ylim(-0.05, 1.03)


def _draw_f1(ax: Axes, study: StudyData) -> None:
    readings = {k: r for k, r in study.verdict["f1"].items() if r["points"]}
    ax.set_title("Sparse probing: F1")
    ax.set_ylabel("mean F1")
    if not readings:
        return nothing(ax, "no F1 scores")
    for color, (k, reading) in zip(PROBE_COLORS, readings.items(), strict=False):
        x, means = np.array(reading["points"]), np.array(reading["means"])
        level = np.isin(x, reading["peak_set"])
        label = f"{words.latents(int(k))} per probe\n(best {means.max():.3f})"
        ax.errorbar(x, means, yerr=2 * np.array(reading["paired_errors"]), color=color,
                    capsize=2.5, elinewidth=1, linewidth=1.5, label=label)  # fmt: skip
        ax.plot(x[level], means[level], "o", color=color, markersize=5.5)
        ax.plot(x[~level], means[~level], "o", color=color, markersize=5.5, markerfacecolor="white")
        control_curves(ax, study, int(k), color)
        control_mark(ax, study.control, k, color)
    baselines = study.tables["baselines"]
    coin = baselines.loc[baselines["baseline"] == "coin", "f1"]
    if len(coin):
        chance_line(ax, coin.mean())


def _draw_recovery(ax: Axes, study: StudyData) -> None:
    table = study.tables["recovery"]
    ax.set_title("Recovery of the true features")
    ax.set_ylabel("share, cosine")
    if not len(table):
        return nothing(ax, "recovery was not measured")
    seed_curve(ax, table, "share_recovered", PINK, "share of features\nmatched above 0.9")
    seed_curve(ax, table, "mcc", lighter(PINK), "mean matched cosine", linewidth=1.3)
    ax.set_ylim(-0.05, 1.03)
