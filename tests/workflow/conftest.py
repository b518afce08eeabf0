"""One finished tiny study and one Slurm cluster, shared by the tests of the workflow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import Cluster
from slurm_runs import Run
from workflow_runs import run_snakemake


@pytest.fixture(scope="session")
def tiny_study(tmp_path_factory) -> Path:
    """The folder in which the tiny study has run to its end, and what stood on the screen."""
    folder = tmp_path_factory.mktemp("study")
    run = run_snakemake(folder)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-15000:]
    (folder / "screen.txt").write_text(run.stdout)
    return folder


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[Cluster]:
    """The one test cluster; it leaves nothing behind."""
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    cluster.start()
    yield cluster
    Run.kill_all()
    cluster.stop()
    assert cluster.leftovers() == []


@pytest.fixture
def cluster(slurm) -> Iterator[Cluster]:
    """The test cluster, idle and without jobs before and after a test."""
    Run.kill_all()
    slurm.clear()
    yield slurm
    Run.kill_all()
    slurm.clear()
