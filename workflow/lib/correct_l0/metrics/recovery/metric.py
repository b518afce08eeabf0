"""The recovery of the true features as the rest of the house sees it."""

from __future__ import annotations

from correct_l0.metrics import Metric
from correct_l0.metrics.recovery import RECIPE
from correct_l0.settings.canonical import canonical

METRIC = Metric(
    room="recovery",
    stage="measure_recovery",
    recipe=RECIPE,
    title="recovery",
    called="the recovery",
    module="correct_l0.metrics.recovery.point",
    # The truth is the source's.
    settings=lambda plan: canonical({}),
    asked=lambda study: study.truth_is_known,
    products=lambda study: 3.0 * study.source.held_out_tokens,
    tables={
        "recovery": (
            "true_l0", "mcc", "mean_best_cosine", "worst_best_cosine", "share_recovered",
            "uniqueness", "precision", "recall", "f1",
        ),
    },
)  # fmt: skip
