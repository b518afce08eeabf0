"""What goes wrong on a cluster, made to happen on a real Slurm."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import chdir, suppress
from pathlib import Path

import pandas as pd
import pytest
from slurm_runs import (
    L0,
    SAE,
    SEED,
    Run,
    job_logs,
    long_config,
    prepare,
    training,
    trainings,
    wait_until,
)
from workflow_runs import run_snakemake, tiny_config

from correct_l0.provenance.checks import check_outputs
from correct_l0.report import figures_of
from correct_l0.standing.chain import check_activations, task_digests
from correct_l0.standing.gaps import check_point
from correct_l0.study.config import parse_config
from correct_l0.study.opened import open_plan
from correct_l0.study.plan import Plan

RESULTS = "results/long"
TARGET = f"{RESULTS}/saes/groups/seed_{SEED}/l0_{L0}.json"
MANIFEST = f"{RESULTS}/{SAE}/manifest.json"


@pytest.fixture(scope="module")
def undisturbed(tiny_study, tmp_path_factory) -> Path:
    """The SAE of the long training, made in one go without Slurm."""
    folder = prepare(tmp_path_factory.mktemp("undisturbed") / "study", long_config(), tiny_study)
    run = run_snakemake(folder, TARGET, config=long_config())
    assert run.returncode == 0, run.stderr[-5000:]
    return folder / RESULTS / SAE


@pytest.fixture
def folder(cluster, undisturbed, tiny_study, tmp_path) -> Path:
    """A folder in which the long training can run."""
    return prepare(tmp_path / "study", long_config(), tiny_study)


@pytest.fixture
def small_disk(tiny_study, tmp_path) -> Iterator[Path]:
    """A folder with a staged text, on a disk on which one shard of activations has room."""
    folder = prepare(tmp_path / "study", tiny_config())
    activations = folder / "results" / "activations"
    activations.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "correct-l0-test", str(activations)]
    subprocess.run(command, check=True)
    source = tiny_study / "results" / "activations" / "tiny"
    shutil.copytree(source / "text", activations / "tiny" / "text")
    shutil.copy2(source / "cache.json", activations / "tiny")
    yield folder
    subprocess.run(["umount", "--lazy", str(activations)], check=True)


@pytest.fixture
def slow_squeue(tmp_path) -> Path:
    """A `squeue` that answers after five seconds; until then there is a file `asking` beside it."""
    script = tmp_path / "slow" / "squeue"
    script.parent.mkdir()
    asking = script.with_name("asking")
    wait = f"touch {asking}; sleep 5; rm {asking}"
    script.write_text(f'#!/bin/sh\n{wait}\nexec {shutil.which("squeue")} "$@"\n')
    script.chmod(0o755)
    return script


def assert_same_sae(folder: Path, undisturbed: Path) -> None:
    for name in ("sae/sae_weights.safetensors", "sae/cfg.json", "loss.csv"):
        ours = (folder / RESULTS / SAE / name).read_bytes()
        assert ours == (undisturbed / name).read_bytes(), name
    check_outputs(folder / MANIFEST, "")


def log_of(folder: Path) -> str:
    """Return the log of the SAE's training."""
    path = folder / RESULTS / "logs" / "train_points" / f"seed_{SEED}" / f"l0_{L0}.log"
    return path.read_text() if path.exists() else ""


def resumed_from(folder: Path) -> int:
    """Return the step from which the SAE's last training went on."""
    step = json.loads((folder / MANIFEST).read_text())["resumed_from_step"]
    assert f"going on from step {step} of " in log_of(folder)
    return step


def cancel(pid: int, job: str) -> None:
    subprocess.run(["scancel", job], check=True)


def kill(pid: int, job: str) -> None:
    os.kill(pid, signal.SIGKILL)


def press_ctrl_c(run: Run) -> None:
    """Interrupt Snakemake, again where it says nothing: one that comes while it awaits is lost."""
    for _ in range(3):
        os.killpg(run.process.pid, signal.SIGINT)
        with suppress(AssertionError):
            wait_until(lambda: "Terminating processes" in run.text(), "an answer to Ctrl-C", 20)
            return
    raise AssertionError(run.text())


