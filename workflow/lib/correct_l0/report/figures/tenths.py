"""What c_dec would have said, had the training ended after each tenth of it."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from correct_l0.reading.health import TENTHS, read_tenths
from correct_l0.reading.reading import FALLS, FLAT, READ, TOO_HIGH, CurveReading
from correct_l0.report.data import StudyData
from correct_l0.report.figures.marks import nothing
from correct_l0.report.figures.style import BLUE, GREY, lighter, percent

MARKS = {
    READ: ("o", BLUE, "L0 that it named"),
    FALLS: (">", BLUE, "still fell at the\ngrid's end"),
    TOO_HIGH: ("<", BLUE, "lowest at the\ngrid's start"),
    FLAT: ("x", GREY, "flat"),
}
"""Marker, colour and meaning of what a curve said."""


def draw_tenths(ax: Axes, study: StudyData) -> None:
    """Draw what c_dec's curve said after each tenth of the training, from the first at the bottom.

    A tenth after which it had too few points has no mark.
    """
    ax.set_title("What $c_{dec}$ said with less training")
    ax.set_ylabel("training done")
    c_dec = study.tables["c_dec"]
    if not len(c_dec):
        return nothing(ax, "no decoder metrics")
    placed = c_dec.assign(l0_measured=c_dec["x"])
    readings = read_tenths(study.tables["c_dec_training"], placed)
    for tenth, reading in readings.items():
        if reading.outcome in MARKS:
            _draw(ax, tenth / TENTHS, reading)
    ax.set_ylim(0.02, 1.08)
    ax.set_yticks([0.2, 0.4, 0.6, 0.8, 1.0])
    ax.yaxis.set_major_formatter(FuncFormatter(percent))


def _draw(ax: Axes, done: float, reading: CurveReading) -> None:
    marker, color, label = MARKS[reading.outcome]
    place = reading.best if reading.outcome == READ else reading.minimum
    if math.isfinite(place):
        ax.plot(place, done, marker, color=color, markersize=5, linestyle="none", zorder=4,
                label=label)  # fmt: skip
    if reading.outcome == READ:
        ax.plot([reading.low, reading.high], [done, done], color=lighter(BLUE), linewidth=4,
                solid_capstyle="butt", label="its interval")  # fmt: skip
