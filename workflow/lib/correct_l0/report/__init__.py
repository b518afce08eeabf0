"""The report room: tables, verdict, figures and the page that people read.

Incoming: the manifests and results of the other rooms. Nothing heavy is imported here, because
the workflow reads the names below whenever it is parsed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from correct_l0.metrics import metrics
from correct_l0.metrics.decoder.settings import HEATMAP_LATENTS

if TYPE_CHECKING:
    from correct_l0.study.plan import Plan

TABLES = (
    "points", *(name for metric in metrics().values() for name in metric.tables), "probing",
    "baselines", "loss", "c_dec_training", "init_cosines", "stability", "stability_training",
    "gaps", "rounds",
)  # fmt: skip
"""Names of the gathered tables."""

FIGURES = (
    "answer", "trained_on", "stability", "f1", "published", "recovery", "reconstruction",
    "measured_l0", "training", "hedging", "s_n_dec", "probing_tasks", "histograms",
    "decoder_cosines",
)  # fmt: skip
"""Names of all figures, in the order of the page; a study has those of `figures_of`."""


def figures_of(plan: Plan) -> tuple[str, ...]:
    """Return the names of the figures that a study has data for."""
    imported, rows = plan.study.saes.imported, plan.study.has_rows
    there = {
        "training": not imported,
        "trained_on": plan.study.train_on is not None,
        **dict.fromkeys(("reconstruction", "measured_l0", "s_n_dec", "histograms"), rows),
        "stability": "stability" in plan.study_rooms,
        "f1": "probing" in plan.rooms,
        "published": bool(getattr(plan.study.saes, "published", None)),
        "probing_tasks": "probing" in plan.rooms,
        "recovery": "recovery" in plan.rooms,
        "hedging": "hedging" in plan.rooms,
        "decoder_cosines": plan.study.saes.d_sae <= HEATMAP_LATENTS,
    }
    return tuple(name for name in FIGURES if there.get(name, True))
