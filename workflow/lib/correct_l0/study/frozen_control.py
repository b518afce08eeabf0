"""The control of a study: SAEs whose decoder stays as it starts, at random.

Their c_dec and stability are those of chance. What their F1 reaches needs no learnt directions.
Imported whenever Snakemake parses the workflow, so nothing heavy is imported here.

References
----------
arXiv 2602.14111 asks for such controls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from correct_l0.study.plan import Plan

RECIPE = 1

STAGE = "frozen_control"

SEEDS = 2
"""Of the study's seeds, as many as stability needs."""


@dataclass(frozen=True)
class Control:
    """What SAEs of a random decoder reach, means over seeds, their pair and tasks.

    Attributes
    ----------
    l0
        Measured L0.
    c_dec
        Mean |cosine| of decoder rows.
    reproduced_share
        Share of latents that the other seed reproduces; `None` of a single seed.
    f1
        Mean F1 by probe_k; empty where nothing is probed.
    """

    l0: float
    c_dec: float
    reproduced_share: float | None
    f1: dict[str, float]


def control_l0(plan: Plan) -> float:
    """Return the L0 of the control: the middle point of the study's grid, of a search's first."""
    saes = plan.study.saes
    grid = sorted(saes.rounds[0] if saes.rounds else saes.l0)
    return grid[len(grid) // 2]


def control_plan(plan: Plan) -> Plan:
    """Return the control as a study of its own, in the study's folder."""
    study, l0 = plan.study, control_l0(plan)
    training = study.training(l0).model_copy(update={"freeze_decoder": True})
    saes = study.saes.model_copy(
        update={
            "l0": (l0,), "seeds": study.saes.seeds[:SEEDS], "training": training, "overrides": {},
            "search": None, "rounds": (), "factors": (),
        }
    )  # fmt: skip
    metrics = study.decoder_metrics.model_copy(update={"histogram_l0": ()})
    changed = {
        "saes": saes, "decoder_metrics": metrics, "hedging": None, "study": "study", "sweep": None,
    }  # fmt: skip
    return replace(plan, study=study.model_copy(update=changed), root=Path(plan.results) / STAGE)
