"""A study of somebody's own activations: from a .npy file to the report."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from workflow_runs import planned_jobs, run_snakemake, stale_lines, tiny_config

from correct_l0.saes.saved import load_saved_sae
from correct_l0.sources import open_source
from saes_toy import ToyStore

CONFIG = {
    "study": "tiny",
    "device": "cpu",
    "stored": {
        "path": "mine/acts.npy",
        "d_in": 16,
        "held_out_tokens": 2000,
        "block_tokens": 500,
        "model_name": "somebody/model",
    },
    "saes": {
        "d_sae": 32,
        "l0": [2, 4, 8],
        "points_per_job": 3,
        "training": {"training_tokens": 16_384, "batch_tokens": 256, "lr": 3e-3},
    },
    "decoder_metrics": {"n": [10], "batch_tokens": 512},
}
ALL = {
    "index_stored": 1, "train_points": 1, "measure_points": 1,
    "gather_tables": 1, "read_curves": 1, "plot_figures": 1, "write_report": 1,
}  # fmt: skip


def run(folder: Path, *arguments: str, **changes):
    config = copy.deepcopy(CONFIG)
    config["stored"] |= changes
    return run_snakemake(folder, *arguments, config=config)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    (folder / "mine").mkdir()
    # The configuration is in the folder too.
    np.save(folder / "mine" / "acts.npy", ToyStore().training.numpy())
    assert planned_jobs(run(folder, "--dry-run")) == ALL
    made = run(folder)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-9000:]
    return folder


def test_the_report_says_what_is_known_of_the_rows(finished):
    results = finished / "results/tiny"
    page = (results / "report.html").read_text()
    assert "The sequence structure of the activations is unknown" in page
    assert "blocks of 500 that lie together" in page
    assert "acts.npy" in page and "somebody/model" in page
    index = json.loads((results / "world/manifest.json").read_text())
    assert (index["rows"], index["held_out_tokens"], index["norms"]["training"]) == (
        6400,
        2000,
        4400,
    )
    saved = json.loads((results / "saes/l0_4/seed_0/sae/cfg.json").read_text())
    assert saved["metadata"]["model_name"] == "somebody/model"
    assert not list(results.glob("**/*.zarr"))
    assert planned_jobs(run(finished, "--dry-run")) == {}


def test_rows_that_moved_are_indexed_again(finished):
    (finished / "mine").rename(finished / "theirs")
    found = stale_lines(run(finished, "--dry-run", path="theirs/acts.npy"))
    assert {line.split(":")[0] for line in found} == {"tables", "world"}
    (world,) = [line for line in found if line.startswith("world")]
    assert world.startswith("world: path ") and world.endswith("theirs/acts.npy")


def test_what_cannot_be_used_is_refused_before_anything_runs(tmp_path):
    dry = run(tmp_path, "--dry-run")
    errors = [line for line in dry.stderr.splitlines() if line.startswith("error: ")]
    assert (
        errors == [f"error: stored.path: {tmp_path}/mine/acts.npy does not exist; correct it"]
        and dry.returncode != 0
    )
    config = {**CONFIG, "probing": {"tasks": "default"}}
    dry = run_snakemake(tmp_path, "--dry-run", config=config)
    (error,) = [line for line in dry.stderr.splitlines() if line.startswith("error: ")]
    assert "name it in stored.model and its hook in stored.hook_name" in error


def test_probing_with_the_model_that_is_named_is_that_of_its_activation_cache(tiny_study, tmp_path):
    """The tiny study's rows in a file, and its own SAEs: the scores of its own probing."""
    study = Path(shutil.copytree(tiny_study, tmp_path / "study"))
    cache = open_source(study / "results/activations/tiny/manifest.json", load_saved_sae)
    trained = cache.stream(0, cache.n_training).batch(0)
    np.save(study / "acts.npy", torch.cat([trained, cache.held_out(0, cache.n_held_out)]).numpy())
    config = {**tiny_config(), "study": "mine"}
    told = config.pop("activations")
    config["stored"] = {
        "path": "acts.npy", "held_out_tokens": 4096,
        **{name: told[name] for name in ("model", "hook_name", "d_in", "special_tokens")},
    }  # fmt: skip
    picked = {"folders": ["results/tiny/saes"], "select": "saes/l0_{4,32}/seed_0/sae"}
    config["saes"] = {"import": picked}
    made = run_snakemake(study, "--until", "probe_points", config=config)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-9000:]
    for l0 in (4, 32):
        name = f"probing/l0_{l0}/seed_0/scores.csv"
        first, again = (
            pd.read_csv(study / "results" / each / name)[["task", "probe_k", "f1"]]
            for each in ("tiny", "mine")
        )
        # Folded norms and saved thresholds are rounded once more.
        pd.testing.assert_frame_equal(first, again, rtol=0, atol=1e-4)
    config["stored"]["hook_name"] = "blocks.4.hook_resid_post"
    found = stale_lines(run_snakemake(study, "--dry-run", config=config))
    words = 'hook_name "blocks.3.hook_resid_post" -> "blocks.4.hook_resid_post"'
    assert {f"world: {words}", f"activations: {words}"} <= {*found}, found
