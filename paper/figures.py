"""The figures that no study's own report has: transitions, the automatic L0, and mixing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from correct_l0.report.captions import Caption
from correct_l0.report.figures.marks import nothing
from correct_l0.report.figures.style import BLUE, GREEN, GREY, INK, ORANGE, PINK, panels
from paper.claims.others import MIXED
from paper.claims.sweep import RIGHT, truth_of
from paper.claims.training import PAPERS_RULES, SETTLED, transition_runs

Tables = Mapping[str, pd.DataFrame]

DIRECTIONS = {"down": BLUE, "up": ORANGE}
STYLES = ("-", "--", ":", "-.")
COLORS = (ORANGE, GREEN, PINK, BLUE)


def _empty(narrow: bool) -> Figure:
    figure, axes = panels(1, 1, narrow, height=1.2)
    nothing(axes[0], "not run")
    return figure


def _truth_line(ax: Axes, truth: float, horizontal: bool = True) -> None:
    line = ax.axhline if horizontal else ax.axvline
    line(truth, color=INK, linestyle=":", linewidth=1.4, zorder=1, label=f"true L0, {truth:.4g}")


def transitions(tables: Tables, narrow: bool) -> Figure:
    """L0 along the training on the left, what each run ends with on the right."""
    runs = tables["transitions"]
    if not len(runs):
        return _empty(narrow)
    figure, (left, right) = panels(2, 2, narrow, height=3.6, ratios=[1, 1.15])
    _draw_schedules(left, tables)
    _draw_ends(right, runs)
    return figure


def _draw_schedules(ax: Axes, tables: Tables) -> None:
    table = tables["trajectories"]
    _truth_line(ax, truth_of(tables))
    styles: dict[str, str] = {}
    for run in transition_runs(tables["transitions"]):
        name = f"batch {run['batch_size']:g}" + ("" if run["reached"] else ", stops on its way")
        style = styles.setdefault(name, STYLES[len(styles) % len(STYLES)])
        rows = table[(table["run"] == run["run"]) & (table["start_l0"] == run["start_l0"])]
        ax.plot(rows.groupby("samples")["l0"].mean(), color=DIRECTIONS[run["direction"]],
                linestyle=style, linewidth=1.6)  # fmt: skip
    for name, style in styles.items():
        ax.plot([], [], color=INK, linestyle=style, linewidth=1.6, label=name)
    ax.set_title("L0 during training")
    ax.set_ylabel("L0")
    ax.set_ylim(bottom=0)
    _samples_axis(ax)
    ax.legend(loc="lower right")


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
        end = f"{rows['l0_end_reached'].mean():.3g}"
        labels.append(f"{run['start_l0']:g} → {end}, batch {run['batch_size']:g}")
    ax.axvline(RIGHT, color=GREY, linestyle="--", linewidth=1.2, label=f"right, {RIGHT:g}")
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.set_title("What it ends with")
    ax.set_xlabel("mean best cosine with the true features")
    ax.legend(loc="best")


def auto_l0(tables: Tables, narrow: bool) -> Figure:
    """L0 along the training, one panel per rule; and where each run ends."""
    table, ends, truth = tables["trajectories"], tables["auto_l0"], truth_of(tables)
    table = table[table["role"] == "auto_l0"]
    if not len(ends):
        return _empty(narrow)
    rules = rules_of(ends)
    starts = sorted(ends["start_l0"].unique(), reverse=True)
    colors = dict(zip(starts, sns.color_palette("viridis", len(starts)), strict=True))
    count = len(rules) + 1
    figure, axes = panels(count, 2 if count == 4 else count, narrow, height=3.1)
    for ax, rule in zip(axes, rules, strict=False):
        _truth_line(ax, truth)
        for (start, _), rows in table[table["rule"] == rule].groupby(["start_l0", "seed"]):
            ax.plot(rows["samples"], rows["l0"], color=colors[start], linewidth=1.0, alpha=0.8)
        ax.set_title(_rule_name(rule))
        ax.set_ylabel("L0")
        ax.set_ylim(0, 1.08 * table["l0"].max())
        _samples_axis(ax)
    _draw_auto_ends(axes[-1], ends, truth, rules, starts)
    return figure


def rules_of(auto: pd.DataFrame) -> list[str]:
    """Return the rules of the automatic L0, the readings of the paper's first."""
    return sorted(auto["rule"].unique(), key=lambda rule: (rule not in PAPERS_RULES, rule))


