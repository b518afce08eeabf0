"""What longer training does, or more latents: the answers of sweeps that differ in that alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from correct_l0.report.data import StudyData
from correct_l0.report.figures.marks import chance_line
from correct_l0.report.figures.style import (
    GREY,
    INK,
    NAMED,
    NARROW_INCHES,
    PINK,
    WIDE_INCHES,
    labelled,
)
from correct_l0.report.names import Names
from correct_l0.settings.base import format_l0

Sweeps = Sequence[StudyData]


class Along(NamedTuple):
    """What sweeps differ in: its value, the axis' label, and how a value is spoken there."""

    of: Callable[[StudyData], int]
    label: str
    spoken: Callable[[float], str]


TOKENS = Along(
    lambda sweep: int(sweep.plan.study.saes.training.training_tokens),
    "training tokens (log)",
    lambda x: f"{x / 1e6:.3g}M",
)
LATENTS = Along(lambda sweep: sweep.plan.study.saes.d_sae, "latents (log)", lambda x: f"{x:,.0f}")

METRICS = (
    ("c_dec", "value", "random", "$c_{dec}$, lower is better"),
    ("stability", "reproduced_share", "chance_reproduced_share", "Stability: reproduced share"),
    ("hedging", "rate", "", "Hedging rate"),
)
"""Table, column, column of chance and title of each metric."""

LABEL_INCHES, AXIS_INCHES = 0.15, 2.3
"""Upright: what a label of an L0 needs, and what there is for all of them."""


def growth(sweeps: Sweeps, narrow: bool) -> Figure:
    """Draw L0 named and the metrics over the tokens of the training, a line for each L0."""
    return draw_along(TOKENS, sweeps, narrow)


def width(sweeps: Sweeps, narrow: bool) -> Figure:
    """Draw L0 named and the metrics over the number of latents, a line for each L0."""
    return draw_along(LATENTS, sweeps, narrow)


def draw_along(axis: Along, sweeps: Sweeps, narrow: bool) -> Figure:
    """Draw L0 named, its interval, and those metrics that all sweeps have."""
    metrics = [
        metric
        for metric in METRICS
        if metric[0] == "c_dec" or all(metric[0] in _rooms(sweep) for sweep in sweeps)
    ]
    count = 1 + len(metrics)
    figure = Figure(
        figsize=(NARROW_INCHES, 2.9 * count) if narrow else (WIDE_INCHES, 3.4),
        layout="constrained",
    )
    told = legend_of(sweeps)
    axes = list(figure.subplots(count if narrow else 1, 1 if narrow else count, squeeze=False).flat)
    _draw_named(axes[0], axis, sweeps)
    for ax, (table, value, chance, title) in zip(axes[1:], metrics, strict=True):
        _draw_metric(ax, curves(axis, sweeps, table, value), told)
        known = [sweep.tables[table] for sweep in sweeps if chance in sweep.tables[table]]
        if known:
            chance_line(ax, float(pd.concat(known)[chance].mean()))
        ax.set_title(title)
    for ax in axes:
        _shared_axis(ax, axis, sorted({axis.of(sweep) for sweep in sweeps}))
    met = all(text == format_l0(value) for value, text in told.items())
    title = "L0" if met else f"{sweeps[0].swept}\n(measured L0)"
    axes[-1].legend(title=title, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def curves(axis: Along, sweeps: Sweeps, table: str, value: str) -> pd.DataFrame:
    """Return the mean of a metric over seeds or pairs: a row for each sweep, a column each L0."""
    means = {axis.of(sweep): sweep.tables[table].groupby("l0")[value].mean() for sweep in sweeps}
    return pd.DataFrame(means).T.sort_index()


def legend_of(sweeps: Sweeps) -> dict[float, str]:
    """Return what the line of each target or coefficient is called, over all sweeps.

    A target is called by itself where it is met, that is where the page speaks of it so; all others
    have the measured L0 of the sweeps beside them.
    """
    told = {}
    for value in sorted({x for sweep in sweeps for x in sweep.l0}):
        measured = [sweep.l0_of(value) for sweep in sweeps if value in sweep.l0]
        told[value] = format_l0(value)
        if any(Names({x: value})(x) != told[value] for x in measured):
            ends = (format_l0(float(f"{x:.3g}")) for x in (min(measured), max(measured)))
            told[value] += f" ({' to '.join(dict.fromkeys(ends))})"
    return told


def _rooms(sweep: StudyData) -> tuple[str, ...]:
    return (*sweep.plan.rooms, *sweep.plan.study_rooms)


def _draw_named(ax: Axes, axis: Along, sweeps: Sweeps) -> None:
    """Draw the interval that each sweep names, or the outcome of its refusal, upright.

    Where the truth is known, also the L0 of best recovery and the true L0.
    """
    ax.set_yscale("log")
    grid = sorted({float(x) for sweep in sweeps for x in sweep.tables["points"]["x"]})
    for sweep in sweeps:
        x = axis.of(sweep)
        if (named := sweep.named) is not None:
            ax.plot([x, x], [named["low"], named["high"]], color=NAMED, linewidth=7, alpha=0.45,
                    solid_capstyle="butt")  # fmt: skip
            ax.plot(x, named["l0"], "o", color=NAMED, markersize=8, markeredgecolor="white")
        else:
            ax.annotate(f"none: {sweep.verdict['outcome']}", (x, 0.5), rotation=90, fontsize=8.5,
                        xycoords=ax.get_xaxis_transform(), ha="center", va="center",
                        color=INK)  # fmt: skip
        if recovery := sweep.verdict["recovery"]:
            ax.plot(x, recovery["best"], "*", color=PINK, markersize=11, markeredgecolor="white")
        if (true_l0 := sweep.truth.get("true_l0")) is not None:
            ax.plot(x, true_l0, "_", color=INK, markersize=18, markeredgewidth=1.6)
    ax.set_ylim(grid[0] / 1.15, grid[-1] * 1.15)
    places = {sweep.names(x): float(x) for sweep in sweeps for x in sweep.tables["points"]["x"]}
    spoken = sorted(places, key=places.__getitem__)
    at = np.array([places[name] for name in spoken])
    needed = LABEL_INCHES / AXIS_INCHES * np.log(at[-1] * 1.15**2 / at[0])
    shown = labelled(at, needed)
    ax.yaxis.set_major_locator(FixedLocator(at[shown].tolist()))
    ax.set_yticklabels([spoken[i] for i in shown])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_title("L0 named, and its interval")


def _draw_metric(ax: Axes, means: pd.DataFrame, told: Mapping[Any, str]) -> None:
    color: Callable[[float], tuple[float, float, float, float]] = colormaps["viridis"]
    for i, l0 in enumerate(sorted(means.columns)):
        # Sweeps may have other L0: a line goes through those that have it.
        line = means[l0].dropna()
        ax.plot(line.index, line, marker="o", markersize=4, linewidth=1.6,
                color=color(0.9 * i / max(1, len(means.columns) - 1)),
                label=told[l0])  # fmt: skip


def _shared_axis(ax: Axes, axis: Along, values: Sequence[int]) -> None:
    ax.set_xscale("log")
    ax.set_xlim(values[0] / 1.4, values[-1] * 1.4)
    ax.xaxis.set_major_locator(FixedLocator(values))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: axis.spoken(x)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(axis.label)
    ax.grid(color=GREY, alpha=0.2)
