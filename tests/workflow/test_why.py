"""`make why` on the finished tiny study."""

from __future__ import annotations

import json

from workflow_runs import tiny_config, why


def test_nothing_to_do(tiny_study):
    printed = why(tiny_study, tiny_config())
    assert "nothing would run" in printed
    assert "COST" not in printed


def test_a_changed_override_names_its_points(tiny_study):
    config = tiny_config()
    config["saes"]["overrides"][32]["lr"] = 2e-3
    config["saes"]["l0"].append(16)
    manifest = tiny_study / "results" / "tiny" / "saes" / "l0_4" / "seed_0" / "manifest.json"
    config["device"] = json.loads(manifest.read_text())["device"]
    printed = why(tiny_study, config, "--jobs", "3")
    reasons, costs = printed.split("COST")
    lines = reasons.splitlines()
    assert lines[lines.index("WHY") :] == [
        "WHY",
        "  SAEs, decoder metrics, comparison of seeds, probing",
        "    l0 16 (seeds 0, 1): not made yet",
        "  SAEs",
        "    l0 32 (seeds 0, 1): lr 0.001 -> 0.002",
        "  decoder metrics, comparison of seeds, probing",
        "    l0 32 (seeds 0, 1): follows from the SAE",
        "  tables, verdict, figures, report: follows from the results above",
        "",
    ]
    assert "17 jobs would run" in reasons
    costs = " ".join(costs.split())
    # Trainings of a fraction of a second say nothing of the rate.
    assert "corrected by measured rates" not in costs
    assert "3 cores at once" in costs or "3 GPUs at once" in costs
    assert max(map(len, printed.splitlines())) <= 80
