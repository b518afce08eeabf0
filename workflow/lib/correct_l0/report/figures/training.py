"""What the SAEs are: reconstruction, measured L0, and the health of their training."""

from __future__ import annotations

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    LogFormatter,
    LogLocator,
    NullFormatter,
    StrMethodFormatter,
)

from correct_l0.reading.health import (
    COSINE_LIMIT,
    DEAD_LIMIT,
    MOVED_LIMIT,
    SLOPE_LIMIT,
    last_moves,
)
from correct_l0.report.data import StudyData
from correct_l0.report.figures.marks import answer_band, chance_line, nothing, seed_curve
from correct_l0.report.figures.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    TRUTH_LINES,
    l0_axis,
    l0_colors,
    panels,
    percent,
)


def reconstruction(study: StudyData, narrow: bool) -> Figure:
    """Variance explained and unexplained: they prefer a higher L0 whatever is right."""
    figure, (left, right) = panels(2, 2, narrow, height=3.0)
    table = study.tables["points"].assign(explained=1 - study.tables["points"]["fvu"])
    for ax, column, label in (
        (left, "explained", "variance explained"),
        (right, "fvu", "variance unexplained (FVU, log)"),
    ):
        answer_band(ax, study)
        seed_curve(ax, table, column, INK)
        ax.set_ylabel(label)
        ax.yaxis.set_major_formatter(FuncFormatter(percent))
        l0_axis(ax, study, narrow)
    right.set_yscale("log")
    # From 6% on the labels of a decade's minor ticks would lie on top of each other.
    right.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
    right.yaxis.set_major_formatter(FuncFormatter(percent))
    right.yaxis.set_minor_formatter(FuncFormatter(percent))
    right.tick_params(axis="y", which="minor", labelsize=7.5)
    left.set_title("Misleading: more is always “better”")
    right.set_title("The same, unexplained")
    return figure


def measured_l0(study: StudyData, narrow: bool) -> Figure:
    """Measured against target L0, and their relative distance; or against the coefficient."""
    if study.plan.study.saes.swept == "coefficient":
        return _l0_of_coefficients(study, narrow)
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
    within = study.plan.study.saes.declared.l0_tolerance
    right.axhspan(
        -within, within, color=GREY, alpha=0.18, linewidth=0, label=f"within {within:.0%}"
    )
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


def _l0_of_coefficients(study: StudyData, narrow: bool) -> Figure:
    figure, (ax,) = panels(1, 1, narrow, height=3.0)
    every = study.every_coefficient
    table = study.tables["points"] if every is None else every
    sns.lineplot(table, x="l0", y="l0_measured", errorbar=None, color=BLUE, ax=ax)
    sns.scatterplot(table, x="l0", y="l0_measured", color=BLUE, s=32, ax=ax, label="each seed")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("coefficient of the penalty (log)")
    ax.set_ylabel("measured L0 on held-out tokens (log)")
    ax.set_title("L0 that each coefficient leads to")
    for what, (key, line) in TRUTH_LINES.items():
        if (value := study.truth.get(key)) is not None:
            ax.axhline(value, label=what, zorder=1, **line)
    ax.legend(loc="lower left")
    return figure


def training_health(study: StudyData, narrow: bool) -> Figure:
    """Distance from the initialisation; c_dec and the loss, whether they move; dead latents."""
    figure, axes = panels(6, 2, narrow, height=2.8)
    _draw_init_cosines(axes[0], study, narrow)
    _draw_dead(axes[1], study, narrow)
    _draw_c_dec(axes[2], study, figure)
    _draw_moves(axes[3], study, narrow)
    _draw_losses(axes[4], study, figure)
    _draw_slope(axes[5], study, narrow)
    return figure


def _limit(ax: Axes, limit: float, label: str, refuses: bool) -> None:
    """Draw a limit: orange where it refuses an answer, grey where it only brings a caveat."""
    color = ORANGE if refuses else GREY
    ax.axhline(limit, color=color, linestyle="--", linewidth=1.3, label=label)


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
    _limit(ax, COSINE_LIMIT, f"limit for the median, {COSINE_LIMIT:g}", refuses=True)
    ax.set_ylim(min(-0.05, quantiles.to_numpy().min(initial=0) - 0.05), 1.02)
    ax.set_title("Distance from the initialisation")
    ax.set_ylabel("cosine with initial row")
    ax.legend(loc="upper left", ncols=1 if narrow else 2)
    l0_axis(ax, study, narrow)


