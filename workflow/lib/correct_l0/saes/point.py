"""One point of the sweep, trained alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from correct_l0.saes.points import PointJob, train_points
from correct_l0.saes.result import Store
from correct_l0.saes.train import Batches


def train_point(
    store: Store,
    batches: Batches,
    folder: Path | str,
    settings_json: str,
    seed: int,
    *,
    device: str = "cpu",
    checkpoint_s: float = 600.0,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Train one SAE and write its folder; see `points.train_points`.

    Raises
    ------
    InputError
        If the settings hold no training, or a loss is not finite; failure.json says so too.
    SystemExit
        If a signal asked to stop; the state is saved first.
    """
    job = PointJob(Path(folder), settings_json, seed)
    failures = train_points(
        store, batches, [job], device=device, checkpoint_s=checkpoint_s, metadata=metadata
    )
    for error in failures.values():
        raise error
