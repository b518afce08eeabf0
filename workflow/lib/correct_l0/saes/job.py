"""A training job: SAEs of one seed, trained on a sealed cache or left where they stand.

torch takes seconds to import, which a job whose SAEs all stand need not wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from correct_l0.errors import InputError
from correct_l0.jobs.job import resolve_device
from correct_l0.provenance.manifest import digest_of
from correct_l0.saes.finished import still_to_train
from correct_l0.saes.settings import PointJob, parse_settings

if TYPE_CHECKING:
    from correct_l0.saes.training.schedules import Measures


def train_saes(
    activations: Path | str,
    points: Sequence[PointJob],
    *,
    measures: Callable[[], Measures],
    device: str,
    checkpoint_s: float,
    threads: int,
    tracking: Sequence[str] = ("none", "", ""),
    weights: Path | str | None = None,
    snapshots: bool = False,
) -> dict[PointJob, InputError]:
    """Train SAEs or go on from their checkpoints; those that stand are left.

    Parameters
    ----------
    activations
        The source's manifest.
    points
        The SAEs, of one seed; those of one `batch_tokens` are trained in one reading of the data.
    measures
        Returns what is measured along the trainings; called if there is one.
    device
        `auto`, `cpu` or `cuda`.
    checkpoint_s
        Seconds between checkpoints.
    threads
        Threads of torch.
    tracking
        How the trainings are followed, the study's name, and its folder (`build_tracker`).
    weights
        Of imported SAEs: the manifest of their weights (`imported.fetch`). They are converted and
        measured instead of trained.
    snapshots
        Whether the decoders at the tenths of the trainings are kept.

    Returns
    -------
    dict of PointJob to InputError
        The points that failed, and why (`points.train_points`).

    Raises
    ------
    InputError
        If the source is damaged, or the device is not there.
    """
    rest = still_to_train(points, digest_of(activations))
    if not rest:
        return {}

    import torch

    from correct_l0.saes.saved import load_saved_sae
    from correct_l0.saes.training.points import train_points
    from correct_l0.saes.training.tracking import build_tracker
    from correct_l0.sources import open_source

    torch.set_num_threads(threads)
    device = resolve_device(device)
    source = open_source(activations, load_saved_sae)
    if weights is not None:
        from correct_l0.saes.imported.fetch import Fetched
        from correct_l0.saes.imported.job import import_points

        return import_points(rest, Fetched(weights), source, device)
    # Beside a GPU the next batches are read while it works.
    ahead = device != "cpu"
    alike: dict[int, list[PointJob]] = {}
    for point in rest:
        alike.setdefault(parse_settings(point.settings_json).training.batch_tokens, []).append(
            point
        )
    failed: dict[PointJob, InputError] = {}
    for batch_tokens, its in alike.items():
        batches = source.stream(
            its[0].seed, batch_tokens, prefetch=ahead, threads=threads if ahead else 1
        )
        failed |= train_points(
            source,
            batches,
            its,
            measures=measures(),
            device=device,
            checkpoint_s=checkpoint_s,
            metadata=source.metadata,
            tracker=build_tracker(*tracking),
            snapshots=snapshots,
        )
    return failed
