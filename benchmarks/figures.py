"""Draw the benchmarks' two figures from their tables: the ratios, and the curves."""

from __future__ import annotations

import statistics

import result_tables as tables
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    LogLocator,
    NullFormatter,
    NullLocator,
    StrMethodFormatter,
)
from readme import ROOMS

from correct_l0.report.figures.style import BLUE, GREY, INK, ORANGE, panels, plt, set_theme

RATIO_TICKS = (0.5, 1, 2, 3, 5, 10, 20, 50, 100)
COLORS = {"rival": ORANGE, "ours": BLUE}
INCHES_PER_LINE = 0.23
CURVES = {
    "d_sae": "d_sae",
    "l0": "L0",
    "batch": "batch (tokens)",
    "points": "points of the sweep",
    "read_threads": "reading threads",
}
"""Names of the abscissas; a curve that is not among them bears its own."""


def short(text: str, length: int = 90) -> str:
    """Return a text that fits beside the figure.

    Examples
    --------
    >>> short("nine tails", 6)
    'nine …'
    """
    return text if len(text) <= length else f"{text[: length - 1].rstrip(' ,')} …"


def ratio_figure(summary: list[tables.Row]) -> Figure:
    """Draw each comparison's ratio with its range, and its target, grouped by room."""
    rows = [row for row in summary if row["ratio"] and (row["target"] or not row["curve"])]
    rooms = [room for room in ROOMS if any(row["room"] == room for row in rows)]
    lines: list[tables.Row | str] = []
    for room in rooms:
        lines += [ROOMS[room], *(row for row in rows if row["room"] == room)]
    height = max(2.0, INCHES_PER_LINE * len(lines) * 1.9 + 1)
    figure, ax = plt.subplots(figsize=(11, height), layout="constrained")
    ax.axvline(1, color=INK, linewidth=1)
    labels = []
    for y, line in enumerate(lines):
        if isinstance(line, str):
            labels.append(line)
            continue
        _draw_ratio(ax, y, line)
        labels.append(f"{short(line['workload'])}\n{short('against ' + line['rival'])}")
    ax.set_yticks(range(len(lines)), labels, fontsize=7.5)
    for label, line in zip(ax.get_yticklabels(), lines, strict=True):
        if isinstance(line, str):
            label.set(fontweight="bold", fontsize=9)
    ax.set_ylim(len(lines) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.set_xscale("log")
    high = max([2.0, *(float(row["largest"]) for row in rows)])
    low = min([0.9, *(float(row["smallest"]) for row in rows)])
    ax.set_xlim(low / 1.15, high * 1.5)
    ticks = [tick for tick in RATIO_TICKS if low / 1.15 <= tick <= high * 1.5]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([f"{tick:g}" for tick in ticks])
    ax.set_xlabel("times as fast as the rival: median and range over rounds (log); bar: the target")
    return figure


def _draw_ratio(ax: Axes, y: int, row: tables.Row) -> None:
    ratio, smallest, largest = (float(row[key]) for key in ("ratio", "smallest", "largest"))
    color = ORANGE if row["met"] == "no" else BLUE
    ax.plot([smallest, largest], [y, y], color=color, linewidth=2.2, alpha=0.5)
    ax.plot([ratio], [y], "o", color=color, markersize=6)
    if row["target"]:
        ax.plot([float(row["target"])] * 2, [y - 0.32, y + 0.32], color=INK, linewidth=1.6)
    ax.annotate(
        f"{ratio:g}", (largest, y), xytext=(6, 0), textcoords="offset points",
        va="center", fontsize=8, color=color, fontweight="bold",
    )  # fmt: skip


def curve_figure(rounds: list[tables.Row]) -> Figure:
    """Draw one panel per curve: time against the abscissa, each side a line with its range."""
    curves = sorted({(row["room"], row["curve"]) for row in rounds if row["curve"]})
    figure, axes = panels(max(len(curves), 1), 3, narrow=False, height=2.9)
    for ax, (room, curve) in zip(axes, curves, strict=False):
        rows = [row for row in rounds if (row["room"], row["curve"]) == (room, curve)]
        # Ours last, above the others.
        sides = {row["side"] for row in rows}
        for side in [*sorted(sides - set(COLORS)), *(side for side in COLORS if side in sides)]:
            _draw_curve(ax, [row for row in rows if row["side"] == side], side)
        _curve_axes(ax, rows, room, curve)
    return figure


def _draw_curve(ax: Axes, rows: list[tables.Row], side: str) -> None:
    color = COLORS.get(side, GREY)
    points: dict[float, list[float]] = {}
    for row in rows:
        points.setdefault(float(row["x"]), []).append(_time(row))
    x = sorted(points)
    median = [statistics.median(points[at]) for at in x]
    label = (
        short(rows[0]["rival"].split(",")[0], 44) if side == "rival" else side.replace("_", ", ")
    )
    ax.plot(x, median, "o-", color=color, markersize=4, label=label)
    ax.fill_between(
        x, [min(points[at]) for at in x], [max(points[at]) for at in x],
        color=color, alpha=0.2, linewidth=0,
    )  # fmt: skip


def _time(row: tables.Row) -> float:
    factor = 1000 if row["unit"].split()[0] == "ms" else 1
    return float(row["seconds"]) * factor / int(row["units"])


def _curve_axes(ax: Axes, rows: list[tables.Row], room: str, curve: str) -> None:
    x = sorted({float(row["x"]) for row in rows})
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(FixedLocator(x))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([f"{at:g}" for at in x])
    ax.set_xlabel(f"{CURVES.get(curve, curve)} (log)")
    ax.set_ylabel(f"{rows[0]['unit']} (log)")
    ax.set_title(ROOMS.get(room, room))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    ax.yaxis.set_minor_formatter(StrMethodFormatter("{x:g}"))
    # Room for the legend above the curves.
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.4)
    ax.legend(loc="upper left")


def save(figure: Figure, name: str) -> None:
    """Write a figure as SVG and PNG; the same tables give the same bytes."""
    for suffix, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        figure.savefig(tables.RESULTS / f"{name}.{suffix}", metadata=metadata)
    plt.close(figure)


def main() -> None:
    """Draw both figures, as far as there is something to draw."""
    set_theme()
    summary, rounds = (tables.read(tables.RESULTS / t) for t in (tables.SUMMARY, tables.ROUNDS))
    if any(row["ratio"] for row in summary):
        save(ratio_figure(summary), "ratios")
    if any(row["curve"] for row in rounds):
        save(curve_figure(rounds), "curves")


if __name__ == "__main__":
    main()
