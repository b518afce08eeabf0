"""The settings a report depends on, and the plan made of them again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from correct_l0.settings.canonical import canonical
from correct_l0.study.config import parse_config
from correct_l0.study.plan import Plan


def report_settings(plan: Plan) -> str:
    """Return the canonical settings of a study's report.

    Left out is what changes no number, and the order of L0 values and seeds is lost: neither
    rewrites a report.
    """
    settings = json.loads(canonical(plan.study, "device", "tracking"))
    saes = settings["saes"]
    for name in ("checkpoint_min", "snapshots", "points_per_job", "gpu_memory_gb"):
        saes.pop(name, None)
    saes["l0"] = sorted(saes["l0"])
    if "seeds" in saes:
        saes["seeds"] = sorted(saes["seeds"])
    for name in ("shards_per_job", "forward_batch_tokens"):
        for source in ("activations", "stored"):
            settings.get(source, {}).pop(name, None)
    return canonical(settings)


def round_settings(plan: Plan) -> str:
    """Return the canonical settings that the reading of a round depends on."""
    settings = json.loads(report_settings(plan))
    for name in ("title", "hedging", "self_check", "frozen_control"):
        settings.pop(name, None)
    settings.get("decoder_metrics", {}).pop("histogram_l0", None)
    return canonical(settings)


def plan_of(settings: str) -> Plan:
    """Return the plan whose `report_settings` these are."""
    return Plan(parse_config(json.loads(settings)))


def comparison_settings(plans: Sequence[Plan]) -> str:
    """Return the canonical settings of the page of all sweeps: which they are, in which order.

    The settings of each are its tables' own.
    """
    return canonical({"sweeps": [plan.study.sweep for plan in plans]})


def comparison_inputs(plans: Sequence[Plan]) -> dict[str, Path]:
    """Return the manifests that the page of all sweeps is made from, by name."""
    return {
        f"{plan.study.sweep}/{name}": Path(plan.results) / "tables" / file
        for plan in plans
        for name, file in (("tables", "manifest.json"), ("verdict", "verdict.manifest.json"))
    }
