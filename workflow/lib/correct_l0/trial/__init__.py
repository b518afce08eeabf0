"""A whole small study in one process, over the files that the rules would write.

For studies of minutes of which there are many: the suite of worlds with known truth, the check of
an answer on data that the study's own SAEs generate. Nothing is drawn, and nothing is probed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from correct_l0.jobs.job import resolve_device
from correct_l0.metrics.decoder.along_training import measures
from correct_l0.metrics.job import Trained, trained_points
from correct_l0.metrics.points import measure_points
from correct_l0.metrics.stability.points import compare_points
from correct_l0.report.gather import gather
from correct_l0.saes.job import train_saes
from correct_l0.saes.saved import load_saved_sae
from correct_l0.saes.settings import PointJob
from correct_l0.sources import open_source
from correct_l0.stages import asked_of
from correct_l0.study.plan import Plan


def run_study(
    plan: Plan, *, device: str = "cpu", threads: int = 1, checkpoint_s: float = 600.0
) -> dict[str, pd.DataFrame]:
    """Train, measure and compare a study whose source is there; return its tables.

    What stands of an earlier call is taken over.

    Parameters
    ----------
    plan
        The study; its files go to where its rules would write them, below the working directory.
    device
        `auto`, `cpu` or `cuda`.
    threads
        Threads of torch.
    checkpoint_s
        Seconds between checkpoints.

    Returns
    -------
    dict of DataFrame
        As `report.gather.gather` returns them; a point that could not be trained is a row of
        `gaps`.

    Raises
    ------
    InputError
        If the source is damaged, or no SAE could be trained.
    """
    saes = plan.study.saes
    for seed in saes.seeds:
        points = [
            PointJob(folder, plan.settings_sae(label), seed)
            for label, folder in _folders(plan, seed)
        ]
        failed = train_saes(
            plan.source,
            points,
            measures=measures,
            device=device,
            checkpoint_s=checkpoint_s,
            threads=threads,
        )
        if len(failed) == len(points):
            raise next(iter(failed.values()))
    trained = [point for seed in saes.seeds for point in _measured(plan, seed, device)]
    if plan.study_rooms:
        asked = [plan.point_folder("saes", *point) for point in plan.points]
        folders, settings = plan.stability_folders(), plan.settings_stability()
        compare_points(trained, folders, asked, settings, device=resolve_device(device))
    return gather(plan, allow_gaps=True).tables


def _folders(plan: Plan, seed: int) -> Iterable[tuple[str, Path]]:
    """Return label and folder of each SAE of a seed."""
    return ((label, Path(plan.point_folder("saes", label, seed))) for label in plan.labels)


def _measured(plan: Plan, seed: int, device: str) -> Sequence[Trained]:
    """Measure the SAEs of a seed that are there; return them."""
    source = open_source(plan.source, load_saved_sae)
    saes = {str(folder): plan.settings_sae(label) for label, folder in _folders(plan, seed)}
    trained = trained_points(saes, seed, source.digest)
    asked = asked_of(plan, plan.labels, seed)
    measure_points(trained, source, asked, device=resolve_device(device))
    return trained
