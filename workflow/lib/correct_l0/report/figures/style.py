"""The look of all figures: theme, colours that the colour-blind can tell apart, axes over L0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from correct_l0.report.data import StudyData

BLUE, ORANGE, GREEN, PINK, PURPLE = "#0072B2", "#D55E00", "#00795C", "#A8447F", "#6B4FA0"
INK, GREY, BAND, NAMED = "#22272e", "#8a9099", "#F0B429", "#C68A00"
PROBE_COLORS = ("#7A4A0C", "#C98B3C", "#4A3A2A", "#B79F7E")
"""A metric has its colour in every figure: c_dec blue, stability green, F1 brown (a shade for each
probe size), recovery pink, hedging purple. Orange refuses, yellow is the answer, dashed grey is
chance."""
DPI = 160
WIDE_INCHES, NARROW_INCHES = 10.0, 4.3
INCHES_PER_LABEL = 0.3

ANSWER = "answer's interval"
CHANCE = "by chance"
LEANING: dict[str, Any] = {
    "label": "points that a refusal rests on", "color": ORANGE, "alpha": 0.2, "linewidth": 7,
    "solid_capstyle": "butt", "zorder": 0,
}  # fmt: skip
TRUTH_LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "L0 of best recovery": ("best", {"color": PINK, "linestyle": (0, (5, 2)), "linewidth": 1.4}),
    "true L0": ("true_l0", {"color": INK, "linestyle": ":", "linewidth": 1.6}),
}
"""Vertical lines of every figure over L0, of what is known: key in `StudyData.truth`, look."""


def set_theme() -> None:
    """Set the look of every figure drawn afterwards."""
    sns.set_theme(
        context="notebook",
        style="ticks",
        font="DejaVu Sans",
        rc={
            "figure.dpi": 100,
            "savefig.dpi": DPI,
            "svg.hashsalt": "correct-l0",
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 9,
            "axes.edgecolor": GREY,
            "axes.labelcolor": INK,
            "axes.grid": True,
            "grid.color": "#e9ebee",
            "grid.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "text.color": INK,
            "xtick.labelsize": 8.5,
            "ytick.labelsize": 8.5,
            "xtick.color": INK,
            "ytick.color": INK,
            "legend.fontsize": 8,
            "legend.title_fontsize": 8,
            "legend.frameon": True,
            "legend.framealpha": 0.9,
            "legend.edgecolor": "none",
            "lines.linewidth": 1.8,
        },
    )


def panels(
    count: int,
    columns: int,
    narrow: bool,
    height: float = 3.1,
    ratios: Sequence[float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels, in one column where it is narrow.

    Parameters
    ----------
    count, columns
        Number of panels, and of columns in the wide version.
    narrow
        For a screen of a phone's width.
    height
        Inches per row of panels.
    ratios
        Widths of the columns of the wide version.
    """
    columns = 1 if narrow else min(columns, count)
    rows = -(-count // columns)
    width = NARROW_INCHES if narrow else WIDE_INCHES
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(width, height * rows),
        squeeze=False,
        layout="constrained",
        width_ratios=ratios if ratios and not narrow and columns == len(ratios) else None,
    )
    figure.get_layout_engine().set(wspace=0.03, hspace=0.02)  # type: ignore[call-arg,union-attr]
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, axes[:count]


