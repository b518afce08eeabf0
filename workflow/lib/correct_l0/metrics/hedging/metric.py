"""The hedging rate as the rest of the house sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from correct_l0.metrics import Metric
from correct_l0.metrics.hedging import RECIPE
from correct_l0.settings.canonical import canonical

if TYPE_CHECKING:
    from correct_l0.study.config import Config
    from correct_l0.study.plan import Plan

DRAWS = 50
"""Random subspaces that stand for chance; the authors' number."""


def _settings(plan: Plan) -> str:
    return canonical(plan.study.hedging) if plan.study.hedging else ""


def _products(study: Config) -> float:
    wanted = study.hedging
    # Every row of the decoder is projected on as many directions, once for the new latents.
    return (1.0 + DRAWS) * wanted.new_latents if wanted else 0.0


def _trainings(study: Config) -> tuple[tuple[int, int], ...]:
    wanted, d_sae = study.hedging, study.saes.d_sae
    if wanted is None:
        return ()
    return (d_sae, wanted.steps), (d_sae + wanted.new_latents, wanted.steps)


METRIC = Metric(
    room="hedging",
    stage="measure_hedging",
    recipe=RECIPE,
    title="hedging rate",
    called="the hedging rate",
    module="correct_l0.metrics.hedging.point",
    settings=_settings,
    asked=lambda study: study.hedging is not None,
    products=_products,
    trainings=_trainings,
    tables={
        "hedging": (
            "new_latents", "steps", "rate", "projected", "by_chance", "chance_spread", "shift",
            "share_of_shift", "chance_share_of_shift", "new_alive",
        ),
    },
)  # fmt: skip
