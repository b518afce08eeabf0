"""The tiny toy study through the workflow, once: what is there, what reruns, what is refused."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from workflow_runs import ROOT, planned_jobs, run_snakemake, stale_lines

from correct_l0.toy_model.tables import COLUMNS, TABLES

TINY_TOY = Path(__file__).with_name("tiny-toy.yaml")


def tiny_toy() -> dict:
    """Return the tiny toy study's configuration as read from its file."""
    return yaml.safe_load(TINY_TOY.read_text())


@pytest.fixture(scope="module")
def toy_study(tmp_path_factory) -> Path:
    """The folder in which the tiny toy study has run to its end."""
    folder = tmp_path_factory.mktemp("toy")
    run = run_snakemake(folder, config=tiny_toy())
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-15000:]
    return folder


def test_everything_promised_is_there(toy_study):
    results = toy_study / "results" / "tiny-toy"
    for name in ("report.html", "summary.txt", "tables/claims.csv"):
        assert (results / name).stat().st_size > 0
    for name in TABLES:
        table = pd.read_parquet(results / "tables" / f"{name}.parquet")
        assert tuple(table.columns) == COLUMNS[name]
        assert len(table) > 0, name
    points = pd.read_csv(results / "tables" / "points.csv")
    assert sorted(zip(points.l0, points.seed, strict=True)) == [
        (l0, seed) for l0 in (1, 2.5, 4) for seed in (0, 1)
    ]
    left = [p for p in results.rglob("*") if p.name.startswith(".") or p.suffix == ".partial"]
    assert left == []


def jobs(folder: Path, config: dict) -> dict[str, int]:
    """Return how many jobs of each training or measuring rule would run."""
    run = run_snakemake(folder, "--dry-run", config=config)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    if "Nothing to be done" in run.stdout + run.stderr:
        return {}
    table = (run.stdout + run.stderr).split("Job stats:")[1].split("\n\n")[0]
    counts = dict(line.split() for line in table.splitlines() if line[-1:].isdigit())
    rules = ("train_toy_saes", "project_toy_decoders", "run_toy_experiment", "gather_toy_tables")
    return {rule: int(counts[rule]) for rule in rules if rule in counts}


def change_nothing(config):
    """Leave the study as it is."""


def reorder_l0(config):
    config["saes"]["l0"].reverse()


def add_n(config):
    config["decoder_metrics"]["n"].append(7)


def change_checkpoints(config):
    config["saes"]["checkpoint_min"] = 1


def change_one_experiment(config):
    config["experiments"]["transitions"]["end_l0"] = 3


def drop_an_experiment(config):
    del config["experiments"]["jumprelu"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (change_nothing, {}),
        (reorder_l0, {}),
        (change_checkpoints, {}),
        (add_n, {"project_toy_decoders": 2, "gather_toy_tables": 1}),
        (change_one_experiment, {"run_toy_experiment": 1, "gather_toy_tables": 1}),
        (drop_an_experiment, {"gather_toy_tables": 1}),
    ],
)
def test_only_what_a_change_concerns(toy_study, change, expected):
    config = copy.deepcopy(tiny_toy())
    change(config)
    assert jobs(toy_study, config) == expected


DAMAGE = {
    "tables/points.parquet": "tables",
    "tables/claims.csv": "verdict",
    "figures/toy_model.svg": "figures",
    "report.html": "page",
    "saes/l0_2.5/seed_1/sae/sae_weights.safetensors": "saes l0 2.5 seed 1",
    "toy_model/transitions/seed_0/transitions.parquet": "toy_model transitions seed_0",
}


@pytest.mark.parametrize("how", ["cut", "deleted"])
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_or_deleted_file_is_made_again(toy_study, tmp_path, name, how):
    """By dry run, on the finished study; Snakemake alone sees nothing to do in most of them."""
    results = tmp_path / "results" / "tiny-toy"
    shutil.copytree(toy_study / "results" / "tiny-toy", results)
    shutil.copytree(toy_study / ".snakemake" / "metadata", tmp_path / ".snakemake" / "metadata")
    if how == "cut":
        (results / name).write_bytes((results / name).read_bytes()[:100])
    else:
        (results / name).unlink()
    run = run_snakemake(tmp_path, "--dry-run", config=tiny_toy())
    lines = stale_lines(run)
    assert len(lines) == 1
    assert lines[0].startswith(DAMAGE[name]), lines
    assert "write_toy_report" in planned_jobs(run)


def test_a_damaged_sae_is_trained_again_and_the_numbers_are_the_same(toy_study, tmp_path):
    results = tmp_path / "results" / "tiny-toy"
    shutil.copytree(toy_study / "results" / "tiny-toy", results)
    before = (results / "tables" / "c_dec.csv").read_bytes()
    (results / "saes/l0_2.5/seed_1/sae/sae_weights.safetensors").write_bytes(b"torn")
    target = "results/tiny-toy/tables/manifest.json"
    run = run_snakemake(tmp_path, target, config=tiny_toy())
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert (results / "tables" / "c_dec.csv").read_bytes() == before


def test_a_wrong_value_is_one_line_before_any_job(tmp_path):
    config = tiny_toy()
    config["saes"]["l0"] = [1, 13]
    run = run_snakemake(tmp_path, "--dry-run", config=config)
    assert run.returncode != 0
    lines = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert lines == ["error: saes: l0 13 is above d_sae 12; lower it or widen the SAE"]
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("name", ["toy-model", "toy-model-quick"])
def test_the_shipped_studies_pass_a_dry_run(tmp_path, name):
    config = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())
    assert jobs(tmp_path, config)["train_toy_saes"] == len(config["saes"]["seeds"])
