"""The trainings that start from a single imported SAE, as a study in the study's folder.

Imported whenever Snakemake parses the workflow, so nothing heavy is imported here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from correct_l0.metrics.probing.settings import Probing
from correct_l0.saes.architectures import architecture
from correct_l0.saes.sweep import Start, Sweep
from correct_l0.saes.training_settings import Training
from correct_l0.study.plan import Plan

RECIPE = 1

STAGE = "train_on"

TABLE = "trained_on.parquet"
"""What came of the trainings, one row for each L0 and seed (`trial.train_on`)."""

DECAY = 0.5
"""Share of each training over which its learning rate falls to zero, so that what is left is where
the SAE goes and not how far a batch throws it."""
WARM_UP = 0.1
"""Share over which it rises: Adam's moments are not known of an imported SAE."""


def targets(plan: Plan, l0: float) -> list[float]:
    """Return the target L0 of the trainings, lowest first.

    Those that an SAE of this width and batch cannot have are left out.

    Parameters
    ----------
    plan
        The study.
    l0
        The SAE's own L0.
    """
    asked, saes = plan.study.train_on, plan.study.saes
    assert asked is not None, "asked only where a study has it"
    wanted = [factor * l0 for factor in sorted(asked.factors)]
    if architecture(saes.architecture_name).whole:
        wanted = [float(max(1, round(x))) for x in wanted]
    rounded = dict.fromkeys(float(f"{x:.4g}") for x in wanted)
    return [x for x in rounded if x <= saes.d_sae / 2 and x * asked.batch_tokens >= 1]


def train_on_plan(plan: Plan, l0: float, start: Start) -> Plan:
    """Return the study of the trainings that start from an SAE: of the same source.

    Parameters
    ----------
    plan
        The study.
    l0
        The SAE's own L0.
    start
        The SAE.
    """
    study, asked = plan.study, plan.study.train_on
    assert asked is not None, "asked only where a study has it"
    saes = Sweep(
        architecture={"name": study.saes.architecture_name},
        d_sae=study.saes.d_sae,
        l0=tuple(targets(plan, l0)),
        seeds=asked.seeds,
        training=Training(
            training_tokens=asked.training_tokens,
            batch_tokens=asked.batch_tokens,
            lr=asked.lr,
            lr_warm_up_steps=max(1, round(WARM_UP * asked.steps)),
            lr_decay_fraction=DECAY,
        ),
        overrides={},
        start=start,
    )
    metrics = study.decoder_metrics.model_copy(
        update={"histogram_l0": (), "n": study.decoder_metrics.n[:1], "batches": 1}
    )
    changed = {
        "saes": saes, "decoder_metrics": metrics, "probing": Probing(), "train_on": None,
        "sweep": str(Path(study.sweep or "", STAGE)),
    }  # fmt: skip
    return replace(plan, study=study.model_copy(update=changed))
