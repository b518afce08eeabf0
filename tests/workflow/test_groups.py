"""Points trained together: what a loss or a crash trains again. Their numbers: `test_slurm.py`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from slurm_runs import LONG_TRAINING, prepare, wait_until
from workflow_runs import (
    TINY_L0,
    planned_jobs,
    run_snakemake,
    snakemake_command,
    tiny_config,
    trainings,
)

from correct_l0.study.groups import Group

SAES = Path("results/tiny/saes")
MANIFESTS = [f"{SAES}/l0_{l0:g}/seed_0/manifest.json" for l0 in TINY_L0]
MEASURED = "results/tiny/measured/seed_0"
METRICS = [manifest.replace("/saes/", "/decoder_metrics/") for manifest in MANIFESTS]
RECORDS = f"{SAES}/groups/seed_0"
GROUP = f"{RECORDS}/l0_4-10.5-32.json"


def config_of_groups() -> dict[str, Any]:
    """Return the tiny study with one seed, in groups."""
    config = tiny_config()
    config["saes"].update(seeds=[0], points_per_job=4)
    return config


def dry(folder: Path, *targets: str, config: dict[str, Any] | None = None) -> list[Group]:
    """Return the groups that would be trained for the report, or for some records."""
    config = config or config_of_groups()
    return trainings(run_snakemake(folder, "--dry-run", *targets, config=config))


def leave_behind(study: Path) -> None:
    """Make the record of a group, as an interrupted run leaves it."""
    (study / GROUP).parent.mkdir(parents=True, exist_ok=True)
    (study / GROUP).write_text("{}")


def test_what_leads_to_a_training_goes_before_what_probing_needs(tmp_path):
    run = run_snakemake(tmp_path, "--dry-run", config=config_of_groups())
    told = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", run.stdout, re.M)
    first = {rule for rule, lines in told if "    priority: 1\n" in lines}
    assert first == {"stage_text", "cache_activations", "seal_activations", "train_points"}
    assert "cache_probing_activations" in {rule for rule, _ in told}


@pytest.fixture
def study(tiny_study, tmp_path) -> Path:
    """A copy of three SAEs that were trained together, which a test may damage."""
    folder = prepare(tmp_path / "study", tiny_config(), tiny_study)
    for manifest in MANIFESTS:
        sae = Path(manifest).parent
        shutil.copytree(tiny_study / sae, folder / sae)
    return folder


def test_nothing_hangs_on_the_record_of_a_group(study):
    assert not (study / GROUP).exists()
    assert dry(study) == []
    leave_behind(study)
    assert dry(study) == []


def test_a_record_left_behind_is_not_taken_for_a_training(study):
    for manifest in MANIFESTS:
        shutil.rmtree((study / manifest).parent)
    leave_behind(study)
    all_three = [Group(0, ("4", "10.5", "32"))]
    assert dry(study) == all_three
    assert dry(study, GROUP) == all_three
    # Of points asked for by name no others.
    assert dry(study, f"{MEASURED}/l0_4.json") == [Group(0, ("4",))]
    assert dry(study, f"{MEASURED}/l0_10.5-32.json") == [Group(0, ("10.5", "32"))]


def test_an_sae_that_lacks_a_file_is_trained_alone(study):
    (study / MANIFESTS[0]).unlink()
    assert dry(study) == [Group(0, ("4",))]
    (study / MANIFESTS[2]).with_name("loss.csv").unlink()
    assert dry(study) == [Group(0, ("4", "32"))]


def test_snakemake_deletes_no_trained_sae(study):
    """Where it runs the job again, for whatever reason of its own."""
    files = [path for path in (study / MANIFESTS[0]).parent.rglob("*") if path.is_file()]
    assert {"manifest.json", "sae_weights.safetensors", "loss.csv"} <= {f.name for f in files}
    before = [(file.stat().st_ino, file.stat().st_mtime_ns) for file in files]
    run = run_snakemake(study, GROUP, "--forcerun", "train_points", config=config_of_groups())
    assert run.returncode == 0, run.stderr[-5000:]
    assert "1 of 1 steps" in run.stderr
    assert [(file.stat().st_ino, file.stat().st_mtime_ns) for file in files] == before


def test_batches_of_another_size_are_another_group(study):
    config = config_of_groups()
    config["saes"]["training"]["lr"] = 2e-3
    assert dry(study, config=config) == [Group(0, ("4", "10.5"))]
    config["saes"]["overrides"] = {32: {"batch_tokens": 1024}}
    assert dry(study, config=config) == [Group(0, ("4", "10.5")), Group(0, ("32",))]


def test_one_that_fails_holds_up_no_other(tiny_study, tmp_path):
    """What is then reported: `test_slurm_faults.py`."""
    config = config_of_groups()
    config["saes"]["overrides"] = {4: {"lr": 1e30}}
    config["probing"]["tasks"] = "none"
    folder = prepare(tmp_path / "study", config, tiny_study)
    reason = "l0 4, seed 0, step 1: the loss is non-finite with lr 1e+30"
    run = run_snakemake(folder, f"{MEASURED}/l0_4-10.5-32.json", config=config)
    assert run.returncode != 0
    assert run.stderr.splitlines()[-1].startswith(f"error: {reason}")
    for manifests in (MANIFESTS, METRICS):
        assert [(folder / manifest).exists() for manifest in manifests] == [False, True, True]
    assert dry(folder, config=config) == [Group(0, ("4",))]
    # The one at L0 32 has lost its override, too.
    assert dry(folder) == [Group(0, ("4", "32"))]


def test_of_points_that_are_named_nothing_else_is_measured(study):
    """Two machines share a sweep so; each leaves the other's records alone."""
    config, other = config_of_groups(), study / MEASURED / "l0_10.5.json"
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_text("{}")
    for _ in range(2):
        run = run_snakemake(study, f"{MEASURED}/l0_4-32.json", config=config)
        assert run.returncode == 0, run.stderr[-5000:]
        assert [(study / metric).exists() for metric in METRICS] == [True, False, True]
        assert [path.name for path in other.parent.iterdir()] == [other.name]
        # Lost since, it is not taken for measured.
        (study / METRICS[0]).unlink()
    planned = planned_jobs(run_snakemake(study, "--dry-run", config=config))
    assert (planned["measure_points"], planned["probe_points"]) == (1, 1)
    assert "train_points" not in planned


