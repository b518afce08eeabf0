"""The decoder metrics over L0, and how well the features are recovered."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from correct_l0.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    answer_band,
    nothing,
    outer_labels,
    panels,
)
from correct_l0.toy_model.report.claims.metrics import PUBLISHED_N
from correct_l0.toy_model.report.claims.reconstruction import (
    PUBLISHED_MSE,
    crossing,
    lead_ends,
)
from correct_l0.toy_model.report.claims.sweep import RIGHT, is_the_papers, own_cosines
from correct_l0.toy_model.report.data import ToyData
from correct_l0.toy_model.report.figures.common import empty, l0_axis, seed_dots, truth_line

RECOVERY_LABELS = ("mean over features", "worst feature", f"right, {RIGHT:g}")


def decoder_metrics(study: ToyData, narrow: bool) -> Figure:
    """c_dec with its seeds on the left, s_n^dec at the published n on the right."""
    figure, (left, right) = panels(2, 2, narrow, height=3.6)
    for ax in (left, right):
        answer_band(ax, study)
        truth_line(ax, study)
    c_dec, s_n = study.tables["c_dec"], study.tables["s_n_dec"]
    if len(c_dec):
        seed_dots(left, c_dec, "x", "value", BLUE, f"mean of {c_dec['seed'].nunique()} seeds")
        _mark_minimum(left, c_dec, BLUE)
    left.set_title("$c_{dec}$: overlap of decoder directions")
    left.set_ylabel("$c_{dec}$ (mean |cosine|)")
    unit = s_n[(s_n["norm"] == "unit") & s_n["n"].isin(PUBLISHED_N)]
    ns = sorted(unit["n"].unique())
    for n, color in zip(ns, _n_colors(len(ns)), strict=True):
        rows = unit[unit["n"] == n]
        seed_dots(right, rows, "x", "value", color, f"n = {int(n)}")
        _mark_minimum(right, rows, color)
    right.set_title("$s_n^{dec}$: projections on the decoder")
    right.set_ylabel("$s_n^{dec}$ (rows of norm 1)")
    for ax in (left, right):
        l0_axis(ax)
        ax.legend(loc="best")
    return figure


def s_n_dec_by_n(study: ToyData, narrow: bool) -> Figure:
    """s_n^dec of each n in its own panel, on unit and on raw decoder norms."""
    table = study.tables["s_n_dec"]
    ns = sorted(table["n"].dropna().unique())
    if not ns:
        return empty("no s_n^dec in this study", narrow)
    figure, axes = panels(len(ns), 4, narrow, height=1.9 if narrow else 2.1)
    for ax, n in zip(axes, ns, strict=True):
        truth_line(ax, study)
        for norm, color in (("unit", BLUE), ("raw", ORANGE)):
            rows = table[(table["n"] == n) & (table["norm"] == norm)]
            if len(rows):
                seed_dots(ax, rows, "x", "value", color, f"{norm} norms", linewidth=1.4)
                _mark_minimum(ax, rows, color)
        ax.set_title(f"n = {int(n)}")
        ax.set_ylabel("$s_n^{dec}$")
        l0_axis(ax, "L0")
    axes[0].legend(loc="best", fontsize=7)
    outer_labels(axes)
    return figure


def recovery(study: ToyData, narrow: bool) -> Figure:
    """Mean and smallest best cosine over L0 on the left, each latent's on the right."""
    points = study.tables["points"]
    if not len(points):
        return empty("no SAEs in this study", narrow)
    figure, (left, right) = panels(2, 2, narrow, height=3.2)
    for ax in (left, right):
        answer_band(ax, study)
        truth_line(ax, study)
    seed_dots(left, points, "x", "mean_best_cosine", BLUE, "mean over features")
    seed_dots(left, points, "x", "min_best_cosine", ORANGE, "worst feature")
    left.axhline(RIGHT, color=GREY, linestyle="--", linewidth=1.1, label=f"right, {RIGHT:g}")
    left.set_title("How near the latents come to the features")
    left.set_ylabel("|cosine| with the true feature")
    _draw_right_latents(right, study)
    for ax in (left, right):
        l0_axis(ax)
    right.set_xlim(left.get_xlim())
    handles = [line for line in left.get_lines() if line.get_label() in RECOVERY_LABELS]
    left.legend(handles=handles, loc="center left", bbox_to_anchor=(0.0, 0.32))
    return figure


