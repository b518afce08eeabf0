"""s_n^dec of every n, and F1 close up and on the whole scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from correct_l0.metrics.probing.settings import PERMUTED_LATENTS, SHUFFLED_LABELS
from correct_l0.reading.reading import ABOVE_N
from correct_l0.report import words
from correct_l0.report.data import StudyData
from correct_l0.report.figures.marks import answer_band, empty, mark_reading, seed_curve
from correct_l0.report.figures.style import (
    BLUE,
    GREY,
    INK,
    PROBE_COLORS,
    explain,
    l0_axis,
    outer_labels,
    panels,
)


def s_n_dec_by_n(study: StudyData, narrow: bool) -> Figure:
    """s_n^dec of each n in its own panel and units."""
    table = study.tables["s_n_dec"]
    ns = sorted(table["n"].dropna().unique())
    if not ns:
        return empty(narrow, "no decoder metrics")
    figure, axes = panels(len(ns), 3 if len(ns) < 10 else 4, narrow, height=1.9 if narrow else 2.3)
    for ax, n in zip(axes, ns, strict=True):
        rows = table[(table["n"] == n) & (table["statistic"] == "batch_mean")]
        answer_band(ax, study)
        below_n = rows["x"] < n
        seed_curve(ax, rows, "value", GREY, linewidth=1, linestyle=":")
        if below_n.any():
            seed_curve(ax, rows[below_n], "value", BLUE)
        reading = study.verdict["s_n_dec"].get(str(int(n)))
        counted = reading and reading["outcome"] != ABOVE_N
        mark_reading(ax, reading, BLUE if counted else GREY)
        ax.set_title(f"n = {int(n)}")
        ax.set_ylabel("$s_n^{dec}$")
        l0_axis(ax, study, narrow)
    outer_labels(axes)
    return figure


def f1_scores(study: StudyData, narrow: bool) -> Figure:
    """Mean F1 close up for each probe size, and on the whole scale with the baselines."""
    readings = {k: r for k, r in study.verdict["f1"].items() if r["points"]}
    if not readings:
        return empty(narrow, "no F1 scores")
    count = len(readings) + 1
    figure, axes = panels(count, count, narrow, height=3.6, ratios=[1.0] * (count - 1) + [0.8])
    for ax, color, (k, reading) in zip(axes, PROBE_COLORS, readings.items(), strict=False):
        _draw_f1(ax, study, int(k), reading, color, narrow)
    _draw_f1_whole(axes[-1], study, readings, narrow)
    return figure


def _draw_f1(ax: Axes, study: StudyData, k: int, reading: dict, color: str, narrow: bool) -> None:
    x, means = np.array(reading["points"]), np.array(reading["means"])
    errors = 2 * np.array(reading["paired_errors"])
    answer_band(ax, study)
    ax.errorbar(x, means, yerr=errors, color=color, capsize=2.5, elinewidth=1.1)
    in_set = np.isin(x, reading["peak_set"])
    dot: dict[str, Any] = {
        "color": color,
        "linestyle": "none",
        "marker": "o",
        "markersize": 7,
        "zorder": 4,
    }
    ax.plot(x[in_set], means[in_set], label="level with the best", **dot)
    if (~in_set).any():
        ax.plot(x[~in_set], means[~in_set], markerfacecolor="white", label="below the best", **dot)
    scores = study.tables["probing"]
    scores = scores[scores["probe_k"] == k]
    per_seed = scores.groupby(["l0_measured", "seed"])["f1"].mean().reset_index()
    if study.tables["points"]["seed"].nunique() > 1:
        ax.plot(per_seed["l0_measured"], per_seed["f1"], color=INK, marker="_", markersize=7,
                linestyle="none", label="each seed", zorder=6)  # fmt: skip
    ax.set_title(f"F1, {words.latents(k)} per probe")
    ax.set_ylabel(f"mean F1 over {reading['tasks']} tasks")
    explain(ax)
    l0_axis(ax, study, narrow)


def _draw_f1_whole(ax: Axes, study: StudyData, readings: dict[str, dict], narrow: bool) -> None:
    for color, (k, reading) in zip(PROBE_COLORS, readings.items(), strict=False):
        ax.plot(reading["points"], reading["means"], color=color, label=words.latents(int(k)))
        ax.fill_between(reading["points"], reading["lows"], reading["highs"], color=color,
                        alpha=0.18, linewidth=0)  # fmt: skip
        control_curves(ax, study, int(k), color)
    baselines = study.tables["baselines"]
    styles = {"logistic_regression": ("raw activations", "--"), "coin": ("coin", "-."),
              "constant": ("constant", ":")}  # fmt: skip
    for name, (label, style) in styles.items():
        rows = baselines[baselines["baseline"] == name]
        if len(rows):
            level = rows["f1"].mean()
            ax.axhline(level, color=INK, linestyle=style, linewidth=1.2)
            ax.annotate(label, (0.98, level), xycoords=("axes fraction", "data"), ha="right",
                        xytext=(0, 3), textcoords="offset points", fontsize=8)  # fmt: skip
    ax.set_ylim(0.28, 1.0)
    ax.set_title("Whole scale")
    ax.set_ylabel("mean F1")
    explain(ax, loc="lower left", bbox_to_anchor=(0, 0.08))
    l0_axis(ax, study, narrow)


def control_curves(ax: Axes, study: StudyData, k: int, color: str) -> None:
    """Draw what probes on k latents score that should find empty, where a study has any."""
    scores = study.tables["probing"]
    scores = scores[scores["probe_k"] == k]
    for name, label, look in (
        (PERMUTED_LATENTS, "latents at random", {"color": color, "linestyle": ":"}),
        (SHUFFLED_LABELS, "shuffled labels", {"color": GREY, "marker": "x", "linestyle": "none"}),
    ):
        means = scores.dropna(subset=name).groupby("x")[name].mean()
        if len(means):
            ax.plot(means, label=label, markersize=5, linewidth=1.3, zorder=2, **look)  # type: ignore[arg-type]
