"""What finished points took, against the estimates."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from correct_l0.costs.memory import device_of
from correct_l0.costs.training import training_s
from correct_l0.errors import InputError
from correct_l0.provenance.manifest import read_manifest
from correct_l0.saes.architectures import DEFAULT
from correct_l0.saes.training_settings import Training
from correct_l0.stages import OF_POINT, limits
from correct_l0.stages.stage import Stage
from correct_l0.study.config import Config
from correct_l0.study.plan import Plan

SMALLEST_S = 5.0
"""Seconds of estimated work from which on a point says something of the rate: what less takes is
mostly what every job takes."""


@dataclass(frozen=True)
class Rate:
    """How finished jobs of a rule compare with the estimate.

    Attributes
    ----------
    factor
        Median of measured over estimated seconds, without the start.
    points
        Finished points it rests on.
    """

    factor: float = 1.0
    points: int = 0


def measured_rates(*plans: Plan) -> dict[str, Rate]:
    """Return the rates of the rules whose manifests tell time and device, on the study's device.

    The sweeps of a study have one rate. Points that were made with other settings count too:
    each is compared with the estimate for its own.
    """
    device = device_of(plans[0].study)
    found = {
        stage.rule: [
            ratio
            for plan in plans
            for manifest in _manifests(plan, stage.room)
            if manifest.get("device") == device and (ratio := _ratio(stage, plan, manifest))
        ]
        for stage in OF_POINT
        if stage.on_device
    }
    return {
        rule: Rate(statistics.median(ratios), len(ratios))
        for rule, ratios in found.items()
        if ratios
    }


def _manifests(plan: Plan, room: str) -> Iterator[dict[str, Any]]:
    for path in plan.manifests(room):
        try:
            yield read_manifest(path)
        except InputError:
            continue


def _ratio(stage: Stage, plan: Plan, manifest: dict[str, Any]) -> float | None:
    """Return measured over estimated seconds of one job; None where that says nothing."""
    if stage.trains:
        return _training_ratio(manifest, manifest["device"])
    work = stage.seconds(plan.study, ())
    if manifest.get("parameters") != stage.settings(plan, "") or work < SMALLEST_S:
        return None
    return float(manifest["wall_s"]) / work


def _training_ratio(manifest: dict[str, Any], device: str) -> float | None:
    """Return measured over estimated seconds of one training; None where that says nothing."""
    try:
        settings = json.loads(manifest["parameters"])
        training = Training.model_validate(settings["training"])
        sizes = manifest["d_in"], manifest["d_sae"], manifest["l0"]
        name = settings.get("architecture", {}).get("name", DEFAULT)
        work = training_s(*sizes, training, device, name=name)
        took = manifest["tokens"] / manifest["tokens_per_s"]
    except (KeyError, ValueError, ZeroDivisionError):
        return None
    return took / work if work >= SMALLEST_S else None


def seconds(rule: str, study: Config, l0: str | None, rate: Rate, left: float = 1.0) -> float:
    """Return the estimate for what is left of one job's work, corrected by a measured rate."""
    return limits.start_s(rule, study) + limits.work_s(rule, study, l0) * rate.factor * left
