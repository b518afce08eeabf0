"""The trainings that start from a single imported SAE: where c_dec and its latents go."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from correct_l0.provenance.manifest import digest_of, replacing, sha256_of, write_manifest
from correct_l0.report.gather import load_tables
from correct_l0.saes.sections import Start
from correct_l0.study.plan import Plan
from correct_l0.study.report import report_settings
from correct_l0.study.train_on import RECIPE, STAGE, train_on_plan
from correct_l0.trial import run_study

TABLE = "trained_on.parquet"


def run_train_on(
    plan: Plan,
    tables: Path,
    folder: Path,
    *,
    device: str = "cpu",
    threads: int = 1,
    checkpoint_s: float = 600.0,
) -> pd.DataFrame:
    """Train a study's one SAE on, at several L0; write what came of it and its manifest.

    What stands of an earlier call is taken over, trainings that were cut off go on.

    Parameters
    ----------
    plan
        The study.
    tables
        Its tables.
    folder
        Where to.
    device, threads, checkpoint_s
        As in `run_study`.

    Raises
    ------
    InputError
        If the activations or the SAE are missing or damaged, or no training comes to its end.
    """
    loaded = load_tables(tables)
    found = train_on(plan, loaded, device=device, threads=threads, checkpoint_s=checkpoint_s)
    with replacing(folder / TABLE) as path:
        found.to_parquet(path, index=False)
    write_manifest(
        folder / "manifest.json",
        stage=STAGE,
        recipe=RECIPE,
        parameters=report_settings(plan),
        inputs={"tables": digest_of(tables / "manifest.json")},
        outputs=[folder / TABLE],
    )
    return found