def test_an_sae_that_cannot_be_read_fails_its_job_and_no_other(study):
    """It was damaged since its manifest was written, and dated before that."""
    weights = (study / MANIFESTS[1]).parent / "sae" / "sae_weights.safetensors"
    then = weights.stat()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(then.st_atime_ns, then.st_mtime_ns))
    record = f"{MEASURED}/l0_4-10.5-32.json"
    run = run_snakemake(study, record, config=config_of_groups())
    assert run.returncode != 0
    last = f"error: {SAES}/l0_10.5/seed_0: no SAE is there as it should be"
    assert run.stderr.splitlines()[-1] == last
    assert [(study / metric).exists() for metric in METRICS] == [True, False, True]
    assert not (study / record).exists()


def test_a_group_killed_keeps_what_is_finished_and_goes_on(tiny_study, tmp_path):
    config = config_of_groups()
    config["saes"].update(overrides={4: {"training_tokens": 65_536}}, checkpoint_min=1 / 60)
    config["saes"]["training"]["training_tokens"] = LONG_TRAINING
    folder = prepare(tmp_path / "study", config, tiny_study)
    command = snakemake_command(folder, GROUP, config=config)
    with open(folder / "screen.txt", "w") as screen:
        process = subprocess.Popen(
            command, cwd=folder, stdout=screen, stderr=screen, start_new_session=True
        )
    points = [(folder / manifest).parent for manifest in MANIFESTS]
    kept = [points[0] / "manifest.json", *(p / "checkpoint" / "index.json" for p in points[1:])]
    try:
        wait_until(lambda: all(path.exists() for path in kept), "a trained point, and checkpoints")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert run_snakemake(folder, "--unlock", config=config).returncode == 0
    before = kept[0].stat().st_mtime
    assert dry(folder, config=config) == [Group(0, ("10.5", "32"))]
    run = run_snakemake(folder, GROUP, config=config)
    assert run.returncode == 0, run.stderr[-5000:]
    assert kept[0].stat().st_mtime == before
    for point in points[1:]:
        assert json.loads((point / "manifest.json").read_text())["resumed_from_step"] > 0
