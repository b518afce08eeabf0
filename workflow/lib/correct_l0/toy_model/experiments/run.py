"""One experiment with one seed, from start to finish."""

from __future__ import annotations

import importlib
import json
import shutil
import time
from pathlib import Path

from correct_l0.provenance.manifest import write_manifest
from correct_l0.saes.training.checkpoint import Interruption
from correct_l0.toy_model import EXPERIMENT_STAGE
from correct_l0.toy_model.experiments import RECIPE
from correct_l0.toy_model.experiments.training import Experiment


def run_experiment(settings_json: str, seed: int, folder: Path | str, checkpoint_s: float) -> None:
    """Run an experiment and write its tables and manifest into a folder.

    Raises
    ------
    InputError
        If a training diverges.
    SystemExit
        If a signal asked to stop; the state is saved first.
    """
    started = time.perf_counter()
    folder = Path(folder)
    name = json.loads(settings_json)["name"]
    module = importlib.import_module(f"correct_l0.toy_model.experiments.{name}")
    with Interruption(checkpoint_s) as interruption:
        experiment = Experiment(settings_json, seed, folder, interruption)
        tables = module.run(experiment)
    outputs = tables.write(folder)
    write_manifest(
        folder / "manifest.json",
        stage=EXPERIMENT_STAGE,
        recipe=RECIPE,
        parameters=settings_json,
        inputs={},
        outputs=outputs,
        seed=seed,
        device="cpu",
        wall_s=round(time.perf_counter() - started, 3),
    )
    shutil.rmtree(experiment.checkpoints, ignore_errors=True)
