"""The tiny study through `snakemake --profile slurm` on a real Slurm, and that Slurm itself."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import pandas as pd
import pytest
import slurm_cluster
from processes import strings_of
from slurm_cluster import INSTALL, Cluster
from slurm_runs import Run, prepare
from workflow_runs import TINY_L0, tiny_config

import imported_toy as toy
from correct_l0.metrics.decoder.cosine import mean_absolute_cosine
from correct_l0.provenance.manifest import digest_of
from correct_l0.study.config import parse_config
from correct_l0.study.plan import Plan

SEED = 0


@pytest.fixture(scope="module")
def study(slurm, tiny_study, tmp_path_factory) -> Path:
    """The folder in which one seed of the tiny study has run to its end through Slurm."""
    slurm.clear()
    config = tiny_config()
    config["saes"]["seeds"] = [SEED]
    folder = prepare(tmp_path_factory.mktemp("slurm") / "study", config, tiny_study)
    run = Run(folder)
    seen = watch_gpus(run, slurm)
    run.succeed()
    (folder / "gpus.json").write_text(json.dumps(seen))
    return folder


def watch_gpus(run: Run, slurm: Cluster) -> dict[str, list[str]]:
    """Return which GPUs the processes of each job of a run see, by the job's id, once it ends."""
    seen: dict[str, set[str]] = {}
    while run.process.poll() is None:
        for job in slurm.jobs("RUNNING"):
            values = [x for pid in slurm.job_processes(job) for x in strings_of(pid, "environ")]
            found = {x.partition("=")[2] for x in values if x.startswith("CUDA_VISIBLE_DEVICES=")}
            seen.setdefault(job, set()).update(found)
        time.sleep(0.5)
    return {job: sorted(found) for job, found in seen.items()}


def test_the_study_ends_in_its_report(study):
    assert (study / "results/tiny/report.html").stat().st_size > 0
    points = pd.read_csv(study / "results/tiny/tables/points.csv")
    assert sorted(points.l0) == sorted(TINY_L0)
    assert pd.read_csv(study / "results/tiny/tables/gaps.csv").empty


@pytest.mark.parametrize("room", ["saes", *Plan(parse_config(tiny_config())).rooms])
def test_the_numbers_are_those_of_a_run_on_one_machine(study, tiny_study, room):
    """There the SAEs of a seed are trained, measured and probed together, here each alone."""
    for l0 in TINY_L0:
        manifest = f"results/tiny/{room}/l0_{l0:g}/seed_{SEED}/manifest.json"
        assert digest_of(study / manifest) == digest_of(tiny_study / manifest)


def test_nothing_is_left_to_do(study):
    assert "Nothing to be done" in Run(study, "--dry-run", quick=False).succeed()


def test_a_point_waits_once_for_a_gpu_and_once_more_to_be_probed(study, slurm):
    jobs = [job["name"] for job in slurm.history(study) if job["queue"] == "gpu"]
    names = [name for name in jobs if "probe_points" not in name]
    assert len(jobs) - len(names) == len(TINY_L0)
    assert len(names) == len(TINY_L0)
    assert all("train_points" in name and "measure_points" in name for name in names)


def test_both_gpus_work_at_once_and_no_third_job_beside_them(study, slurm):
    jobs = [job for job in slurm.history(study) if job["queue"] == "gpu"]
    at_once = [sum(j["start"] <= job["start"] < j["end"] for j in jobs) for job in jobs]
    assert max(at_once) == 2, jobs


def test_a_job_sees_the_gpu_that_is_its_own_alone(study, slurm):
    seen = json.loads((study / "gpus.json").read_text())
    jobs = [job for job in slurm.history(study) if job["queue"] == "gpu"]
    assert all(seen[job["id"]] in (["0"], ["1"]) for job in jobs), seen
    for one, other in itertools.combinations(jobs, 2):
        if one["start"] < other["end"] and other["start"] < one["end"]:
            assert seen[one["id"]] != seen[other["id"]], seen
    others = {job: gpus for job, gpus in seen.items() if job not in {job["id"] for job in jobs}}
    assert others
    assert not any(others.values()), others


def test_imported_saes_are_read_there_and_fetched_here(slurm, tmp_path):
    """Their weights are fetched where Snakemake runs: nodes may have no network."""
    slurm.clear()
    picked = {"folders": ["../mine"], "d_in": 16, "d_sae": 48}
    config = {"study": "tiny", "device": "cpu", "saes": {"import": picked}}
    folder = prepare(tmp_path / "study", config)
    shares = {2: 1.2, 4: 0.6, 8: 0.0, 16: 0.3, 32: 0.5}
    for l0, share in shares.items():
        toy.write_gemma_2(folder / f"mine/layer_3/average_l0_{l0}", toy.overlapping(share, l0))
    Run(folder).succeed()
    names = [job["name"] for job in slurm.history(folder)]
    assert not any("fetch_weights" in name for name in names)
    points, answer, report = names
    assert "train_points" in points and "measure_points" in points
    assert "read_curves" in answer and "write_report" in report
    c_dec = pd.read_parquet(folder / "results/tiny/tables/c_dec.parquet").set_index("l0")["value"]
    assert c_dec.to_dict() == {
        l0: pytest.approx(mean_absolute_cosine(toy.overlapping(share, l0)["W_dec"]), abs=1e-6)
        for l0, share in shares.items()
    }
    assert "c_dec is lowest at L0 8" in (folder / "results/tiny/summary.txt").read_text()


def test_a_cluster_stops_and_starts_again(slurm):
    slurm.clear()
    with pytest.raises(RuntimeError, match=rf"{slurm.folder}.*stop it: .* stop {slurm.folder}"):
        Cluster(slurm.folder.parent / "another").start()
    assert slurm.node_state() == "idle"
    assert len(slurm.leftovers()) == 6  # three daemons and three links
    slurm.stop()
    assert slurm.leftovers() == []
    slurm.start()
    assert slurm.node_state() == "idle"


def test_a_start_that_fails_leaves_nothing(slurm, monkeypatch, tmp_path):
    slurm.stop()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(slurm_cluster, "SLURM_CONF", slurm_cluster.SLURM_CONF + "NoSuchKey=1\n")
            with pytest.raises(RuntimeError, match="NoSuchKey"):
                Cluster(tmp_path).start()
        assert Cluster(tmp_path).leftovers() == []
    finally:
        slurm.start()


def test_missing_packages_fail_with_the_install_line(monkeypatch, tmp_path):
    monkeypatch.setattr(slurm_cluster, "_which", lambda program: None)
    with pytest.raises(RuntimeError, match=f"slurmctld, slurmd, sbatch not found; .*{INSTALL}"):
        Cluster(tmp_path).start()
    assert "slurmd" in INSTALL
