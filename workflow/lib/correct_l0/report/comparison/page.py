"""The page of all sweeps and its summary for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from correct_l0.report.captions import Caption
from correct_l0.report.comparison.answers import Answer, columns_of
from correct_l0.report.comparison.figure import color_of
from correct_l0.report.comparison.settings import COMPARISON, GROWTH, WIDTH
from correct_l0.report.data import StudyData
from correct_l0.report.explore import explore_sweeps, packed_library
from correct_l0.report.html import asset, figure_entry, page_environment
from correct_l0.report.names import join
from correct_l0.report.page import tone_of
from correct_l0.report.summary import StageTime, times_table

LEVELS = (
    "The level of c_dec can be compared within one architecture and loss only, as it depends on "
    "these too, at one and the same L0; where a curve is lowest, and how it rises, in each."
)
LINES = (
    "a line for each L0 (of a target that is not met, or a coefficient, the measured L0 stand "
    "beside it)"
)
TRUTHS = "where features are known, star: the L0 of best recovery, dash: the true L0"
GROWTH_TEXT = (
    "Left: the L0 that an SAE trained so long names, its bar the interval; or why none is named; "
    f"{TRUTHS}. Beside it c_dec and stability (the share of latents that another seed reproduces) "
    f"over the tokens of the training, {LINES}: means over seeds and their pairs. Dashed: chance. "
    "Were the training long enough, all would be level."
)
WIDTH_TEXT = (
    "Left: the L0 that SAEs of so many latents name, its bar the interval; or why none is named; "
    f"{TRUTHS}. Beside it, over the number of "
    f"latents, {LINES}: c_dec; stability (the share of latents that another seed reproduces); the "
    "hedging rate, where it was measured. Means over seeds and their pairs. Dashed: chance."
)


def render_comparison(
    title: str,
    answers: Sequence[Answer],
    sweeps: Sequence[StudyData],
    names: Sequence[str],
    figures: Path | str,
) -> str:
    """Return the page as HTML with its styles and its figure inside.

    Parameters
    ----------
    title
        Of the study.
    answers
        Of every sweep.
    sweeps
        The gathered sweeps, in the same order.
    names
        Of the figures.
    figures
        Their folder.
    """
    environment = page_environment("correct_l0.report")
    columns = columns_of(answers)
    captions = {COMPARISON: caption_of, GROWTH: caption_of_growth, WIDTH: caption_of_width}
    both = enumerate(zip(answers, sweeps, strict=True))
    shown = [(answer.sweep, sweep, color_of(i)) for i, (answer, sweep) in both]
    return environment.get_template("comparison.html").render(
        title=title,
        answers=[
            {
                "answer": answer,
                "tone": tone_of(sweep.verdict),
                "color": color_of(i),
                "told": told(answer.settings),
            }
            for i, (answer, sweep) in enumerate(zip(answers, sweeps, strict=True))
        ],
        columns=columns,
        figures={name: figure_entry(figures, name, captions[name](answers)) for name in names},
        picture=Markup(explore_sweeps(shown)),
        library=packed_library(),
        style=asset(environment, "report.css") + asset(environment, "comparison.css"),
        script=asset(environment, "explore.js"),
    )


def render_comparison_summary(
    title: str, answers: Sequence[Answer], report: Path, times: Sequence[StageTime]
) -> str:
    """Return the answers of all sweeps as plain text, the report and the time of each stage."""
    lines = [title]
    for x in answers:
        lines += ["", f"{x.sweep}: {x.headline}"]
        lines += [f"  {told(x.settings)}"] if x.settings else []
        lines += [
            f"  {heading}: {x.cells[name]}"
            for name, heading in columns_of([x]).items()
            if name not in ("l0", "interval")
        ]
    lines += ["", LEVELS, "", f"Report: {report}"]
    lines += [f"  {x.sweep}: {report.parent / x.sweep / 'report.html'}" for x in answers]
    return "\n".join([*lines, *times_table(times)]) + "\n"


def told(settings: dict[str, str]) -> str:
    """Return settings in a line.

    Examples
    --------
    >>> told({"d_sae": "64", "lr": "0.001"})
    'd_sae 64; lr 0.001'
    """
    return "; ".join(f"{name} {value}" for name, value in settings.items())


def caption_of(answers: Sequence[Answer]) -> Caption:
    """Return the caption of the figure, and what is read out instead of it."""
    drawn = {name for x in answers for name in x.drawn}
    text = (
        "One colour and mark per sweep. On top, the L0 that each names and the bar of its "
        "interval; its dotted line goes through the panels below. c_dec: mean absolute cosine "
        "between all pairs of decoder rows; line: mean over seeds, band: their range. "
        "Dash-dotted: chance."
    )
    if "stability" in drawn:
        text += (
            " Stability: the share of latents that another seed reproduces (by the angle to the "
            "match; 1: the same, 0: chance), from which the answer is read; band: range over pairs "
            "of seeds."
        )
    if "f1" in drawn:
        text += " Sparse probing: mean F1 over tasks and seeds."
    if "recovery" in drawn:
        text += (
            " Recovery: mean cosine of features and the latents matched to them; star, on top too: "
            "best."
        )
    if "true_l0" in columns_of(answers):
        text += " Dashed: the true L0, the mean number of features that fire."
    text += f" Across: measured L0 (mean active latents per held-out token), logarithmic. {LEVELS}"
    alt = f"Curves against L0 of the sweeps {join([x.sweep for x in answers])}. " + " ".join(
        f"{x.sweep}: {x.headline}" for x in answers
    )
    return Caption("All sweeps on one axis", text, alt)


def caption_of_growth(answers: Sequence[Answer]) -> Caption:
    """Return the caption of what longer training does."""
    alt = "L0 named, c_dec and stability over the tokens of the training. " + " ".join(
        f"{x.settings['training_tokens']} tokens: {x.headline}" for x in answers
    )
    return Caption("What longer training does", GROWTH_TEXT, alt)


def caption_of_width(answers: Sequence[Answer]) -> Caption:
    """Return the caption of what more latents do."""
    alt = "L0 named, c_dec and stability over the number of latents. " + " ".join(
        f"{x.settings['d_sae']} latents: {x.headline}" for x in answers
    )
    return Caption("What more latents do", WIDTH_TEXT, alt)
