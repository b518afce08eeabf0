"""What panels over L0 have drawn into them: curves over seeds, the answer, chance, a control."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from correct_l0.reading.reading import READ
from correct_l0.report.data import StudyData
from correct_l0.report.figures.style import (
    ANSWER,
    BAND,
    CHANCE,
    GREY,
    INK,
    LEANING,
    NAMED,
    panels,
)
from correct_l0.study.frozen_control import Control


def seed_curve(
    ax: Axes,
    table: pd.DataFrame,
    y: str,
    color: str | tuple[float, float, float],
    label: str | None = None,
    **line: object,
) -> None:
    """Draw the mean over seeds as a line, their range as a band, and every seed as a dot."""
    sns.lineplot(
        table, x="x", y=y, color=color, errorbar=("pi", 100), ax=ax, label=label, legend=False,
        err_kws={"alpha": 0.2, "linewidth": 0}, **line,
    )  # fmt: skip
    sns.scatterplot(
        table, x="l0_measured", y=y, color=color, s=16, alpha=0.75, linewidth=0, ax=ax, legend=False
    )


def answer_band(ax: Axes, study: StudyData) -> None:
    """Shade the answer's interval, with its L0; if none is named, what the refusal rests on."""
    if decision := study.named:
        ax.axvspan(
            decision["low"], decision["high"], color=BAND, alpha=0.2, linewidth=0, zorder=0,
            label=ANSWER,
        )  # fmt: skip
        ax.axvline(decision["l0"], color=NAMED, linewidth=1.3, zorder=0, label=ANSWER)
        return
    for x in study.refused_by:
        ax.axvline(x, **LEANING)


def control_mark(ax: Axes, control: Control | None, metric: str, color: str = INK) -> None:
    """Mark what SAEs of a random decoder reach in a metric or at a probe_k, and its level."""
    if control is None:
        return
    if (value := {**vars(control), **control.f1}.get(metric)) is not None:
        ax.axhline(value, color=color, linestyle=(0, (1, 2)), linewidth=1.2, zorder=1)
        ax.plot(control.l0, value, "X", color=color, markersize=7, markeredgecolor="white",
                linestyle="none", zorder=5, label="frozen decoder")  # fmt: skip


def chance_line(ax: Axes, level: float) -> None:
    """Draw the chance level of a metric across a panel."""
    ax.axhline(level, color=GREY, linestyle="--", linewidth=1.3, label=CHANCE)


def mark_reading(ax: Axes, reading: dict | None, color: str) -> None:
    """Mark a curve's minimum and, on the axis, its elbow interval."""
    if not reading or reading["minimum"] is None:
        return
    ax.plot(reading["minimum"], reading["minimum_value"], marker="v", markersize=9, color=color,
            markeredgecolor="white", linestyle="none", zorder=5, label="lowest point")  # fmt: skip
    if reading["outcome"] == READ:
        ax.plot(
            [reading["elbow_low"], reading["elbow_high"]], [0.012, 0.012], color=INK, linewidth=4,
            solid_capstyle="butt", transform=ax.get_xaxis_transform(), zorder=5,
            label="where the rise begins",
        )  # fmt: skip


def nothing(ax: Axes, why: str) -> None:
    """Say in an empty panel why it is empty."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, why, ha="center", va="center", wrap=True, color=GREY, transform=ax.transAxes)


def empty(narrow: bool, why: str) -> Figure:
    """Return a figure of one panel that says why there is nothing in it."""
    figure, (ax,) = panels(1, 1, narrow)
    nothing(ax, why)
    return figure
