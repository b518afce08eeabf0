"""Points trained together: the numbers of each alone, and what a loss or a crash trains again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from slurm_runs import LONG_TRAINING, prepare, wait_until
from workflow_runs import TINY_L0, planned_jobs, run_snakemake, snakemake_command, tiny_config

from correct_l0.provenance.manifest import digest_of

SAES = Path("results/tiny/saes")
TARGETS = [f"{SAES}/l0_{l0:g}/seed_0/manifest.json" for l0 in TINY_L0]
MEASURED = "results/tiny/measured/seed_0"
METRICS = [target.replace("/saes/", "/decoder_metrics/") for target in TARGETS]
GROUP = SAES / "groups" / "seed_0" / "l0_4-10.5-32.json"


def config_of_groups() -> dict[str, Any]:
    """Return the tiny study with one seed, in groups."""
    config = tiny_config()
    config["saes"].update(seeds=[0], points_per_job=4)
    return config


def dry(folder: Path, *targets: str, config: dict[str, Any] | None = None) -> dict[str, int]:
    """Return the jobs that SAEs, by default all, would take."""
    config = config or config_of_groups()
    return planned_jobs(run_snakemake(folder, "--dry-run", *(targets or TARGETS), config=config))


def leave_behind(study: Path) -> None:
    """Make the file of a group, as an interrupted run leaves it."""
    (study / GROUP).parent.mkdir(parents=True)
    (study / GROUP).write_text("{}")


@pytest.fixture(scope="module")
def trained(tiny_study, tmp_path_factory) -> Path:
    """The folder in which three SAEs were trained together."""
    folder = prepare(tmp_path_factory.mktemp("groups") / "study", tiny_config(), tiny_study)
    run = run_snakemake(folder, *TARGETS, config=config_of_groups())
    assert run.returncode == 0, run.stderr[-5000:]
    return folder


@pytest.fixture
def study(trained, tmp_path) -> Path:
    """A copy of that folder, which a test may damage."""
    return Path(shutil.copytree(trained, tmp_path / "study", symlinks=True))


@pytest.mark.parametrize("target", TARGETS)
def test_an_sae_of_a_group_is_that_of_a_point_alone(trained, tiny_study, target):
    assert digest_of(trained / target) == digest_of(tiny_study / target)
    log = trained / str(Path(target).parent).replace("/saes/", "/logs/train_sae/")
    assert "taken over" in log.with_suffix(".log").read_text()


def test_nothing_hangs_on_the_file_of_a_group(study):
    assert not (study / GROUP).exists()
    assert dry(study) == {}
    leave_behind(study)
    assert dry(study) == {}


def test_a_file_left_behind_is_not_taken_for_a_training(study):
    for target in TARGETS:
        shutil.rmtree((study / target).parent)
    leave_behind(study)
    assert dry(study) == {"train_points": 1, "train_sae": 3}
    # Of points asked for by name no others.
    assert dry(study, TARGETS[0]) == {"train_sae": 1}
    assert dry(study, *TARGETS[1:]) == {"train_points": 1, "train_sae": 2}


def test_saes_that_are_taken_over_are_in_no_group(study):
    for target in TARGETS:
        (study / target).unlink()
    assert dry(study) == {"train_sae": 3}
    shutil.rmtree((study / TARGETS[0]).parent)
    assert dry(study) == {"train_sae": 3}


def test_snakemake_deletes_no_trained_sae(study):
    """Where it runs the job again, for whatever reason of its own."""
    folder = (study / TARGETS[0]).parent
    files = [folder / name for name in ("sae/sae_weights.safetensors", "loss.csv", "trained.json")]
    before = [(file.stat().st_ino, file.stat().st_mtime_ns) for file in files]
    sealed, written = (study / TARGETS[0]).read_bytes(), (study / TARGETS[0]).stat().st_mtime_ns
    run = run_snakemake(study, TARGETS[0], "--forcerun", "train_sae", config=config_of_groups())
    assert run.returncode == 0, run.stderr[-5000:]
    assert (study / TARGETS[0]).stat().st_mtime_ns > written
    assert (study / TARGETS[0]).read_bytes() == sealed
    assert [(file.stat().st_ino, file.stat().st_mtime_ns) for file in files] == before


def test_batches_of_another_size_are_another_group(study):
    config = config_of_groups()
    config["saes"]["training"]["lr"] = 2e-3
    assert dry(study, config=config) == {"train_points": 1, "train_sae": 2}
    config["saes"]["overrides"] = {32: {"batch_tokens": 1024}}
    assert dry(study, config=config) == {"train_points": 1, "train_sae": 3}
    assert "l0_4-10.5.json" in run_snakemake(study, "--dry-run", *TARGETS, config=config).stdout


def test_one_that_fails_holds_up_no_other(tiny_study, tmp_path):
    config = config_of_groups()
    config["saes"]["overrides"] = {4: {"lr": 1e30}}
    folder = prepare(tmp_path / "study", config, tiny_study)
    run = run_snakemake(folder, *TARGETS, f"{MEASURED}/l0_4-10.5-32.json", config=config)
    assert run.returncode != 0
    assert "the loss is non-finite with lr 1e+30" in run.stderr
    for targets in (TARGETS, METRICS):
        assert [(folder / target).exists() for target in targets] == [False, True, True]
    assert dry(folder, config=config) == {"train_sae": 1}
    # The one at L0 32 has lost its override, too.
    assert dry(folder) == {"train_points": 1, "train_sae": 2}


def test_of_points_that_are_named_nothing_else_is_measured(study):
    """Two machines share a sweep so; each leaves the other's records alone."""
    config, other = config_of_groups(), study / MEASURED / "l0_10.5.json"
    other.parent.mkdir(parents=True)
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
    assert "train_sae" not in planned


def test_an_sae_that_cannot_be_read_fails_its_job_and_no_other(study):
    """It was damaged since its manifest was written, and dated before that."""
    weights = (study / TARGETS[1]).parent / "sae" / "sae_weights.safetensors"
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
    command = snakemake_command(folder, *TARGETS, config=config)
    with open(folder / "screen.txt", "w") as screen:
        process = subprocess.Popen(
            command, cwd=folder, stdout=screen, stderr=screen, start_new_session=True
        )
    points = [(folder / target).parent for target in TARGETS]
    kept = [points[0] / "trained.json", *(p / "checkpoint" / "index.json" for p in points[1:])]
    try:
        wait_until(lambda: all(path.exists() for path in kept), "a trained point, and checkpoints")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert run_snakemake(folder, "--unlock", config=config).returncode == 0
    before = kept[0].stat().st_mtime
    assert dry(folder, config=config) == {"train_points": 1, "train_sae": 3}
    run = run_snakemake(folder, *TARGETS, config=config)
    assert run.returncode == 0, run.stderr[-5000:]
    assert kept[0].stat().st_mtime == before
    for point in points[1:]:
        assert json.loads((point / "manifest.json").read_text())["resumed_from_step"] > 0
