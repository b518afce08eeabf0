"""L0 that changes during training: transitions and the automatic L0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from correct_l0.report.figures.style import BLUE, GREEN, GREY, INK, ORANGE, PINK, panels
from correct_l0.toy_model.report.claims.sweep import RIGHT
from correct_l0.toy_model.report.claims.training import (
    PAPERS_RULES,
    SETTLED,
    transition_runs,
)
from correct_l0.toy_model.report.data import ToyData
from correct_l0.toy_model.report.figures.common import empty, truth_line

DIRECTIONS = {"down": BLUE, "up": ORANGE}
RUN_STYLES = ("-", "--", ":", "-.")
RULE_COLORS = (ORANGE, GREEN, PINK, BLUE)


def transitions(study: ToyData, narrow: bool) -> Figure:
    """L0 along the training on the left, what each run ends with on the right."""
    runs = study.tables["transitions"]
    if not len(runs):
        return empty("transitions: not run in this study", narrow)
    figure, (left, right) = panels(2, 2, narrow, height=3.6, ratios=[1, 1.15])
    _draw_schedules(left, study)
    _draw_ends(right, runs)
    return figure


def _draw_schedules(ax: Axes, study: ToyData) -> None:
    table = study.tables["trajectories"]
    table = table[table["experiment"] == "transitions"]
    truth_line(ax, study, horizontal=True)
    styles: dict[str, str] = {}
    for run in transition_runs(study.tables["transitions"]):
        style = styles.setdefault(_schedule(run), RUN_STYLES[len(styles) % len(RUN_STYLES)])
        rows = table[(table["run"] == run["label"]) & (table["start_l0"] == run["start_l0"])]
        ax.plot(
            rows.groupby("samples")["l0"].mean(),
            color=DIRECTIONS[run["direction"]],
            linestyle=style,
            linewidth=1.6,
        )
    for kind, style in styles.items():
        ax.plot([], [], color=INK, linestyle=style, linewidth=1.6, label=kind)
    ax.set_title("L0 during training")
    ax.set_ylabel("L0")
    ax.set_ylim(bottom=0)
    _samples_axis(ax)
    ax.legend(loc="lower right")


def _schedule(run: dict[str, Any]) -> str:
    return f"batch {run['batch_size']:g}" + ("" if run["reached"] else ", stops on its way")


def _draw_ends(ax: Axes, runs: pd.DataFrame) -> None:
    """Draw each run's mean best cosine, one row per run: open where it did not reach its end."""
    labels = []
    for row, run in enumerate(transition_runs(runs)):
        rows = runs[(runs["run"] == run["run"]) & (runs["start_l0"] == run["start_l0"])]
        color = DIRECTIONS[run["direction"]]
        jitter = np.linspace(-0.16, 0.16, len(rows)) if len(rows) > 1 else np.zeros(1)
        ax.plot(rows["mean_best_cosine"], row + jitter, color=color, linestyle="none", marker="o",
                markersize=5.5, alpha=0.85,
                markerfacecolor=color if run["reached"] else "white")  # fmt: skip
        labels.append(
            f"{run['start_l0']:g} → {rows['l0_end_reached'].mean():.3g}, batch "
            f"{run['batch_size']:g}"
        )
    ax.axvline(RIGHT, color=GREY, linestyle="--", linewidth=1.2, label=f"right, {RIGHT:g}")
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.set_title("What it ends with")
    ax.set_xlabel("mean best cosine with the true features")
    ax.legend(loc="best")


def auto_l0(study: ToyData, narrow: bool) -> Figure:
    """L0 along the training, one panel per rule; and where each run ends."""
    table = study.tables["trajectories"]
    table = table[table["experiment"] == "auto_l0"]
    ends = study.tables["auto_l0"]
    if not len(ends):
        return empty("automatic L0: not run in this study", narrow)
    rules = rules_of(ends)
    starts = sorted(ends["start_l0"].unique(), reverse=True)
    colors = dict(zip(starts, sns.color_palette("viridis", len(starts)), strict=True))
    count = len(rules) + 1
    figure, axes = panels(count, 2 if count == 4 else count, narrow, height=3.1)
    for ax, rule in zip(axes, rules, strict=False):
        truth_line(ax, study, horizontal=True)
        for (start, _), rows in table[table["rule"] == rule].groupby(["start_l0", "seed"]):
            ax.plot(rows["samples"], rows["l0"], color=colors[start], linewidth=1.0, alpha=0.8)
        ax.set_title(_rule_name(rule))
        ax.set_ylabel("L0")
        _samples_axis(ax)
    highest = table["l0"].max() if len(table) else study.truth
    for ax in axes[:-1]:
        ax.set_ylim(0, 1.08 * highest)
    _draw_auto_ends(axes[-1], study, rules, starts)
    return figure


def rules_of(auto: pd.DataFrame) -> list[str]:
    """Return the rules of the automatic L0, the readings of the paper's first."""
    return sorted(auto["rule"].unique(), key=lambda rule: (rule not in PAPERS_RULES, rule))


def _rule_name(rule: str) -> str:
    if rule in PAPERS_RULES:
        return f"The paper's rule, {PAPERS_RULES[rule]}"
    return f"Beside it: {rule.replace('_', ' ')}"


def _draw_auto_ends(ax: Axes, study: ToyData, rules: list[str], starts: list[float]) -> None:
    ends, truth = study.tables["auto_l0"], study.truth
    ax.axhspan(truth - SETTLED, truth + SETTLED, color=GREY, alpha=0.18, linewidth=0)
    truth_line(ax, study, horizontal=True)
    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 5.5}
    handles = []
    for index, (rule, color) in enumerate(zip(rules, RULE_COLORS, strict=False)):
        rows = ends[ends["rule"] == rule]
        place = rows["start_l0"].map({start: i for i, start in enumerate(starts)}).astype(float)
        right = rows["mean_best_cosine"] >= RIGHT
        shift = 0.2 * (index - (len(rules) - 1) / 2)
        for mask, face in ((right, color), (~right, "white")):
            ax.plot(place[mask] + shift, rows["l0_end"][mask], color=color, markerfacecolor=face,
                    alpha=0.85, **dot)  # fmt: skip
        handles.append(Line2D([], [], color=color, label=_rule_name(rule), **dot))
    ax.set_xticks(range(len(starts)), [f"{start:g}" for start in starts])
    ax.set_xlim(-0.5, len(starts) - 0.5)
    ax.set_ylim(0, 1.45 * max(float(ends["l0_end"].max()), truth + SETTLED))
    ax.set_title("Where it ends")
    ax.set_xlabel("L0 at the start")
    ax.set_ylabel("L0 at the end")
    ax.legend(handles=handles, loc="upper right")


def _samples_axis(ax: Axes) -> None:
    ax.set_xlabel("training samples")
    ax.xaxis.set_major_formatter(FuncFormatter(short_count))
    ax.tick_params(axis="x", color=INK)


def short_count(x: float, _position: object = None) -> str:
    """Return a count as a tick label.

    Examples
    --------
    >>> short_count(15e6), short_count(200_000), short_count(50)
    ('15M', '200k', '50')
    """
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(x) >= size:
            return f"{x / size:.3g}{unit}"
    return f"{x:.3g}"
