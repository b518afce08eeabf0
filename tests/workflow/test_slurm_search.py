"""A search on a cluster."""

from __future__ import annotations

from search_runs import CONFIG, rounds
from slurm_runs import Run, job_logs, prepare, wait_until


def test_on_a_cluster_it_goes_the_same_way(finished_search, slurm, tmp_path):
    slurm.clear()
    folder = prepare(tmp_path / "study", CONFIG)
    run = Run(folder)

    def ended() -> bool:
        assert run.process.poll() is None, run.text() + job_logs(folder)
        return len(rounds(folder)) == 2

    wait_until(ended, "the record of the second round")
    assert rounds(folder) == rounds(finished_search)
