"""The one figure: all sweeps on one axis of L0."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from correct_l0.report.comparison.answers import name_of
from correct_l0.report.data import StudyData
from correct_l0.report.figures.marks import seed_curve
from correct_l0.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INCHES_PER_LABEL,
    INK,
    NARROW_INCHES,
    ORANGE,
    PINK,
    PURPLE,
    WIDE_INCHES,
    labelled,
)
from correct_l0.report.names import latents, shortened

Sweeps = Sequence[StudyData]

COLORS = (BLUE, ORANGE, GREEN, PINK, PURPLE, "#8A6A12", "#3B8EA5", INK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""One more or fewer than colours, so that a pair comes back late."""
LONGEST_NAME, LONGEST_NARROW = 24, 12
COIN = 0.5
ROW_INCHES, PANEL_INCHES = 0.34, 2.5


def compare(sweeps: Sweeps, narrow: bool) -> Figure:
    """Answers on top, below them c_dec, and stability, F1 and recovery where there are any."""
    panels: list[Callable[[Axes, Sweeps], None]] = [_draw_c_dec]
    if any(sweep.verdict["stability"] for sweep in sweeps):
        panels.append(_draw_stability)
    if any(sweep.verdict["f1"] for sweep in sweeps):
        panels.append(_draw_f1)
    if any(sweep.verdict["recovery"] for sweep in sweeps):
        panels.append(_draw_recovery)
    heights = [0.45 + ROW_INCHES * len(sweeps), *(PANEL_INCHES for _ in panels)]
    figure, grid = plt.subplots(
        len(heights),
        1,
        figsize=(NARROW_INCHES if narrow else WIDE_INCHES, sum(heights) + 0.4),
        sharex=True,
        squeeze=False,
        layout="constrained",
        height_ratios=heights,
    )
    top, *axes = grid[:, 0]
    top.set_xscale("log")
    _draw_answers(top, sweeps, LONGEST_NARROW if narrow else LONGEST_NAME)
    for ax, draw in zip(axes, panels, strict=True):
        _draw_named(ax, sweeps)
        draw(ax, sweeps)
    _shared_axis(axes[-1], sweeps, narrow)
    return figure


def color_of(number: int) -> str:
    """Return the colour of a sweep by its place in the configuration."""
    return COLORS[number % len(COLORS)]


def _marker_of(number: int) -> str:
    return MARKERS[number % len(MARKERS)]


def _draw_answers(ax: Axes, sweeps: Sweeps, longest: int) -> None:
    for i, sweep in enumerate(sweeps):
        if (named := sweep.named) is not None:
            ax.plot([named["low"], named["high"]], [i, i], color=color_of(i), linewidth=7,
                    alpha=0.45, solid_capstyle="butt")  # fmt: skip
            ax.plot(named["l0"], i, marker=_marker_of(i), markersize=8, color=color_of(i),
                    markeredgecolor="white", linestyle="none")  # fmt: skip
        else:
            ax.annotate(f"no L0 named: {sweep.verdict['outcome']}", (0.5, i),
                        xycoords=ax.get_yaxis_transform(), ha="center", va="center",
                        color=GREY, fontsize=8.5)  # fmt: skip
        if (best := sweep.truth.get("best")) is not None:
            _star(ax, i, best, i)
    for value in sorted({x for sweep in sweeps if (x := sweep.truth.get("true_l0")) is not None}):
        ax.axvline(value, color=GREY, linestyle="--", linewidth=1.2)
        ax.annotate(
            "true L0",
            (value, 1),
            xycoords=ax.get_xaxis_transform(),
            xytext=(3, -1),
            textcoords="offset points",
            ha="left",
            va="top",
            color=INK,
            fontsize=8,
        )
    ax.set_ylim(len(sweeps) - 0.4, -1.1)
    ax.set_yticks(range(len(sweeps)), [shortened(name_of(sweep), longest) for sweep in sweeps])
    for i, label in enumerate(ax.get_yticklabels()):
        label.set_color(color_of(i))
        label.set_fontweight("bold")
    ax.grid(False, axis="y")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_title("The answers: L0 named, and its interval")


def _draw_named(ax: Axes, sweeps: Sweeps) -> None:
    """Draw the L0 that each sweep names, and the true one, as lines through a panel."""
    for i, sweep in enumerate(sweeps):
        if (named := sweep.named) is not None:
            ax.axvline(named["l0"], color=color_of(i), linewidth=1, linestyle=":", zorder=0)
        if (value := sweep.truth.get("true_l0")) is not None:
            ax.axvline(value, color=GREY, linestyle="--", linewidth=1.2, zorder=0)


