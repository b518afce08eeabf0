"""Which points of a study have to be trained and measured, as their files tell before a run.

Imported whenever Snakemake parses the workflow, so nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from correct_l0.provenance.findings import examine
from correct_l0.provenance.manifest import digest_of
from correct_l0.saes.finished import TRAINED
from correct_l0.stages import BY_RULE
from correct_l0.standing.stale import Stale
from correct_l0.study.plan import Plan


def is_trained(plan: Plan, l0: str, seed: int, *, same_activations: bool) -> bool:
    """Tell whether an SAE that is asked for is there, by the sizes of its large files.

    Parameters
    ----------
    plan
        The study.
    l0, seed
        The point.
    same_activations
        Whether the source stays as it is; if not, any will do.
    """
    stage = BY_RULE["train_sae"]
    sealed = Path(plan.source)
    found = examine(
        stage.room,
        Path(plan.point_folder(stage.room, l0, seed)) / TRAINED,
        stage=stage.rule,
        recipe=stage.recipe,
        parameters=stage.settings(plan, l0),
        inputs={"activations": digest_of(sealed) if same_activations and sealed.exists() else None},
        l0=l0,
        seed=seed,
        quick=True,
    )
    return found.wrong is None


def points_to_train(plan: Plan, found: Iterable[Stale]) -> list[tuple[str, int]]:
    """Return the points whose training certainly has to begin or to go on.

    Left out are SAEs that stand and those that are trained and only lack their manifest. Where the
    activations are not there, both are taken at their word until they are made again.

    Parameters
    ----------
    plan
        The study.
    found
        What `stale.find` says of it.
    """
    stale = list(found)
    sealed = Path(plan.source)
    staged = BY_RULE["stage_text"].result_of(plan)
    if {s.path for s in stale} & {str(sealed), str(staged)}:
        # Activations of another recipe, or damaged: every SAE follows from them.
        return plan.points
    fallen = {(s.l0, s.seed) for s in stale if s.room == "saes"}
    there = sealed.exists()
    return [
        point
        for point, path in zip(plan.points, plan.manifests("saes"), strict=True)
        if (point in fallen or not Path(path).exists())
        and not is_trained(plan, *point, same_activations=there)
    ]


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
