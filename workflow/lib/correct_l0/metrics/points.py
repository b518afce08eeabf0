"""The metrics of a group of points, measured in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TypedDict

from correct_l0.metrics import Measured
from correct_l0.metrics import metrics as known
from correct_l0.metrics.job import Trained, Wanted, make
from correct_l0.saes.saved import SavedSae, load_saved_sae
from correct_l0.sources import Source


class Asked(TypedDict):
    """How one metric is asked for: by its stage, its recipe, its settings and its folders."""

    stage: str
    recipe: int
    settings: str
    folders: Mapping[str, str]
    """Where the results go, by the folder of the SAE."""


def measure_points(
    trained: Iterable[Trained], source: Source, metrics: Mapping[str, Asked], *, device: str
) -> list[Path]:
    """Measure SAEs; results that stand are left. Return the folders of those that failed.

    Parameters
    ----------
    trained
        The SAEs.
    source
        What they were trained on.
    metrics
        What is asked for, by room (`metrics.metrics`).
    device
        `cpu` or `cuda`.
    """
    failed = []
    for point in trained:
        load = cache(partial(load_saved_sae, point.folder / "sae", device))
        for room, asked in metrics.items():
            folder = Path(asked["folders"][str(point.folder)])
            wanted = Wanted(
                folder,
                asked["stage"],
                asked["recipe"],
                asked["settings"],
                {"sae": point.digest, "activations": source.digest},
                {"l0": point.record["l0"], "seed": point.seed, "device": device},
            )

            def measure(
                room: str = room,
                load: Callable[[], SavedSae] = load,
                point: Trained = point,
                folder: Path = folder,
            ) -> Measured:
                settings, facts = (
                    metrics[room]["settings"],
                    {**point.record, "folder": point.folder},
                )
                return known()[room].load().measure(load(), facts, source, settings, folder)

            if not make(wanted, measure):
                failed.append(folder)
    return failed