def _draw_c_dec(ax: Axes, sweeps: Sweeps) -> None:
    for i, sweep in enumerate(sweeps):
        table = sweep.tables["c_dec"]
        if len(table):
            seed_curve(ax, table, "value", color_of(i), marker=_marker_of(i), markersize=5)
    tables = [sweep.tables["c_dec"] for sweep in sweeps]
    for level in sorted({round(float(x["random"].mean()), 6) for x in tables if "random" in x}):
        if np.isfinite(level):
            ax.axhline(level, color=GREY, linestyle="-.", linewidth=1)
            _annotate(ax, "random directions", level)
    ax.set_title("$c_{dec}$: overlap of decoder directions")
    ax.set_ylabel("$c_{dec}$ (mean |cosine|)")


def _draw_stability(ax: Axes, sweeps: Sweeps) -> None:
    for i, sweep in enumerate(sweeps):
        if reading := sweep.verdict["stability"]:
            share = reading["reproduced"]
            _plain_curve(ax, i, reading["points"], share["means"])
            ax.fill_between(reading["points"], share["lows"], share["highs"], color=color_of(i),
                            alpha=0.2, linewidth=0)  # fmt: skip
    tables = [sweep.tables["stability"] for sweep in sweeps if sweep.verdict["stability"]]
    for level in sorted({round(float(x["chance_reproduced_share"].mean()), 6) for x in tables}):
        ax.axhline(level, color=GREY, linestyle="-.", linewidth=1)
        _annotate(ax, "random directions", level)
    ax.set_ylim(-0.05, 1.03)
    ax.set_title("Stability: latents that another seed finds")
    ax.set_ylabel("reproduced share")


def _draw_f1(ax: Axes, sweeps: Sweeps) -> None:
    """Draw F1 of the largest probes, which need the fewest tasks to tell SAEs apart."""
    ks = [int(k) for sweep in sweeps for k in sweep.verdict["f1"]]
    for i, sweep in enumerate(sweeps):
        reading = sweep.verdict["f1"].get(str(max(ks)))
        if reading and reading["points"]:
            _plain_curve(ax, i, reading["points"], reading["means"])
    ax.axhline(COIN, color=GREY, linestyle="-.", linewidth=1)
    _annotate(ax, "a coin", COIN)
    ax.set_title(f"Sparse probing: F1 with {latents(max(ks))} per probe")
    ax.set_ylabel("mean F1")


def _annotate(ax: Axes, what: str, level: float) -> None:
    """Write at the right end of a level what it is."""
    ax.annotate(
        what, (1, level), xycoords=ax.get_yaxis_transform(), xytext=(-3, 3),
        textcoords="offset points", ha="right", va="bottom", color=INK, fontsize=8,
    )  # fmt: skip


def _draw_recovery(ax: Axes, sweeps: Sweeps) -> None:
    for i, sweep in enumerate(sweeps):
        if reading := sweep.verdict["recovery"]:
            _plain_curve(ax, i, reading["points"], reading["mcc"])
            _star(ax, i, reading["best"], max(reading["mcc"]))
    ax.set_title("Recovery of the true features")
    ax.set_ylabel("mean cosine, matched")


def _star(ax: Axes, i: int, l0: float, y: float) -> None:
    """Mark the L0 of best recovery of a sweep."""
    ax.plot(l0, y, "*", markersize=14, color=color_of(i), markeredgecolor="white", zorder=5)


def _plain_curve(ax: Axes, i: int, x: Sequence[float], y: Sequence[float]) -> None:
    ax.plot(x, y, color=color_of(i), marker=_marker_of(i), markersize=5, markeredgecolor="white")


def _shared_axis(ax: Axes, sweeps: Sweeps, narrow: bool) -> None:
    """Put a tick at every grid point of any sweep, labelled where there is room."""
    places = {x: sweep.names(x) for sweep in sweeps for x in sweep.tables["points"]["x"]}
    grid = np.array(sorted(places))
    ax.set_xlim(grid[0] / 1.15, grid[-1] * 1.15)
    inches = 0.78 * (NARROW_INCHES if narrow else WIDE_INCHES)
    needed = INCHES_PER_LABEL / inches * np.log(grid[-1] * 1.15**2 / grid[0])
    shown = [grid[i] for i in labelled(grid, needed)]
    ax.xaxis.set_major_locator(FixedLocator(shown))
    ax.set_xticklabels([places[x] for x in shown])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("measured L0 (log)")
