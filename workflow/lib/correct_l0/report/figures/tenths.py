"""What would have been said, had the training ended after each tenth of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from correct_l0.reading.health import TENTHS, read_tenths
from correct_l0.reading.reading import FALLS, FLAT, READ, TOO_HIGH, CurveReading
from correct_l0.report.data import StudyData
from correct_l0.report.figures.marks import nothing
from correct_l0.report.figures.style import BLUE, GREEN, GREY, ORANGE, lighter, percent

AT_END = "still rose towards\nthe grid's end"
REFUSED = "where seeds agreed best,\nbut no L0 was named"


def draw_tenths(ax: Axes, study: StudyData) -> None:
    """Draw what was said after each tenth of the training, from the first at the bottom.

    The answer, where decoders were kept along the training; else what c_dec's curve said. A tenth
    after which seeds agreed as much at every L0 has no mark.
    """
    ax.set_ylabel("training done")
    stops: Sequence[dict[str, Any]] = study.verdict["course"]["stops"]
    if stops:
        ax.set_title("The answer with less training")
        for stop in stops:
            _draw_stop(ax, stop)
    else:
        ax.set_title("What $c_{dec}$ said with less training")
        c_dec = study.tables["c_dec"]
        if not len(c_dec):
            return nothing(ax, "no decoder metrics")
        placed = c_dec.assign(l0_measured=c_dec["x"])
        for tenth, reading in read_tenths(study.tables["c_dec_training"], placed).items():
            _draw_reading(ax, tenth / TENTHS, reading)
    ax.set_ylim(0.02, 1.08)
    ax.set_yticks([0.2, 0.4, 0.6, 0.8, 1.0])
    ax.yaxis.set_major_formatter(FuncFormatter(percent))


def _draw_stop(ax: Axes, stop: dict[str, Any]) -> None:
    done, place = stop["tenth"] / TENTHS, stop["place"]
    if place is None:
        return
    if stop["outcome"] == READ:
        _interval(ax, done, stop["low"], stop["high"], GREEN)
        _mark(ax, place, done, "o", GREEN, "L0 that was named")
    elif stop["outcome"] == FALLS:
        _mark(ax, place, done, ">", GREEN, AT_END)
    else:
        _mark(ax, place, done, "x", ORANGE, REFUSED)


def _draw_reading(ax: Axes, done: float, reading: CurveReading) -> None:
    if reading.outcome == READ:
        _interval(ax, done, reading.low, reading.high, BLUE)
        _mark(ax, reading.best, done, "o", BLUE, "L0 that it named")
    elif reading.outcome == FALLS:
        _mark(ax, reading.minimum, done, ">", BLUE, "still fell at the\ngrid's end")
    elif reading.outcome == TOO_HIGH:
        _mark(ax, reading.minimum, done, "<", BLUE, "lowest at the\ngrid's start")
    elif reading.outcome == FLAT:
        _mark(ax, reading.minimum, done, "x", GREY, "flat")


def _mark(ax: Axes, place: float, done: float, marker: str, color: str, label: str) -> None:
    ax.plot(place, done, marker, color=color, markersize=5, linestyle="none", zorder=4, label=label)


def _interval(ax: Axes, done: float, low: float, high: float, color: str) -> None:
    ax.plot([low, high], [done, done], color=lighter(color), linewidth=4, solid_capstyle="butt",
            label="its interval")  # fmt: skip
