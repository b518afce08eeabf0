"""The picture of the answer: what decides over one axis of L0, and what less training had said."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from correct_l0.reading.health import TENTHS, read_tenths
from correct_l0.reading.reading import FALLS, READ, TOO_HIGH, CurveReading
from correct_l0.report import words
from correct_l0.report.data import StudyData
from correct_l0.report.figures.style import (
    ANSWER,
    BAND,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    PROBE_COLORS,
    TRUTH_LINES,
    answer_band,
    l0_axis,
    lighter,
    mark_reading,
    mean_l0,
    nothing,
    panels,
    percent,
    seed_curve,
)
from correct_l0.settings.base import format_l0

Panel = Callable[[Axes, StudyData], None]


def answer(study: StudyData, narrow: bool) -> Figure:
    """c_dec, stability, F1 and recovery, of those that the study has, under each other."""
    drawn = panels_of(study)
    figure, axes = panels(len(drawn), 1, narrow, height=2.5 if narrow else 1.95)
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
    shown = [
        (handle, label)
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
        if label not in (*TRUTH_LINES, ANSWER)
    ]
    if not shown:
        return
    where: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    if narrow:
        below = -0.36 if last else -0.04
        where = {"loc": "upper left", "bbox_to_anchor": (-0.05, below), "ncols": 2}
    ax.legend(*zip(*shown, strict=True), **where)


def panels_of(study: StudyData) -> list[Panel]:
    """Return the panels of the answer's picture that a study has, top first."""
    rooms, study_rooms = study.plan.rooms, study.plan.study_rooms
    present = {
        _draw_c_dec: True,
        _draw_stability: "stability" in study_rooms,
        _draw_f1: "probing" in rooms,
        _draw_recovery: "recovery" in rooms,
    }
    return [draw for draw, there in present.items() if there]


def said(study: StudyData) -> list[Artist]:
    """Return what the legend says: the answer, or that there is none, and what is known true."""
    decision, outcome = study.verdict["decision"], study.verdict["outcome"]
    name = study.names
    if decision["low"] is None:
        handles: list[Artist] = [
            Patch(facecolor="none", edgecolor=GREY, label=f"no L0 is named: {outcome}")
        ]
    else:
        interval = f"{name(decision['low'])} to {name(decision['high'])}"
        label = f"the answer: L0 about {name(decision['l0'])} ({interval})"
        if outcome != READ:
            label = f"no L0 is named: {outcome} (as it stands {interval})"
        handles = [Patch(facecolor=BAND, alpha=0.35, label=label)]
    for what, (key, line) in TRUTH_LINES.items():
        value = (study.verdict.get("recovery") or {}).get(key)
        if value is not None:
            shown = name(value) if key == "best" else format_l0(float(f"{value:.3g}"))
            handles.append(Line2D([], [], label=f"{what}: {shown}", **line))
    return handles


def _draw_c_dec(ax: Axes, study: StudyData) -> None:
    table = study.tables["c_dec"]
    ax.set_title("$c_{dec}$: overlap of latents, lower is better")
    ax.set_ylabel("mean |cosine|")
    if not len(table):
        return nothing(ax, "no decoder metrics")
    seed_curve(ax, table, "value", BLUE, "$c_{dec}$")
    ax.axhline(table["random"].mean(), color=GREY, linestyle="--", linewidth=1.3,
               label="random directions")  # fmt: skip
    mark_reading(ax, study.verdict["c_dec"], BLUE)


def _draw_stability(ax: Axes, study: StudyData) -> None:
    table = study.tables["stability"]
    ax.set_title("Stability: latents that another seed finds")
    ax.set_ylabel("share, cosine")
    if not len(table):
        return nothing(ax, "seeds were not compared")
    seed_curve(ax, table, "share_above", GREEN, "share of latents\nmatched above 0.9")
    seed_curve(ax, table, "pw_mcc", lighter(GREEN), "mean matched cosine", linewidth=1.3)
    ax.axhline(table["chance_pw_mcc"].mean(), color=GREY, linestyle="--", linewidth=1.3,
               label="that cosine by chance")  # fmt: skip
    ax.set_ylim(-0.03, 1.03)


