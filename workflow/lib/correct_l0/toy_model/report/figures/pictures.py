"""Pictures: decoder cosines with the true features, and the toy model itself."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from correct_l0.report.figures.style import BLUE, GREY, ORANGE, panels
from correct_l0.toy_model.report.claims.judgement import at_l0
from correct_l0.toy_model.report.claims.training import transition_runs
from correct_l0.toy_model.report.data import ToyData
from correct_l0.toy_model.report.figures.common import (
    SIGNED,
    cosine_matrix,
    cosine_pictures,
    empty,
    first_seed,
)

SHOWN_L0, SHOWN_LOW_L0 = (5, 11, 18), (1, 2, 5)


def cosines(study: ToyData, narrow: bool) -> Figure:
    """Decoder cosines with the true features at L0 5, 11 and 18."""
    pictures = _sweep_pictures(study, SHOWN_L0)
    return cosine_pictures(pictures, narrow, 3) if pictures else empty("no cosines", narrow)


def cosines_low(study: ToyData, narrow: bool) -> Figure:
    """The same at L0 1, 2 and 5, and for the SAE with the true features."""
    pictures = _sweep_pictures(study, SHOWN_LOW_L0)
    right = study.tables["cosines"]
    right = right[right["experiment"] == "ground_truth"]
    if len(right):
        pictures.append(("true features", cosine_matrix(right)))
    return cosine_pictures(pictures, narrow, 4) if pictures else empty("no cosines", narrow)


def superposition_pictures(study: ToyData) -> list[tuple[str, np.ndarray]]:
    """Return the pictures of the superposition experiment."""
    return _sweep_pictures(study, SHOWN_L0, "superposition")


def transition_cosines(study: ToyData, narrow: bool) -> Figure:
    """Decoder cosines at the end of each transition."""
    table = study.tables["cosines"]
    table = table[table["experiment"] == "transitions"]
    pictures = []
    for run in transition_runs(study.tables["transitions"]):
        rows = first_seed(table[table["run"] == run["label"]])
        if len(rows):
            title = (
                f"{run['start_l0']:g} → {run['l0_end_reached']:.3g}, batch {run['batch_size']:g}"
            )
            pictures.append((title, cosine_matrix(rows)))
    if not pictures:
        return empty("transitions: not run in this study", narrow)
    return cosine_pictures(pictures, narrow, 2 if len(pictures) % 3 == 1 else 3)


def toy_model(study: ToyData, narrow: bool) -> Figure:
    """Correlations of the features' firings, and their firing probabilities."""
    pairs, features = study.tables["correlations"], study.tables["features"]
    if not len(features):
        return empty("no toy model in the tables", narrow)
    figure, axes = panels(3, 3, narrow, height=3.6 if narrow else 3.3)
    for ax, column, title in (
        (axes[0], "configured", "Gaussians' correlations"),
        (axes[1], "measured", "Firings' correlations"),
    ):
        matrix = np.eye(len(features))
        i, j = pairs["i"].astype(int), pairs["j"].astype(int)
        matrix[i, j] = matrix[j, i] = pairs[column]
        image = ax.imshow(matrix, cmap=SIGNED, vmin=-1, vmax=1, interpolation="nearest")
        ax.grid(False)
        ax.set_title(title)
        ax.set_xlabel("feature")
        ax.set_ylabel("feature")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        figure.colorbar(image, ax=ax, label="correlation", shrink=0.75, aspect=24)
    ax = axes[2]
    ax.bar(features["feature"], features["rate"], color=BLUE, width=1.0, label="measured")
    ax.step(features["feature"], features["probability"], where="mid", color=ORANGE, linewidth=1.5,
            label="configured")  # fmt: skip
    ax.set_title("Firing probabilities")
    ax.set_box_aspect(1)
    ax.set_xlabel("feature")
    ax.set_ylabel("probability")
    ax.text(0.97, 0.72, f"sum: {features['probability'].sum():.3f}", ha="right", color=GREY,
            transform=ax.transAxes)  # fmt: skip
    ax.legend(loc="upper right")
    return figure


def _sweep_pictures(
    study: ToyData, l0_values: tuple[float, ...], experiment: str = "sweep"
) -> list[tuple[str, np.ndarray]]:
    table = study.tables["cosines"]
    table = table[table["experiment"] == experiment]
    found = [(l0, first_seed(at_l0(table, l0))) for l0 in l0_values]
    return [(f"L0 {l0:g}", cosine_matrix(rows)) for l0, rows in found if len(rows)]
