"""A study of activations that an SAE decodes: from the SAE and its cache to the report."""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from workflow_runs import planned_jobs, run_snakemake, stale_lines

from correct_l0.provenance.manifest import digest_of
from correct_l0.saes.saved import write_saved_sae
from semi_synthetic_toy import random_sae, write_random

CONFIG = yaml.safe_load(Path(__file__).with_name("tiny-semi-synthetic.yaml").read_text())
RESULTS = Path("results/tiny")
ALL = {
    "make_semi_synthetic": 1, "train_points": 2, "measure_points": 2,
    "compare_seeds": 1, "gather_tables": 1, "read_curves": 1, "plot_figures": 1, "write_report": 1,
}  # fmt: skip


def run(folder: Path, *arguments: str, config=CONFIG):
    return run_snakemake(folder, *arguments, config=config)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("semi")
    write_random(folder)
    assert planned_jobs(run(folder, "--dry-run")) == ALL
    made = run(folder)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-9000:]
    return folder


@pytest.fixture
def study(finished, tmp_path) -> Path:
    """A copy of the finished study that a test may damage."""
    return Path(shutil.copytree(finished, tmp_path / "study"))


def test_the_report_holds_the_answer_against_the_truth(finished):
    results = finished / RESULTS
    manifest = json.loads((results / "world/manifest.json").read_text())
    cache = finished / "results/activations/toy/manifest.json"
    assert manifest["inputs"]["activations"] == digest_of(cache)
    recovery = pd.read_parquet(results / "tables/recovery.parquet")
    assert len(recovery) == 6
    assert set(recovery["true_l0"]) == {manifest["true_l0"]}
    page = (results / "report.html").read_text()
    assert "as an SAE (generating) has decoded it. What that SAE does not explain" in page
    assert re.search(r"Decoded by</\w+>\s*<\w+>generating<", page)
    assert re.search(r"16,384 tokens each", page)
    assert "The features are known: recovered best at L0" in page
    saved = json.loads((results / "saes/l0_4/seed_0/sae/cfg.json").read_text())
    assert saved["metadata"]["model_name"] == "semi-synthetic"
    assert planned_jobs(run(finished, "--dry-run")) == {}


def test_another_residual_makes_all_again_and_says_so(study):
    config = copy.deepcopy(CONFIG)
    config["semi_synthetic"]["residual"] = "none"
    dry = run(study, "--dry-run", config=config)
    assert 'world: residual "shuffled" -> "none"' in stale_lines(dry)
    assert planned_jobs(dry) == ALL


def test_another_sae_in_the_folder_is_seen(study):
    write_saved_sae(study / "generating", random_sae(threshold=0.5), {})
    assert planned_jobs(run(study, "--dry-run"))["make_semi_synthetic"] == 1


def test_another_cache_is_seen(study):
    path = study / "results/activations/toy/manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "inputs": {"text": "another"}}))
    dry = run(study, "--dry-run")
    assert "world: made from another activations" in stale_lines(dry)
    assert planned_jobs(dry)["make_semi_synthetic"] == 1


def test_what_is_missing_is_refused_in_one_line(tmp_path):
    dry = run(tmp_path, "--dry-run")
    assert dry.returncode != 0
    errors = [line for line in dry.stderr.splitlines() if line.startswith("error: ")]
    assert errors == [
        "error: semi_synthetic.sae: generating/cfg.json is missing; name a folder with cfg.json "
        "and sae_weights.safetensors"
    ]
