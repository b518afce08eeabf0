"""What the SAEs are: reconstruction, measured L0, and the health of their training."""

from __future__ import annotations

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter, NullFormatter, StrMethodFormatter

from correct_l0.config import format_l0
from correct_l0.report.data import StudyData
from correct_l0.report.figures.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PINK,
    answer_band,
    l0_axis,
    labelled,
    panels,
    seed_curve,
)
from correct_l0.report.verdict import COSINE_LIMIT, DEAD_LIMIT, SLOPE_LIMIT


def reconstruction(study: StudyData, narrow: bool) -> Figure:
    """Variance explained and unexplained: they prefer a higher L0 whatever is right."""
    figure, (left, right) = panels(2, 2, narrow, height=3.0)
    table = study.tables["points"].assign(explained=1 - study.tables["points"]["fvu"])
    for ax, column, label in (
        (left, "explained", "variance explained"),
        (right, "fvu", "variance unexplained (FVU, log)"),
    ):
        answer_band(ax, study)
        seed_curve(ax, table, column, PINK)
        ax.set_ylabel(label)
        ax.yaxis.set_major_formatter(FuncFormatter(percent))
        l0_axis(ax, study, narrow)
    right.set_yscale("log")
    right.yaxis.set_major_formatter(FuncFormatter(percent))
    right.yaxis.set_minor_formatter(FuncFormatter(percent))
    right.tick_params(axis="y", which="minor", labelsize=7.5)
    left.set_title("Misleading: more is always “better”")
    right.set_title("The same, unexplained")
    return figure


def percent(share: float, _position: object = None) -> str:
    """Return a share as a tick label.

    Examples
    --------
    >>> percent(0.475), percent(0.001), percent(-0.02)
    ('47.5%', '0.1%', '−2%')
    """
    return f"{100 * share:.3g}%".replace("-", "−")


def measured_l0(study: StudyData, narrow: bool) -> Figure:
    """Measured against target L0, and their relative distance."""
    figure, (left, right) = panels(2, 2, narrow, height=3.0)
    table = study.tables["points"]
    grid = [min(study.l0) / 1.15, max(study.l0) * 1.15]
    left.plot(grid, grid, color=GREY, linestyle="--", linewidth=1.2, label="measured = target")
    sns.scatterplot(table, x="l0", y="l0_measured", color=BLUE, s=32, ax=left, label="each seed")
    left.set_yscale("log")
    left.yaxis.set_minor_formatter(NullFormatter())
    left.set_ylabel("measured L0 on held-out tokens (log)")
    left.set_title("On held-out tokens")
    left.legend(loc="upper left")
    distance = table["l0_measured"] / table["l0"] - 1
    right.axhspan(-0.02, 0.02, color=GREY, alpha=0.18, linewidth=0, label="within 2%")
    sns.scatterplot(x=table["l0"], y=distance, color=BLUE, s=32, ax=right, legend=False)
    right.axhline(0, color=GREY, linewidth=1)
    furthest = max(0.03, float(distance.abs().max()) * 1.2)
    right.set_ylim(-furthest, furthest)
    right.yaxis.set_major_formatter(FuncFormatter(percent))
    right.set_ylabel("measured / target − 1")
    right.set_title("Distance from the target")
    right.legend(loc="upper left")
    for ax in (left, right):
        l0_axis(ax, study, narrow, label="target L0")
    left.yaxis.set_major_locator(left.xaxis.get_major_locator())
    left.set_yticklabels([label.get_text() for label in left.get_xticklabels()])
    return figure


def training_health(study: StudyData, narrow: bool) -> Figure:
    """Distance from the initialisation, slope and curves of the loss, dead latents."""
    figure, axes = panels(4, 2, narrow, height=2.9)
    _draw_init_cosines(axes[0], study, narrow)
    _draw_slope(axes[1], study, narrow)
    _draw_losses(axes[2], study, figure)
    _draw_dead(axes[3], study, narrow)
    return figure


