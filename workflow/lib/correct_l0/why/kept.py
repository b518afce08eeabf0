"""What a training finds of an earlier one: a finished SAE, a checkpoint, a failure."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from correct_l0.provenance.chain import STAGES
from correct_l0.provenance.findings import examine
from correct_l0.provenance.manifest import digest_of, read_or_empty
from correct_l0.saes import RECIPE
from correct_l0.saes.finished import FOLDER as FINISHED
from correct_l0.study.plan import Plan


class Kept(NamedTuple):
    """What is left of a training's work because of what is there.

    Attributes
    ----------
    words
        What is there.
    left
        Part of the work that is left.
    perhaps
        Whether less may be left, which shows only once the activations are made again.
    """

    words: str
    left: float
    perhaps: bool = False


def kept(
    plan: Plan, l0: str, seed: int, reason: str | None, *, there: bool, same_activations: bool
) -> Kept | None:
    """Return what a training goes on from, or why it failed; None where there is nothing of it.

    Parameters
    ----------
    plan
        The study.
    l0, seed
        The point.
    reason
        Why its SAE does not stand, in the words of `stale`.
    there
        Whether there is an SAE.
    same_activations
        Whether the activations stay as they are.
    """
    folder, wanted = Path(plan.point_folder("saes", l0, seed)), plan.settings_sae(l0)
    if can_be_put_back(plan, l0, seed, reason, same_activations=same_activations):
        if not same_activations:
            which = "the activations" if reason else "they"
            words = f"put back from {FINISHED}/ if {which} come out the same"
            return Kept(words, 1.0, perhaps=True)
        return Kept(f"trained before, put back from {FINISHED}/ after a check", 0.0)
    if there or not same_activations:
        return None
    steps = plan.study.training(float(l0)).steps
    step = _checkpointed(folder / "checkpoint" / "index.json", wanted, seed)
    failure = read_or_empty(folder / "failure.json")
    told = [f"failed before: {failure.get('reason', 'no reason given')}"] if failure else []
    if step:
        told.append(f"going on from step {step:,} of {steps:,} (checkpoint)")
    return Kept("; ".join(told), 1 - step / steps) if told else None


def can_be_put_back(
    plan: Plan, l0: str, seed: int, reason: str | None, *, same_activations: bool
) -> bool:
    """Tell whether a finished SAE is what is asked for, by the sizes of its large files."""
    folder = Path(plan.point_folder("saes", l0, seed))
    sealed = Path(plan.cache_folder) / "manifest.json"
    stage, recipe = STAGES["saes"]
    found = examine(
        "saes",
        folder / FINISHED / "manifest.json",
        stage=stage,
        recipe=recipe,
        parameters=plan.settings_sae(l0),
        inputs={"activations": digest_of(sealed) if same_activations and sealed.exists() else None},
        l0=l0,
        seed=seed,
        quick=True,
    )
    if found.wrong or found.manifest is None:
        return False
    # Damage in place reaches the second name too.
    damaged = [name for name in found.manifest["outputs"] if f"{reason} ".startswith(f"{name} ")]
    return not any(_same_file(folder / name, folder / FINISHED / name) for name in damaged)


def _same_file(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _checkpointed(index: Path, settings: str, seed: int) -> int:
    """Return the step of a checkpoint of these settings and seed, 0 where there is none."""
    found = read_or_empty(index)
    identity = found.get("identity", {})
    theirs = [identity.get(key) for key in ("recipe", "settings", "seed")]
    return int(found["step"]) if theirs == [RECIPE, settings, seed] else 0
