"""Which points of a study have to be trained and measured, as their files tell.

Imported whenever Snakemake parses the workflow, so nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from correct_l0.jobs.running import started
from correct_l0.provenance.manifest import read_or_empty
from correct_l0.stages import BY_RULE
from correct_l0.standing.stale_words import Stale
from correct_l0.study.plan import Plan


def points_to_train(plan: Plan, found: Iterable[Stale]) -> list[tuple[str, int]]:
    """Return the points whose training certainly has to begin or to go on.

    Left out are SAEs that stand. Where the activations are not there, they are taken at their word
    until these are made again.

    Parameters
    ----------
    plan
        The study.
    found
        What `stale.find` says of it.
    """
    stale = list(found)
    staged = BY_RULE["stage_text"].result_of(plan)
    if {s.path for s in stale} & {plan.source, str(staged)}:
        # Activations of another recipe, or damaged: every SAE follows from them.
        return plan.points
    fallen = {(s.l0, s.seed) for s in stale if s.room == "saes"}
    return [
        point
        for point, path in zip(plan.points, plan.manifests("saes"), strict=True)
        if point in fallen or not Path(path).exists()
    ]


def failed_trainings(plan: Plan) -> list[str]:
    """Return why trainings failed in the run that goes on."""
    files = (Path(plan.point_folder("saes", *point), "failure.json") for point in plan.points)
    since = started(plan.study_folder)
    found = [path for path in files if path.exists() and path.stat().st_mtime >= since]
    return [str(read_or_empty(path).get("reason")) for path in found]


def points_to_measure(
    plan: Plan, found: Iterable[Stale], rooms: Collection[str], trained: Collection[tuple[str, int]]
) -> list[tuple[str, int]]:
    """Return the points of which something has to be measured.

    Parameters
    ----------
    plan
        The study.
    found
        What `stale.find` says of it.
    rooms
        Where the results go.
    trained
        The points whose SAE is trained first.
    """
    fallen = {(s.l0, s.seed) for s in found if s.room in (*rooms, "saes")} | {*trained}

    def lacks(point: tuple[str, int]) -> bool:
        folders = (plan.point_folder(room, *point) for room in rooms)
        return any(not Path(folder, "manifest.json").exists() for folder in folders)

    return [point for point in plan.points if point in fallen or lacks(point)]


def seeds_to_compare(
    plan: Plan, found: Iterable[Stale], trained: Collection[tuple[str, int]]
) -> bool:
    """Tell whether a comparison of seeds has to be made; see `points_to_measure`."""
    fallen = any(s.room in ("stability", "saes") for s in found)
    paths = plan.stability_manifests().values()
    return bool(paths) and (fallen or bool(trained) or not all(Path(p).exists() for p in paths))