def _draw_right_latents(ax: Axes, study: ToyData) -> None:
    parts = []
    points = study.tables["points"]
    for l0 in sorted(points["l0"].unique()):
        rows, own = points[points["l0"] == l0], own_cosines(study.tables, float(l0))
        if len(own):
            share = (own["own"] >= RIGHT).groupby(own["seed"]).mean()
            parts.append(pd.DataFrame({"x": rows["x"].iloc[0], "share": share}))
    ax.set_title("Share of latents that are right")
    if not parts:
        return nothing(ax, "no cosines in this study")
    table = pd.concat(parts)
    ax.plot(table["x"], table["share"], color=GREEN, linestyle="none", marker="o", markersize=4,
            alpha=0.7, markeredgewidth=0)  # fmt: skip
    ax.plot(table.groupby("x")["share"].mean(), color=GREEN, linewidth=1.4)
    ax.set_ylim(-0.04, 1.04)
    ax.set_ylabel(f"latents with |cosine| ≥ {RIGHT:g}")


def reconstruction(study: ToyData, narrow: bool) -> Figure:
    """Variance explained and MSE of the trained and of the right SAE at every L0."""
    points, right_sae = study.tables["points"], study.tables["ground_truth"]
    if not len(points):
        return empty("no SAEs in this study", narrow)
    figure, axes = panels(3, 3, narrow, height=3.3)
    titles = (
        ("variance_explained", "variance explained", "About the mean"),
        ("power_explained", "squared norm explained", "About zero"),
        ("mse", "squared error per sample", "Squared error"),
    )
    for ax, (column, label, title) in zip(axes, titles, strict=True):
        truth_line(ax, study)
        seed_dots(ax, points, "x", column, ORANGE, "trained SAE")
        means = right_sae.groupby("l0")[column].mean()
        ax.plot(means, color=INK, linestyle="--", marker="s", markersize=3, linewidth=1.4,
                label="true features at this L0")  # fmt: skip
        ax.set_title(title)
        ax.set_ylabel(label)
        l0_axis(ax)
    axes[2].set_ylim(bottom=0)
    end = lead_ends(crossing(study.tables).groupby("l0")["difference"].mean())
    explained = points.groupby("x")["variance_explained"].mean()
    if math.isfinite(end):
        height = np.interp(end, explained.index.to_numpy(dtype=float), explained)
        axes[0].plot(end, height, marker="D", markersize=7, color=GREEN, linestyle="none", zorder=5,
                     markeredgecolor="white", label=f"the lead ends, {end:.1f}")  # fmt: skip
    if is_the_papers(study.tables):
        axes[2].plot([5, 5], list(PUBLISHED_MSE.values()), color=BLUE, linestyle="none", marker="o",
                 markersize=9, markerfacecolor="none", markeredgewidth=1.5,
                 label="published")  # fmt: skip
    for ax in axes:
        ax.legend(loc="best")
    return figure


def _mark_minimum(ax: Axes, rows: pd.DataFrame, color: str | tuple) -> None:
    means = rows.groupby("x")["value"].mean().dropna()
    if len(means):
        lowest = float(means.index[int(means.argmin())])
        ax.plot(lowest, means.min(), marker="v", markersize=8, color=color, zorder=5,
                markeredgecolor="white", linestyle="none")  # fmt: skip


def _n_colors(count: int) -> list:
    return sns.color_palette("viridis_r", count + 2)[1:-1]