def _rule_name(rule: str) -> str:
    if rule in PAPERS_RULES:
        return f"The paper's rule, {PAPERS_RULES[rule]}"
    return f"Beside it: {rule}"


def _draw_auto_ends(
    ax: Axes, ends: pd.DataFrame, truth: float, rules: list[str], starts: list[float]
) -> None:
    ax.axhspan(truth - SETTLED, truth + SETTLED, color=GREY, alpha=0.18, linewidth=0)
    _truth_line(ax, truth)
    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 5.5}
    handles = []
    for index, (rule, color) in enumerate(zip(rules, COLORS, strict=False)):
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


def mixing(tables: Tables, narrow: bool) -> Figure:
    """Mixing against the correlation on the left, against L0 on the right."""
    table = tables["small_model"]
    by_correlation = table[table["experiment"] == "mixing_correlation"]
    by_l0 = table[table["experiment"] == "mixing_l0"]
    if not len(by_correlation) or not len(by_l0):
        return _empty(narrow)
    figure, axes = panels(2, 2, narrow, height=3.2)
    for ax in axes:
        ax.axhline(MIXED, color=GREY, linestyle="--", linewidth=1.1, label=f"mixed, {MIXED:g}")
    l0 = ", ".join(f"{x:g}" for x in sorted(by_correlation["l0"].unique()))
    _seed_dots(axes[0], by_correlation, "correlation", BLUE, f"L0 {l0}")
    for color, (correlation, rows) in zip(COLORS, by_l0.groupby("correlation"), strict=False):
        name = f"correlation {correlation:+g}".replace("-", "−")
        _seed_dots(axes[1], rows, "l0", color, name)
    _truth_line(axes[1], 2, horizontal=False)
    for ax, title, label in (
        (axes[0], "Mixing against the correlation", "correlation of feature 0 with each other"),
        (axes[1], "Mixing against L0", "L0"),
    ):
        ax.set_title(title)
        ax.set_xlabel(label)
        ax.set_ylabel("mean |cosine| with feature 0")
        ax.set_ylim(bottom=0)
        ax.legend(loc="best")
    return figure


def _seed_dots(ax: Axes, rows: pd.DataFrame, x: str, color: str, label: str) -> None:
    """Draw the mean over seeds as a line, their range as a band, and every seed as a dot."""
    by_x = rows.groupby(x)["mixing"]
    ax.fill_between(by_x.min().index, by_x.min(), by_x.max(), color=color, alpha=0.2, linewidth=0)
    ax.plot(by_x.mean(), color=color, label=label)
    ax.plot(rows[x], rows["mixing"], color=color, linestyle="none", marker="o", markersize=3.2,
            alpha=0.7, markeredgewidth=0)  # fmt: skip


FIGURES: dict[str, Callable[[Tables, bool], Figure]] = {
    "transitions": transitions,
    "auto_l0": auto_l0,
    "mixing": mixing,
}

CAPTIONS = {
    "transitions": Caption(
        "L0 that changes during training",
        "Left: L0 (up) over training samples (across) of each schedule, down in blue and up in "
        "orange. Right: mean best cosine with the true features (across) of each run (down), one "
        "dot for each seed; open where L0 stopped before its end.",
        "L0 schedules, and how well the features are recovered at their end.",
    ),
    "auto_l0": Caption(
        "L0 found during training",
        "L0 (up) over training samples (across), one line for each start and seed, by the paper's "
        "rule and by the one beside it; last: where each run ends (up) by its start (across), "
        f"filled where the mean best cosine is at least {RIGHT:g}; grey: within {SETTLED:g} of the "
        "true L0.",
        "Trajectories of the automatic L0 and where they end.",
    ),
    "mixing": Caption(
        "How much is mixed where five features have to do with L0 2 or less",
        "Mean |cosine| of the other latents with feature 0 (up), against its correlation with them "
        "(across, left) and against L0 (across, right); dots: each seed; line: their mean; band: "
        f"their range. Dashed: {MIXED:g}, from which on the ledger calls it mixed.",
        "Mixing against correlation and against L0 in the small model.",
    ),
}
