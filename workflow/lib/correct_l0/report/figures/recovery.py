"""How well latents recover the features of a world whose truth is known."""

from __future__ import annotations

from matplotlib.figure import Figure

from correct_l0.report.data import StudyData
from correct_l0.report.figures.marks import answer_band, empty, seed_curve
from correct_l0.report.figures.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PINK,
    count_axis,
    explain,
    l0_axis,
    lighter,
    panels,
)


def recovery(study: StudyData, narrow: bool) -> Figure:
    """Cosines with the features, features recovered, uniqueness, latents as classifiers."""
    table = study.tables["recovery"]
    if not len(table):
        return empty(narrow, "recovery was not measured")
    figure, axes = panels(4, 2, narrow, height=2.7)
    features, d_sae = int(table["features"].max()), study.plan.study.saes.d_sae
    cosines, recovered, uniqueness, classes = axes
    for ax in axes:
        answer_band(ax, study)
        ax.set_ylim(-0.03, 1.03)
    if features > d_sae:
        seed_curve(cosines, table, "mcc", INK, "MCC (matched features)", linestyle=":")
    seed_curve(cosines, table, "mean_best_cosine", PINK, "mean over features")
    seed_curve(cosines, table, "worst_best_cosine", lighter(PINK), "worst feature", linewidth=1.3)
    cosines.set_title("Cosine of features with their latents")
    cosines.set_ylabel("|cosine|")

    seed_curve(recovered, table, "share_recovered", PINK)
    recovered.set_title("Features recovered")
    recovered.set_ylabel("share above 0.9")
    count_axis(recovered, features, "number of features")

    seed_curve(uniqueness, table, "uniqueness", PINK)
    uniqueness.axhline(min(1, features / d_sae), color=GREY, linestyle="--", linewidth=1.3,
                       label="most there can be")  # fmt: skip
    uniqueness.set_title("Distinct features among the latents")
    uniqueness.set_ylabel("uniqueness")

    for column, color, label in (
        ("f1", INK, "F1"), ("precision", BLUE, "precision"), ("recall", ORANGE, "recall"),
    ):  # fmt: skip
        seed_curve(classes, table, column, color, label, linewidth=1.4)
    classes.set_title("Latents as classifiers of features")
    classes.set_ylabel("mean over latents")
    for ax in axes:
        explain(ax)
        l0_axis(ax, study, narrow)
    return figure
