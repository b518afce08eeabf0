"""Which points of a study have to be trained, as far as their files tell before a run.

Imported whenever Snakemake parses the workflow, so nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from correct_l0.provenance.stale import Stale
from correct_l0.study.plan import Plan
from correct_l0.why.kept import can_be_put_back


def points_to_train(plan: Plan, found: Iterable[Stale]) -> list[tuple[str, int]]:
    """Return the points whose training certainly has to begin or to go on.

    Left out are SAEs that stand and those that were finished before and only have to be put back.
    Where the activations are not there, both are taken at their word until they are made again.

    Parameters
    ----------
    plan
        The study.
    found
        What `stale.find` says of it.
    """
    stale = list(found)
    cache = Path(plan.cache_folder)
    sealed = cache / "manifest.json"
    if {s.path for s in stale} & {str(sealed), str(cache / "text" / "manifest.json")}:
        # Activations of another recipe, or damaged: every SAE follows from them.
        return plan.points
    reasons = {(s.l0, s.seed): s.reason for s in stale if s.room == "saes"}
    there = sealed.exists()
    return [
        point
        for point, path in zip(plan.points, plan.manifests("saes"), strict=True)
        if (point in reasons or not Path(path).exists())
        and not can_be_put_back(plan, *point, reasons.get(point), same_activations=there)
    ]