def reach_the_time_limit(pid: int, job: str) -> None:
    subprocess.run(["scontrol", "update", f"jobid={job}", "EndTime=now+1"], check=True)


@pytest.fixture(scope="module")
def stopped(slurm, undisturbed, tiny_study, tmp_path_factory):
    """Three trainings under way at once, each stopped in another way after a checkpoint."""
    slurm.clear()
    runs = {}
    for hit in (reach_the_time_limit, cancel, kill):
        at = tmp_path_factory.mktemp("stopped") / "study"
        runs[hit.__name__] = run = Run(prepare(at, long_config(), tiny_study), TARGET)
        hit(*training(slurm, run))
    yield runs
    Run.kill_all()


@pytest.mark.parametrize(
    ("hit", "state"),
    [("cancel", "CANCELLED"), ("kill", "FAILED"), ("reach_the_time_limit", "TIMEOUT")],
)
def test_a_stopped_training_goes_on_from_its_checkpoint(stopped, slurm, undisturbed, hit, state):
    run = stopped[hit]
    run.succeed()
    assert [job["state"] for job in slurm.history(run.folder)] == [state, "COMPLETED"]
    assert resumed_from(run.folder) > 0
    assert_same_sae(run.folder, undisturbed)


def test_a_group_is_one_job_and_goes_on_when_it_was_cancelled(
    cluster, undisturbed, tiny_study, tmp_path
):
    config = long_config()
    config["saes"].update(l0=[float(L0), 8.0], points_per_job=2)
    folder = prepare(tmp_path / "study", config, tiny_study)
    run = Run(folder, TARGET.replace(f"l0_{L0}", f"l0_{L0}-8"))
    cancel(*training(cluster, run))
    run.succeed()
    jobs = [(job["name"], job["state"]) for job in cluster.history(folder)]
    name = "rule_point_train_points"
    assert jobs == [(name, "CANCELLED"), (name, "COMPLETED")]
    assert json.loads((folder / MANIFEST).read_text())["resumed_from_step"] > 0
    assert_same_sae(folder, undisturbed)


