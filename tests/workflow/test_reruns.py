"""What is computed again after a change: dry runs on the finished tiny study."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from workflow_runs import ROOT, run_snakemake, tiny_config

REPORT = {"gather_tables": 1, "read_curves": 1, "plot_figures": 1, "write_report": 1}


def jobs(folder, config: dict[str, Any]) -> dict[str, int]:
    """Return how many jobs of each rule would run."""
    run = run_snakemake(folder, "--dry-run", config=config)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    if "Nothing to be done" in run.stdout + run.stderr:
        return {}
    table = (run.stdout + run.stderr).split("Job stats:")[1].split("\n\n")[0]
    counts = dict(line.split() for line in table.splitlines() if line[-1:].isdigit())
    return {rule: int(n) for rule, n in counts.items() if rule not in ("all", "total")}


def add_l0(config):
    config["saes"]["l0"].append(16)


def reorder_l0(config):
    config["saes"]["l0"].reverse()


def remove_l0(config):
    config["saes"]["l0"].remove(10.5)


def change_override(config):
    config["saes"]["overrides"][32]["lr"] = 2e-3


def spell_out_a_default(config):
    config["saes"]["training"]["engine"] = "fused"


def add_n(config):
    config["decoder_metrics"]["n"].append(62)


def add_probe_k(config):
    config["probing"]["probe_k"] = [1, 16, 4]


def change_title(config):
    config["title"] = "Another title"


def change_what_divides_the_work(config):
    config["activations"].update(forward_batch_tokens=512, shards_per_job=1)
    config["device"] = "cpu"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda config: None, {}),
        (add_l0, {"train_sae": 2, "project_decoder": 2, "probe_sae": 2, **REPORT}),
        (reorder_l0, {}),
        (remove_l0, REPORT),
        (change_override, {"train_sae": 2, "project_decoder": 2, "probe_sae": 2, **REPORT}),
        (spell_out_a_default, {}),
        (add_n, {"project_decoder": 6, **REPORT}),
        (add_probe_k, {"probe_sae": 6, "probe_baselines": 1, **REPORT}),
        (change_title, REPORT),
        (change_what_divides_the_work, {}),
    ],
    ids=[
        "nothing", "add an L0", "reorder L0", "remove an L0", "change an override",
        "spell out a default", "add an n", "add a probe_k", "change the title", "divide the work",
    ],
)  # fmt: skip
def test_only_what_a_change_concerns(tiny_study, change: Callable[[dict], None], expected):
    config = tiny_config()
    change(config)
    assert jobs(tiny_study, config) == expected


def test_a_touch_of_the_code_computes_nothing(tiny_study):
    for folder in ("workflow/scripts", "workflow/rules", "workflow/lib"):
        for file in (ROOT / folder).rglob("*.*"):
            os.utime(file)
    assert jobs(tiny_study, tiny_config()) == {}


def test_a_cache_is_shared_or_refused(tiny_study):
    config = tiny_config()
    config.update(study="other")
    config["saes"].update(d_sae=96, l0=[4], overrides={}, seeds=[0])
    shared = jobs(tiny_study, config)
    assert shared["train_sae"] == 1
    assert not {"stage_text", "cache_activations", "seal_activations"} & shared.keys()
    config["activations"]["context_size"] = 64
    run = run_snakemake(tiny_study, "--dry-run", config=config)
    assert run.returncode != 0
    assert "context_size: 32 -> 64" in run.stderr