def _draw_f1(ax: Axes, study: StudyData) -> None:
    readings = {k: r for k, r in study.verdict["f1"].items() if r["points"]}
    ax.set_title("Sparse probing: F1 below its best")
    ax.set_ylabel("mean F1 − best")
    if not readings:
        return nothing(ax, "no F1 scores")
    for color, (k, reading) in zip(PROBE_COLORS, readings.items(), strict=False):
        x, means = np.array(reading["points"]), np.array(reading["means"])
        below, level = means - means.max(), np.isin(x, reading["peak_set"])
        label = f"{words.latents(int(k))} per probe\n(best {means.max():.3f})"
        ax.errorbar(x, below, yerr=2 * np.array(reading["paired_errors"]), color=color,
                    capsize=2.5, elinewidth=1, linewidth=1.5, label=label)  # fmt: skip
        ax.plot(x[level], below[level], "o", color=color, markersize=5.5)
        ax.plot(x[~level], below[~level], "o", color=color, markersize=5.5, markerfacecolor="white")


def _draw_recovery(ax: Axes, study: StudyData) -> None:
    table = study.tables["recovery"]
    ax.set_title("Recovery of the true features")
    ax.set_ylabel("share, cosine")
    if not len(table):
        return nothing(ax, "recovery was not measured")
    seed_curve(ax, table, "share_recovered", PINK, "share of features\nmatched above 0.9")
    seed_curve(ax, table, "mcc", lighter(PINK), "mean matched cosine", linewidth=1.3)
    ax.set_ylim(-0.03, 1.03)


def answer_along_training(study: StudyData, narrow: bool) -> Figure:
    """What c_dec would have said, had the training ended after each tenth of it."""
    figure, (ax,) = panels(1, 1, narrow, height=2.9)
    ax.set_title("What $c_{dec}$ said with less training")
    c_dec = study.tables["c_dec"]
    if not len(c_dec):
        nothing(ax, "no decoder metrics")
        return figure
    placed = c_dec.assign(l0_measured=c_dec["x"])
    readings = read_tenths(study.tables["c_dec_training"], placed)
    grid = mean_l0(study)
    silent = []
    for tenth, reading in readings.items():
        done, last = tenth / TENTHS, tenth == TENTHS
        color = BLUE if last else lighter(BLUE)
        if reading.outcome == READ:
            ax.plot([done, done], [reading.low, reading.high], color=color, linewidth=7, alpha=0.6,
                    solid_capstyle="butt")  # fmt: skip
            ax.plot(done, reading.best, "o", color=BLUE, markersize=6, zorder=4)
        elif reading.outcome in (FALLS, TOO_HIGH):
            end, marker = (grid[-1], "^") if reading.outcome == FALLS else (grid[0], "v")
            ax.plot(done, end, marker, color=ORANGE, markersize=8, zorder=4)
        else:
            silent.append(done)
    ax.plot(silent, np.full(len(silent), np.sqrt(grid[0] * grid[-1])), "x", color=GREY,
            markersize=8)  # fmt: skip
    ax.set_yscale("log")
    ax.set_ylim(grid[0] / 1.3, grid[-1] * 1.3)
    ax.set_yticks(grid, [study.names(x) for x in grid])
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xlim(0.04, 1.06)
    ax.set_xticks(np.arange(1, TENTHS + 1) / TENTHS)
    ax.xaxis.set_major_formatter(FuncFormatter(percent))
    if narrow:
        ax.set_xticks([0.1, 0.3, 0.5, 0.7, 0.9])
    ax.set_xlabel("share of the training done")
    ax.set_ylabel("L0 (log)")
    handles = _kinds(readings.values(), bool(silent))
    where: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    if narrow:
        where = {"loc": "upper left", "bbox_to_anchor": (-0.05, -0.24)}
    ax.legend(handles=handles, **where)
    return figure


def _kinds(readings: Iterable[CurveReading], silent: bool) -> list[Artist]:
    """Return the legend of the marks that are drawn."""
    outcomes = {reading.outcome for reading in readings}
    marks = {
        READ: ("o", BLUE, "L0 named, with interval"),
        FALLS: ("^", ORANGE, "still falls at the grid's end"),
        TOO_HIGH: ("v", ORANGE, "lowest at the grid's start"),
    }
    kinds = [mark for outcome, mark in marks.items() if outcome in outcomes]
    kinds += [("x", GREY, "flat, or too few points")] * silent
    return [
        Line2D([], [], marker=marker, color=color, linestyle="none", label=label)
        for marker, color, label in kinds
    ]