def l0_axis(ax: Axes, study: StudyData, narrow: bool, label: str = "measured L0") -> None:
    """Make a logarithmic L0 axis with a tick at every grid point, labelled where there is room.

    Where the truth is known, `TRUTH_LINES` are drawn on it.
    """
    ax.set_xscale("log")
    x = mean_l0(study)
    ax.set_xlim(x[0] / 1.15, x[-1] * 1.15)
    figure = ax.get_figure()
    columns = ax.get_subplotspec().get_gridspec().ncols  # type: ignore[union-attr]
    inches = 0.78 * figure.get_figwidth() / columns  # type: ignore[union-attr]
    decision = study.verdict["decision"]
    answer = [decision[key] for key in ("l0", "low", "high") if decision[key] is not None]
    shown = labelled(
        x,
        INCHES_PER_LABEL / inches * np.log(x[-1] * 1.15**2 / x[0]),
        [int(np.argmin(np.abs(np.log(x / value)))) for value in answer],
    )
    ax.xaxis.set_major_locator(FixedLocator([x[i] for i in shown]))
    ax.set_xticklabels([study.names(x[i]) for i in shown])
    ax.xaxis.set_minor_locator(FixedLocator(list(x)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(f"{label} (log)")
    for what, (key, line) in TRUTH_LINES.items():
        if (value := study.truth.get(key)) is not None:
            ax.axvline(value, label=what, zorder=1, **line)


def labelled(x: np.ndarray, needed: float, first: Sequence[int] = ()) -> list[int]:
    """Return which points of a grid get a label, so that labels are `needed` apart on log x.

    The ends come first, then the points in `first`, then the others from the right, where grids are
    densest.

    Examples
    --------
    >>> grid = np.array([1.0, 10, 100, 110, 1000])
    >>> labelled(grid, needed=1.0), labelled(grid, needed=1.0, first=[2])
    ([0, 1, 3, 4], [0, 1, 2, 4])
    """
    last = len(x) - 1
    shown = [last]
    for i in (0, *first, *range(last - 1, 0, -1)):
        if all(abs(np.log(x[i] / x[other])) >= needed for other in shown):
            shown.append(i)
    return sorted(shown)


def l0_colors(ax: Axes, study: StudyData, figure: Figure) -> Callable[[float], tuple[float, ...]]:
    """Put a scale of L0 beside a panel; return the colour of each L0."""
    grid = mean_l0(study)
    lowest, highest = grid[0], grid[-1] if len(grid) > 1 else 2 * grid[0]
    norm = LogNorm(lowest, highest)
    colors = sns.color_palette("viridis_r", as_cmap=True)
    # In the panel's margin: a layout would add a column for it to what all panels leave free.
    place = ax.inset_axes((1.03, 0, 0.035, 1))
    bar = figure.colorbar(ScalarMappable(norm, colors), cax=place, label="L0")
    bar.outline.set_visible(False)
    shown = [grid[i] for i in labelled(grid, 0.12 * np.log(highest / lowest))]
    bar.set_ticks(shown, labels=[study.names(x) for x in shown])
    bar.minorticks_off()
    return lambda l0: colors(norm(study.l0_of(l0)))


def outer_labels(axes: Sequence[Axes]) -> None:
    """Keep y labels in the first column and x labels below the last panel of each column."""
    columns = axes[0].get_subplotspec().get_gridspec().ncols  # type: ignore[union-attr]
    for position, ax in enumerate(axes):
        if position % columns:
            ax.set_ylabel("")
        if position + columns < len(axes):
            ax.set_xlabel("")


def mean_l0(study: StudyData) -> np.ndarray:
    """Return the mean measured L0 of each grid point, lowest first."""
    return np.sort(study.tables["points"].groupby("l0")["x"].first().to_numpy())


def lighter(color: str) -> tuple[float, float, float]:
    """Return a colour halfway to white.

    Examples
    --------
    >>> lighter("#000000")
    (0.5, 0.5, 0.5)
    """
    red, green, blue = ((1 + part) / 2 for part in to_rgb(color))
    return red, green, blue


def percent(share: float, _position: object = None) -> str:
    """Return a share as a tick label.

    Examples
    --------
    >>> percent(0.475), percent(0.001), percent(-0.02)
    ('47.5%', '0.1%', '−2%')
    """
    return f"{100 * share:.3g}%".replace("-", "−")


def count_axis(ax: Axes, total: int, label: str) -> None:
    """Give a panel of shares a second axis on the right, of the numbers they are."""

    def number(share: Any) -> Any:
        return np.asarray(share) * total

    def share(number: Any) -> Any:
        return np.asarray(number) / total

    ax.secondary_yaxis("right", functions=(number, share)).set_ylabel(label)


def explain(ax: Axes, **where: Any) -> None:
    """Put a legend into a panel, of what the caption does not say: all but what is shaded."""
    shown = legend_of(ax, ANSWER, LEANING["label"])
    if shown:
        ax.legend(shown.values(), shown.keys(), **{"loc": "best"} | where)


def legend_of(ax: Axes, *leave_out: str) -> dict[str, Artist]:
    """Return what a panel's legend shows by its label, each once, chance last."""
    found = list(zip(*ax.get_legend_handles_labels(), strict=True))
    found.sort(key=lambda item: not isinstance(item[0], ErrorbarContainer))
    shown = {label: handle for handle, label in found if label not in leave_out}
    if CHANCE in shown:
        shown[CHANCE] = shown.pop(CHANCE)
    return shown
