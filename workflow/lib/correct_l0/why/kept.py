"""What a training finds of an earlier one: an SAE, a checkpoint, a failure."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from correct_l0.provenance.manifest import read_or_empty
from correct_l0.saes.settings import parse_settings
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
    if not same_activations:
        stands = there and reason is None
        return Kept("stands if they come out the same", 1.0, perhaps=True) if stands else None
    folder, wanted = Path(plan.point_folder("saes", l0, seed)), plan.settings_sae(l0)
    steps = plan.study.training(float(l0)).steps
    step = _checkpointed(folder / "checkpoint" / "index.json", wanted, seed)
    failure = read_or_empty(folder / "failure.json")
    told = [f"failed before: {failure.get('reason', 'no reason given')}"] if failure else []
    if step:
        told.append(f"going on from step {step:,} of {steps:,} (checkpoint)")
    return Kept("; ".join(told), 1 - step / steps) if told else None


def _checkpointed(index: Path, settings: str, seed: int) -> int:
    """Return the step of a checkpoint of these settings and seed, 0 where there is none."""
    found = read_or_empty(index)
    identity = found.get("identity", {})
    recipe = parse_settings(settings).recipe
    theirs = [identity.get(key) for key in ("recipe", "settings", "seed")]
    return int(found["step"]) if theirs == [recipe, settings, seed] else 0
