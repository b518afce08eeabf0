"""How far latents go over to new ones that an SAE is given."""

from __future__ import annotations

from matplotlib.figure import Figure

from correct_l0.report.data import StudyData
from correct_l0.report.figures.marks import answer_band, chance_line, empty, seed_curve
from correct_l0.report.figures.style import GREY, PURPLE, explain, l0_axis, lighter, panels


def hedging(study: StudyData, narrow: bool) -> Figure:
    """The hedging rate, what it is made of, and how much of the shift goes to new latents."""
    table = study.tables["hedging"]
    if not len(table):
        return empty(narrow, "hedging was not measured")
    figure, axes = panels(3, 3, narrow)
    rate, lengths, share = axes
    for ax in axes:
        answer_band(ax, study)
    seed_curve(rate, table, "rate", PURPLE)
    rate.set_title("Hedging rate")
    rate.set_ylabel("rate")

    seed_curve(lengths, table, "shift", lighter(PURPLE), "whole shift", linewidth=1.3)
    seed_curve(lengths, table, "projected", PURPLE, "towards new latents")
    seed_curve(lengths, table, "by_chance", GREY, "towards random ones", linestyle="--")
    lengths.set_title("Shift of the latents")
    lengths.set_ylabel("length, a latent's own is 1")

    seed_curve(share, table, "share_of_shift", PURPLE)
    chance_line(share, float(table["chance_share_of_shift"].mean()))
    share.set_title("Share of the shift towards new latents")
    share.set_ylabel("share of the squared length")
    for ax in axes:
        ax.set_ylim(bottom=0)
        explain(ax)
        l0_axis(ax, study, narrow)
    return figure
