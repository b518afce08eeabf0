"""Stub: points one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from correct_l0.errors import InputError
from correct_l0.saes.point import train_point


@dataclass(frozen=True)
class PointJob:
    folder: Path
    settings_json: str
    seed: int


def train_points(
    store: Any, batches: Any, jobs: Sequence[PointJob], **more: Any
) -> dict[PointJob, InputError]:
    failed = {}
    for job in jobs:
        try:
            train_point(store, batches, job.folder, job.settings_json, job.seed, **more)
        except InputError as error:
            failed[job] = error
    return failed
