"""Trainings that start from a single SAE: how far its latents turn, and c_dec."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from correct_l0.report.data import StudyData
from correct_l0.report.figures.marks import empty
from correct_l0.report.figures.style import BLUE, GREEN, GREY, INK, explain, panels
from correct_l0.settings.base import format_l0


def trained_on(study: StudyData, narrow: bool) -> Figure:
    """How far latents turn, and c_dec, over the L0 that an SAE was trained on at."""
    reading = study.verdict["single"]
    if reading is None:
        return empty(narrow, "the SAE was not trained on")
    figure, (left, right) = panels(2, 2, narrow, height=3.0)
    own = reading["own_l0"]
    left.plot(reading["l0"], reading["turned"], "o-", color=GREEN)
    left.set_yscale("log")
    left.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}°"))
    left.yaxis.set_minor_formatter(FuncFormatter(lambda x, _: f"{x:g}°"))
    left.set_title("How far the latents turn")
    left.set_ylabel("mean angle (log)")
    right.plot(reading["l0"], reading["c_dec"], "o-", color=BLUE, label="trained on")
    right.axhline(
        reading["own_c_dec"], color=GREY, linestyle="--", linewidth=1.3, label="the SAE itself"
    )
    right.set_title("How much they overlap")
    right.set_ylabel("c_dec")
    for ax in (left, right):
        ax.axvline(own, color=INK, linestyle=":", linewidth=1.3, zorder=1, label="its own L0")
        _over(ax, reading["l0"])
        explain(ax)
    return figure


def _over(ax: Axes, l0: Sequence[float]) -> None:
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(list(l0)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xticklabels([format_l0(float(f"{x:.3g}")) for x in l0])
    ax.set_xlabel("measured L0 (log)")
