"""The small studies that check an answer: of data that one of a study's own SAEs generates.

Imported whenever Snakemake parses the workflow, so nothing heavy is imported here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from correct_l0.saes.sections import Saes
from correct_l0.saes.training_settings import Training
from correct_l0.settings.base import format_l0
from correct_l0.study.config import Config, parse_config
from correct_l0.study.plan import Plan

RECIPE = 1

STAGE = "self_check"

POINTS = 5
"""Grid points of the study, around the generating one, that are swept again."""

SEEDS = (0, 1)

SHARE = 0.25
"""Of the study's training tokens. On a language model's own codes stability finds the true L0 in a
quarter of the training."""

MOST = 3
"""SAEs that generate data: at the L0 named and at both ends of its interval."""

HELD_OUT_TOKENS = 100_000
"""Held-out rows at most."""


def generating_seed(study: Config) -> int:
    """Return the seed of the SAEs that generate data: the study's first."""
    return study.saes.seeds[0]


def swept_around(l0: float, grid: list[float]) -> list[float]:
    """Return the grid points around one of them, `POINTS` of them where there are so many.

    Examples
    --------
    >>> swept_around(16, [2, 4, 8, 16, 32, 64]), swept_around(2, [2, 4, 8, 16, 32, 64])
    ([4, 8, 16, 32, 64], [2, 4, 8, 16, 32])
    """
    place = grid.index(l0)
    first = max(0, min(place - POINTS // 2, len(grid) - POINTS))
    return grid[first : first + POINTS]


def check_plan(plan: Plan, l0: float) -> Plan:
    """Return the small study of the data that one SAE of a study generates, in the study's folder.

    Its SAEs are as wide as the study's and trained alike, on `SHARE` of the tokens. What the
    generating SAE does not explain is there too, of another token.

    Parameters
    ----------
    plan
        The study.
    l0
        Target L0 of the SAE that generates.
    """
    study, label = plan.study, format_l0(l0)
    sae = f"{plan.point_folder('saes', label, generating_seed(study))}/sae"
    metrics = study.decoder_metrics
    config = {
        "study": f"l0_{label}",
        "device": study.device,
        "semi_synthetic": {
            "sae": sae,
            "activations": plan.source,
            "residual": "shuffled",
            "held_out_tokens": _held_out_tokens(study),
        },
        "saes": _saes(study.saes, swept_around(l0, [float(x) for x in plan.labels])),
        "decoder_metrics": {
            "n": metrics.n, "batch_tokens": metrics.batch_tokens, "batches": metrics.batches,
        },
    }  # fmt: skip
    return Plan(parse_config(config), root=Path(plan.results) / STAGE)


def _saes(saes: Saes, l0: list[float]) -> dict[str, Any]:
    """Return the sweep over some of the L0 of another, trained shorter."""
    training = _shorter(saes.training)
    overrides = {x: _shorter(saes.training_of(x)) for x in l0 if x in saes.overrides}
    return {
        "architecture": saes.architecture,
        "d_sae": saes.d_sae,
        "l0": l0,
        "seeds": SEEDS,
        "training": training,
        "overrides": {
            x: {name: each[name] for name in each if each[name] != training[name]}
            for x, each in overrides.items()
        },
    }


def _shorter(training: Training) -> dict[str, Any]:
    """Return a training on `SHARE` of its tokens, a batch at least."""
    return training.model_dump() | {
        "training_tokens": max(training.batch_tokens, int(SHARE * training.training_tokens)),
        "lr_warm_up_steps": int(SHARE * training.lr_warm_up_steps),
    }


def _held_out_tokens(study: Config) -> int:
    """Return how many held-out rows the small study has: all of a batch at least."""
    batches = [study.training(l0).batch_tokens for l0 in study.saes.l0]
    fewest = max(*batches, study.decoder_metrics.batch_tokens)
    return max(fewest, min(study.source.held_out_tokens, HELD_OUT_TOKENS))
