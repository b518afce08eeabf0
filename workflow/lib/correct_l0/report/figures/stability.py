"""Whether another seed finds the same latents: over L0, and along the training where known."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from correct_l0.reading.stability import EXCESS_LIMIT, SHARE_LIMIT
from correct_l0.report.data import StudyData
from correct_l0.report.figures.marks import answer_band, chance_line, empty, seed_curve
from correct_l0.report.figures.style import (
    CHANCE,
    GREEN,
    GREY,
    ORANGE,
    count_axis,
    explain,
    l0_axis,
    l0_colors,
    lighter,
    panels,
)


def stability(study: StudyData, narrow: bool) -> Figure:
    """Mean matched cosine, share above 0.9, reproduced share, subspace agreement; two in time."""
    table = study.tables["stability"]
    if not len(table):
        return empty(narrow, "seeds were not compared")
    along = study.tables["stability_training"]
    figure, every = panels(4 + 2 * bool(len(along)), 2, narrow, height=2.7)
    axes, in_time = every[:4], every[4:]
    for ax, column, title, label in (
        (axes[0], "share_above", "Latents that come back", "share matched above 0.9"),
        (axes[1], "pw_mcc", "Cosine with the partner", "mean matched cosine"),
        (axes[2], "reproduced_share", "The same without a threshold", "reproduced share"),
    ):
        _panel(ax, study, column, title, label)
        chance_line(ax, table[f"chance_{column}"].mean())
    chance = table["chance_pw_mcc"].mean()
    _level(axes[0], SHARE_LIMIT, "enough for seeds to agree", ORANGE)
    _level(axes[1], chance + EXCESS_LIMIT * (1 - chance), "enough for seeds to agree", ORANGE)
    count_axis(axes[0], study.plan.study.saes.d_sae, "number of latents")
    _draw_subspace(axes[3], study)
    for ax in axes:
        explain(ax)
        l0_axis(ax, study, narrow)
    for ax, column, label in zip(
        in_time,
        ("share_above", "reproduced_share"),
        ("share matched above 0.9", "reproduced share"),
        strict=False,
    ):
        _draw_along(ax, study, figure, column, label)
    return figure


def _draw_along(ax: Axes, study: StudyData, figure: Figure, column: str, label: str) -> None:
    along = study.tables["stability_training"]
    curves = along.groupby(["l0", "tokens"])[column].mean()
    color = l0_colors(ax, study, figure)
    for l0 in sorted(along["l0"].unique()):
        ax.plot(curves.loc[l0], color=color(l0), linewidth=1.4, marker=".", markersize=4)
    chance_line(ax, along[f"chance_{column}"].mean())
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set_title("Along the training")
    ax.set_xlabel("training tokens")
    ax.set_ylabel(label)


def _panel(ax: Axes, study: StudyData, column: str, title: str, label: str) -> None:
    answer_band(ax, study)
    seed_curve(ax, study.tables["stability"], column, GREEN)
    ax.set_ylim(-0.03, 1.03)
    ax.set_title(title)
    ax.set_ylabel(label)


def _draw_subspace(ax: Axes, study: StudyData) -> None:
    table = study.tables["stability"]
    answer_band(ax, study)
    seed_curve(ax, table, "subspace_agreement", GREEN, "all latents")
    others = "subspace_agreement_of_others"
    if table[others].notna().any():
        seed_curve(ax, table, others, lighter(GREEN), "those that do not come back", linewidth=1.3)
    spread = 2 * table["subspace_agreement_spread"].mean()
    ax.axhspan(-spread, spread, color=GREY, alpha=0.35, linewidth=0, label=CHANCE)
    ax.set_ylim(top=1.03)
    ax.set_title("Subspaces in common")
    ax.set_ylabel("subspace agreement")


def _level(ax: Axes, value: float, label: str, color: str) -> None:
    ax.axhline(value, color=color, linestyle="--", linewidth=1.3, label=label)
