"""What longer training does: the answers of sweeps that differ in their length alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from correct_l0.report.data import StudyData
from correct_l0.report.figures.style import (
    GREY,
    INK,
    NAMED,
    NARROW_INCHES,
    WIDE_INCHES,
    chance_line,
)
from correct_l0.settings.base import format_l0

Sweeps = Sequence[StudyData]


def growth(sweeps: Sweeps, narrow: bool) -> Figure:
    """Draw L0 named, c_dec and stability over the tokens of the training, a line for each L0."""
    metrics: list[tuple[str, str, str]] = [("c_dec", "value", "random")]
    if all(len(sweep.tables["stability"]) for sweep in sweeps):
        metrics.append(("stability", "reproduced_share", "chance_reproduced_share"))
    count = 1 + len(metrics)
    figure = Figure(
        figsize=(NARROW_INCHES, 2.9 * count) if narrow else (WIDE_INCHES, 3.4),
        layout="constrained",
    )
    axes = list(figure.subplots(count if narrow else 1, 1 if narrow else count, squeeze=False).flat)
    _draw_named(axes[0], sweeps)
    for ax, (table, value, chance) in zip(axes[1:], metrics, strict=True):
        _draw_metric(ax, sweeps, table, value)
        known = [sweep.tables[table] for sweep in sweeps if chance in sweep.tables[table]]
        if known:
            chance_line(ax, float(pd.concat(known)[chance].mean()))
        ax.set_title(TITLES[table])
    for ax in axes:
        _tokens_axis(ax, [tokens_of(sweep) for sweep in sweeps])
    axes[-1].legend(title="L0", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


TITLES = {"c_dec": "$c_{dec}$, lower is better", "stability": "Stability: reproduced share"}


def tokens_of(sweep: StudyData) -> int:
    """Return how many tokens each SAE of a sweep was trained on."""
    return int(sweep.plan.study.saes.training.training_tokens)


def curves(sweeps: Sweeps, table: str, value: str) -> pd.DataFrame:
    """Return the mean of a metric over seeds or pairs: a row for each length, a column each L0."""
    means = {tokens_of(sweep): sweep.tables[table].groupby("l0")[value].mean() for sweep in sweeps}
    return pd.DataFrame(means).T.sort_index()


def _draw_named(ax: Axes, sweeps: Sweeps) -> None:
    """Draw the interval that each length names, or the outcome of its refusal, upright."""
    ax.set_yscale("log")
    grid = sorted({float(x) for sweep in sweeps for x in sweep.tables["points"]["x"]})
    for sweep in sweeps:
        x = tokens_of(sweep)
        if (named := sweep.named) is not None:
            ax.plot([x, x], [named["low"], named["high"]], color=NAMED, linewidth=7, alpha=0.45,
                    solid_capstyle="butt")  # fmt: skip
            ax.plot(x, named["l0"], "o", color=NAMED, markersize=8, markeredgecolor="white")
        else:
            ax.annotate(f"none: {sweep.verdict['outcome']}", (x, 0.5), rotation=90, fontsize=8.5,
                        xycoords=ax.get_xaxis_transform(), ha="center", va="center",
                        color=INK)  # fmt: skip
    ax.set_ylim(grid[0] / 1.15, grid[-1] * 1.15)
    shown = sorted({float(x) for sweep in sweeps for x in sweep.l0})
    ax.yaxis.set_major_locator(FixedLocator(shown))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda l0, _: format_l0(l0)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_title("L0 named, and its interval")


def _draw_metric(ax: Axes, sweeps: Sweeps, table: str, value: str) -> None:
    means = curves(sweeps, table, value)
    color: Callable[[float], tuple[float, float, float, float]] = colormaps["viridis"]
    for i, l0 in enumerate(means.columns):
        ax.plot(means.index, means[l0], marker="o", markersize=4, linewidth=1.6,
                color=color(0.9 * i / max(1, len(means.columns) - 1)),
                label=format_l0(float(l0)))  # fmt: skip


def _tokens_axis(ax: Axes, tokens: Sequence[int]) -> None:
    ax.set_xscale("log")
    ax.set_xlim(min(tokens) / 1.4, max(tokens) * 1.4)
    ax.xaxis.set_major_locator(FixedLocator(sorted(tokens)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1e6:.3g}M"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("training tokens (log)")
    ax.grid(color=GREY, alpha=0.2)