def _draw_init_cosines(ax: Axes, study: StudyData, narrow: bool) -> None:
    quantiles = study.tables["init_cosines"].pivot_table(
        index="x", columns="quantile", values="cosine"
    )
    for low, high, alpha, label in (
        (0.05, 0.95, 0.15, "5 to 95% of latents"),
        (0.25, 0.75, 0.3, "25 to 75%"),
    ):
        if low in quantiles:
            ax.fill_between(quantiles.index, quantiles[low], quantiles[high], color=BLUE,
                            alpha=alpha, linewidth=0, label=label)  # fmt: skip
    seed_curve(ax, study.tables["points"], "init_cosine_median", BLUE, "median")
    ax.axhline(COSINE_LIMIT, color=ORANGE, linestyle="--", linewidth=1.3,
               label=f"limit for the median, {COSINE_LIMIT:g}")  # fmt: skip
    ax.set_ylim(min(-0.05, quantiles.to_numpy().min(initial=0) - 0.05), 1.02)
    ax.set_title("Distance from the initialisation")
    ax.set_ylabel("cosine with initial row")
    ax.legend(loc="upper left", ncols=1 if narrow else 2)
    l0_axis(ax, study, narrow)


def _draw_slope(ax: Axes, study: StudyData, narrow: bool) -> None:
    seed_curve(ax, study.tables["points"], "loss_slope", BLUE)
    ax.axhline(SLOPE_LIMIT, color=ORANGE, linestyle="--", linewidth=1.3, label="limit, 1%")
    ax.axhline(0, color=GREY, linewidth=1)
    ax.yaxis.set_major_formatter(FuncFormatter(percent))
    highest = study.tables["points"]["loss_slope"].max()
    ax.set_ylim(top=max(1.25 * SLOPE_LIMIT, 1.15 * highest))
    ax.set_title("Is the loss still falling?")
    ax.set_ylabel("fall per tenth of training")
    ax.legend(loc="best")
    l0_axis(ax, study, narrow)


def _draw_losses(ax: Axes, study: StudyData, figure: Figure) -> None:
    losses = study.tables["loss"]
    curves = losses.groupby(["l0", "tokens"])["mse_loss"].mean()
    grid = np.array(study.l0)
    lowest, highest = grid[0], grid[-1] if len(grid) > 1 else 2 * grid[0]
    norm = LogNorm(lowest, highest)
    colors = sns.color_palette("viridis_r", as_cmap=True)
    for l0 in study.l0:
        ax.plot(curves.loc[l0], color=colors(norm(l0)), linewidth=1)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.6)))
    bar = figure.colorbar(ScalarMappable(norm, colors), ax=ax, pad=0.02, aspect=25, label="L0")
    bar.outline.set_visible(False)
    shown = [grid[i] for i in labelled(grid, 0.12 * np.log(highest / lowest))]
    bar.set_ticks(shown, labels=[format_l0(l0) for l0 in shown])
    bar.minorticks_off()
    ax.set_title("Loss during training")
    ax.set_xlabel("training tokens (log)")
    ax.set_ylabel("squared error per token (log)")


def _draw_dead(ax: Axes, study: StudyData, narrow: bool) -> None:
    table = study.tables["points"]
    seed_curve(ax, table, "dead_fraction", INK)
    top = max(0.02, 1.2 * float(np.nan_to_num(table["dead_fraction"].max())))
    if top > DEAD_LIMIT:
        ax.axhline(DEAD_LIMIT, color=ORANGE, linestyle="--", linewidth=1.3, label="limit, 10%")
        ax.legend(loc="best")
    ax.set_ylim(-0.03 * top, top)
    ax.yaxis.set_major_formatter(FuncFormatter(percent))
    ax.set_title("Dead latents")
    ax.set_ylabel("share of latents")
    l0_axis(ax, study, narrow)
