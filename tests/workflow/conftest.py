"""One finished tiny study and one Slurm cluster, shared by the tests of the workflow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from search_runs import finish_search
from slurm_cluster import Cluster
from slurm_runs import Run
from workflow_runs import run_snakemake, tiny_config


@pytest.fixture(scope="session")
def tiny_study(shared) -> Path:
    """The folder in which the tiny study has run to its end, the SAEs of a seed together.

    `screen.txt` is what stood on the screen.
    """
    return shared("tiny_study", run_tiny_study)


@pytest.fixture(scope="session")
def finished_search(shared) -> Path:
    """A folder in which a search was killed after its first round, and went on to its end."""
    return shared("finished_search", finish_search)


def run_tiny_study(folder: Path) -> None:
    config = tiny_config()
    # Fewer jobs, of which each imports for seconds; the numbers are those of more.
    config["activations"]["shards_per_job"] = 6
    config["saes"]["points_per_job"] = len(config["saes"]["l0"])
    run = run_snakemake(folder, config=config)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-15000:]
    (folder / "screen.txt").write_text(run.stdout)


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
