"""The decoder metrics as the rest of the house sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from correct_l0.metrics import Metric
from correct_l0.metrics.decoder import RECIPE

if TYPE_CHECKING:
    from correct_l0.study.config import Config


def _products(study: Config) -> float:
    wanted = study.decoder_metrics
    tokens = min(wanted.batches * wanted.batch_tokens, study.source.held_out_tokens)
    # Projections, their counts and order statistics (measured 2.5 products); every pair of rows.
    return 3 * tokens + study.saes.d_sae


METRIC = Metric(
    room="decoder_metrics",
    stage="project_decoder",
    recipe=RECIPE,
    title="decoder metrics",
    called="the decoder metrics",
    module="correct_l0.metrics.decoder.point",
    settings=lambda plan: plan.settings_decoder_metrics(),
    asked=lambda study: True,
    products=_products,
    tables={
        "s_n_dec": ("n", "statistic", "value", "standard_error", "batches", "tokens"),
        "c_dec": ("value", "random"),
        "c_dec_prefixes": ("latents", "value"),
        "histograms": ("low", "high", "count"),
    },
)