def _draw_slope(ax: Axes, study: StudyData, narrow: bool) -> None:
    seed_curve(ax, study.tables["points"], "loss_slope", BLUE)
    _limit(ax, SLOPE_LIMIT, f"caveat above {percent(SLOPE_LIMIT)}", refuses=False)
    ax.axhline(0, color=GREY, linewidth=1)
    ax.yaxis.set_major_formatter(FuncFormatter(percent))
    highest = study.tables["points"]["loss_slope"].max()
    ax.set_ylim(top=max(1.25 * SLOPE_LIMIT, 1.15 * highest))
    ax.set_title("Is the loss still falling?")
    ax.set_ylabel("fall per tenth of training")
    ax.legend(loc="best")
    l0_axis(ax, study, narrow)


def _draw_moves(ax: Axes, study: StudyData, narrow: bool) -> None:
    ax.set_title("Is c_dec still moving?")
    convergence = study.verdict["convergence"]
    if convergence is None or convergence["scale"] is None:
        nothing(ax, "c_dec is flat: there is nothing to hold its move against")
        return
    moves = last_moves(study.tables["c_dec_training"])
    moves["share"] = moves["moved"] / convergence["scale"]
    moves["x"] = moves["l0"].map(study.tables["points"].groupby("l0")["x"].first())
    seed_curve(ax, moves, "share", BLUE)
    _limit(ax, MOVED_LIMIT, f"limit, {percent(MOVED_LIMIT)}", refuses=True)
    top = max(1.25 * MOVED_LIMIT, 1.15 * float(np.nan_to_num(moves["share"].max())))
    ax.set_ylim(-0.03 * top, top)
    ax.yaxis.set_major_formatter(FuncFormatter(percent))
    ax.set_ylabel("move / rise towards low L0")
    ax.legend(loc="best")
    l0_axis(ax, study, narrow)


def _draw_c_dec(ax: Axes, study: StudyData, figure: Figure) -> None:
    table = study.tables["c_dec_training"]
    done = table["step"] / table.groupby(["l0", "seed"])["step"].transform("max")
    curves = table.assign(done=done).groupby(["l0", "done"])["c_dec"].mean()
    color = l0_colors(ax, study, figure)
    for l0 in study.l0:
        curve = curves.loc[l0]
        ax.plot(curve, color=color(l0), linewidth=1.4, marker=".", markersize=4)
    if len(study.tables["c_dec"]):
        chance_line(ax, study.tables["c_dec"]["random"].mean())
        ax.legend(loc="best")
    ax.set_xlim(0, 1.02)
    ax.set_xticks([0.1, 0.5, 0.9])
    ax.xaxis.set_major_formatter(FuncFormatter(percent))
    ax.set_title("c_dec during training")
    ax.set_xlabel("share of the training done")
    ax.set_ylabel("c_dec")


def _draw_losses(ax: Axes, study: StudyData, figure: Figure) -> None:
    curves = study.tables["loss"].groupby(["l0", "tokens"])["mse_loss"].mean()
    color = l0_colors(ax, study, figure)
    for l0 in study.l0:
        ax.plot(curves.loc[l0], color=color(l0), linewidth=1)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.6)))
    ax.set_title("Loss during training")
    ax.set_xlabel("training tokens (log)")
    ax.set_ylabel("squared error per token (log)")


def _draw_dead(ax: Axes, study: StudyData, narrow: bool) -> None:
    table = study.tables["points"]
    seed_curve(ax, table, "dead_fraction", INK)
    top = max(0.02, 1.2 * float(np.nan_to_num(table["dead_fraction"].max())))
    if top > DEAD_LIMIT:
        _limit(ax, DEAD_LIMIT, f"caveat above {percent(DEAD_LIMIT)}", refuses=False)
        ax.legend(loc="best")
    ax.set_ylim(-0.03 * top, top)
    ax.yaxis.set_major_formatter(FuncFormatter(percent))
    ax.set_title("Dead latents")
    ax.set_ylabel("share of latents")
    l0_axis(ax, study, narrow)