def test_ctrl_c_cancels_the_jobs_and_a_rerun_goes_on(
    cluster, folder, undisturbed, slow_squeue, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{slow_squeue.parent}:{os.environ['PATH']}")
        run = Run(folder, TARGET)
    training(cluster, run)
    # Snakemake holds no job for active while it asks what has become of them.
    wait_until(slow_squeue.with_name("asking").exists, "a look at the jobs")
    press_ctrl_c(run)
    assert run.wait() != 0
    wait_until(lambda: not cluster.jobs(), "an empty queue")
    assert [job["state"] for job in cluster.history(folder)] == ["CANCELLED"]
    assert [*folder.glob(".snakemake/locks/*")] == []
    Run(folder, TARGET).succeed()
    assert resumed_from(folder) > 0
    assert_same_sae(folder, undisturbed)


def test_of_two_people_the_second_is_refused(cluster, folder, undisturbed):
    first = Run(folder, TARGET)
    pid, _ = training(cluster, first)
    second = Run(folder, TARGET, quick=False)
    assert second.wait() != 0
    assert "Directory cannot be locked" in second.text()
    assert f"study long is being run by {getpass.getuser()} on " in second.text()
    os.kill(pid, signal.SIGCONT)
    first.succeed()
    assert [job["state"] for job in cluster.history(folder)] == ["COMPLETED"]
    assert_same_sae(folder, undisturbed)


def test_snakemake_killed_and_started_again_beside_its_orphan(cluster, folder, undisturbed):
    measured = f"{RESULTS}/measured/seed_{SEED}/l0_{L0}.json"
    run = Run(folder, measured, quick=False)
    pid, orphan = training(cluster, run)
    run.kill()
    assert cluster.jobs("RUNNING") == [orphan]
    Run(folder, "--unlock").succeed()
    rerun = Run(folder, measured)
    # The orphan is stopped until the rerun trains too, so that both write at once.
    wait_until(lambda: "going on from step" in log_of(folder), "a second training of the point")
    os.kill(pid, signal.SIGCONT)
    assert len(trainings(cluster, folder)) == 2
    rerun.succeed()
    wait_until(lambda: not cluster.jobs(), "the end of the orphan")
    assert [job["state"] for job in cluster.history(folder)] == ["COMPLETED", "COMPLETED"]
    assert_same_sae(folder, undisturbed)
    # Whoever wrote last: what was measured is held against the SAE as gathering does it.
    with chdir(folder):
        plan = open_plan(long_config())
        point, gaps = check_point(plan, L0, SEED, check_activations(plan), task_digests(plan))
    assert sorted(point.manifests) == ["decoder_metrics", "saes"]
    assert [(gap.room, gap.reason) for gap in gaps] == [("probing", "not run")]


def test_a_node_goes_down_and_returns(cluster, folder, undisturbed):
    run = Run(folder, TARGET)
    training(cluster, run)
    cluster.lose_node()
    cluster.wait_for_node("down", "down*")
    cluster.start_node()
    run.succeed()
    # Slurm itself put the job into the queue again.
    assert [job["state"] for job in cluster.history(folder)] == ["COMPLETED"]
    assert resumed_from(folder) > 0
    assert_same_sae(folder, undisturbed)


def test_a_point_that_fails_for_good_is_a_named_gap(cluster, tiny_study, tmp_path):
    config = tiny_config()
    config["saes"].update(l0=[4, 10.5], seeds=[0], overrides={4: {"lr": 1e30}})
    folder = prepare(tmp_path / "study", config, tiny_study)
    run = Run(folder)
    assert run.wait() != 0
    results = folder / "results" / "tiny"
    partial = results / "partial"
    assert (partial / "report.html").stat().st_size > 0
    drawn = {path.stem for path in (partial / "figures").glob("*.png")}
    assert drawn == set(figures_of(Plan(parse_config(config))))
    assert not (results / "report.html").exists()
    gaps = pd.read_csv(partial / "tables" / "gaps.csv")
    assert {*zip(gaps.l0, gaps.seed, strict=True)} == {(4, 0)}
    assert "the loss is non-finite with lr 1e+30" in gaps.reason[0]
    assert [*pd.read_csv(partial / "tables" / "points.csv").l0] == [10.5]
    states = {}
    for job in cluster.history(folder):
        states.setdefault(job["name"], []).append(job["state"])
    # What cannot be used stays so: its training is tried once. Only the tables need it.
    (report,) = (name for name in states if "gather_tables" in name)
    assert states.pop(report) == 3 * ["FAILED"]
    assert {state for its in states.values() for state in its} == {"COMPLETED"}, states
    screen = run.text().splitlines()
    assert screen[-1].startswith("error: L0 4 seed 0, saes: l0 4, seed 0, step 1: the loss is non")


def test_the_disk_is_full_while_caching(small_disk, cluster, tiny_study):
    folder, cache = small_disk, small_disk / "results" / "activations" / "tiny"
    part = Path("results/activations/tiny/parts/part_1.json")
    run = Run(folder, str(part))
    wait_until(lambda: "FAILED" in [job["state"] for job in cluster.history(folder)], "a full disk")
    errors = {line for line in job_logs(folder).splitlines() if line.startswith("error: ")}
    assert len(errors) == 1, job_logs(folder)
    assert "store: disk full or over quota" in errors.pop()
    assert "Traceback" not in job_logs(folder)
    assert not (folder / part).exists()
    (kept,) = cache.glob("store/*/acts/c/*/*")
    written = kept.stat().st_mtime_ns
    subprocess.run(["mount", "-o", "remount,size=40m", cache.parent], check=True)
    run.succeed()
    ours, theirs = (json.loads((at / part).read_text()) for at in (folder, tiny_study))
    assert ours["shards"] == theirs["shards"]
    assert kept.stat().st_mtime_ns == written
