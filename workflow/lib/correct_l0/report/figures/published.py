"""Scores that others published of these SAEs, over the same L0 as everything else."""

from __future__ import annotations

from matplotlib.figure import Figure

from correct_l0.report.data import StudyData
from correct_l0.report.figures.marks import answer_band
from correct_l0.report.figures.style import BLUE, l0_axis, panels
from correct_l0.saes.imported.published import published_columns, title_of


def published(study: StudyData, narrow: bool) -> Figure:
    """Draw a panel for each evaluation: every SAE, and the mean of those of one L0."""
    points = study.tables["points"]
    drawn = published_columns(points.columns)
    figure, axes = panels(len(drawn), 2, narrow)
    for ax, (name, column) in zip(axes, drawn, strict=True):
        answer_band(ax, study)
        ax.plot(points["x"], points[column], "o", color=BLUE, markersize=5, alpha=0.6)
        ax.plot(points.groupby("x")[column].mean().dropna(), color=BLUE)
        ax.set_title(title_of(name))
        l0_axis(ax, study, narrow)
    return figure
