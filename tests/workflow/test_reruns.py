"""What is computed again after a change of the configuration: dry runs on a finished study."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from workflow_runs import planned_jobs, run_snakemake, tiny_config

REPORT = {"gather_tables": 1, "read_curves": 1, "plot_figures": 1, "write_report": 1}


def jobs(folder, config: dict[str, Any]) -> dict[str, int]:
    """Return how many jobs of each rule would run."""
    return planned_jobs(run_snakemake(folder, "--dry-run", config=config))


def points(count: int, groups: int | None = None) -> dict[str, int]:
    """Return the jobs of so many points, each alone or all in so many groups."""
    jobs = dict.fromkeys(("train_points", "measure_points", "probe_points"), groups or count)
    return {**jobs, "compare_seeds": 1, **REPORT}


def add_l0(config):
    config["saes"]["l0"].append(16)


def reorder_l0(config):
    config["saes"]["l0"].reverse()


def remove_l0(config):
    config["saes"]["l0"].remove(10.5)


def change_override(config):
    config["saes"]["overrides"][32]["lr"] = 2e-3


def change_shared_training(config):
    """The two SAEs at L0 32 have a learning rate of their own."""
    config["saes"]["training"]["lr"] = 2e-3


def add_seed(config):
    config["saes"]["seeds"].append(7)


def spell_out_a_default(config):
    config["saes"]["training"]["engine"] = "fused"


def add_n(config):
    config["decoder_metrics"]["n"].append(62)


def add_probe_k(config):
    config["probing"]["probe_k"] = [1, 16, 4]


def add_task(config):
    """The jobs that cache and probe know which tasks are there: only the new one is computed."""
    config["probing"]["tasks"].append("118_us_state_CA")


def in_groups(change):
    """Return a change of the study where one job trains up to four points."""

    def changed(config):
        change(config)
        config["saes"]["points_per_job"] = 4

    return changed


def add_two_l0(config):
    config["saes"]["l0"] += [16, 20]


def change_title(config):
    config["title"] = "Another title"


def change_what_divides_the_work(config):
    config["activations"].update(forward_batch_tokens=512, shards_per_job=1)
    config["device"] = "cpu"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda config: None, {}),
        (add_l0, points(2)),
        (reorder_l0, {}),
        (remove_l0, REPORT),
        (change_override, points(2)),
        (change_shared_training, points(4)),
        (add_seed, points(3)),
        (spell_out_a_default, {}),
        (add_n, {"measure_points": 2, **REPORT}),
        (add_probe_k, {"probe_points": 2, "probe_baselines": 1, **REPORT}),
        (
            add_task,
            {"cache_probing_activations": 1, "probe_points": 2, "probe_baselines": 1, **REPORT},
        ),
        (change_title, REPORT),
        (change_what_divides_the_work, {}),
        (in_groups(lambda config: None), {}),
        (in_groups(add_l0), points(2)),
        (in_groups(change_override), points(2)),
        (in_groups(add_two_l0), points(4, groups=2)),
        (in_groups(add_seed), points(3, groups=1)),
    ],
    ids=[
        "nothing", "add an L0", "reorder L0", "remove an L0", "change an override",
        "change shared training", "add a seed", "spell out a default", "add an n",
        "add a probe_k", "add a task", "change the title", "divide the work",
        "nothing, in groups", "add an L0, in groups", "change an override, in groups",
        "add two L0, in groups", "add a seed, in groups",
    ],
)  # fmt: skip
def test_only_what_a_change_concerns(tiny_study, change: Callable[[dict], None], expected):
    config = tiny_config()
    change(config)
    assert jobs(tiny_study, config) == expected


def test_a_cache_is_shared_or_refused(tiny_study):
    config = tiny_config()
    config.update(study="other")
    config["saes"].update(d_sae=96, l0=[4], overrides={}, seeds=[0])
    shared = jobs(tiny_study, config)
    assert shared["train_points"] == 1
    assert not {"stage_text", "cache_activations", "seal_activations"} & shared.keys()
    config["activations"]["context_size"] = 64
    run = run_snakemake(tiny_study, "--dry-run", config=config)
    assert run.returncode != 0
    assert "context_size: 32 -> 64" in run.stderr
