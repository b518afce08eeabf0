"""What is said of SAEs that exist already: which are too low, and what of them is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from correct_l0.reading import remedy
from correct_l0.reading.peak import FEWEST_POINTS
from correct_l0.reading.reading import FALLS, READ
from correct_l0.reading.verdict import Decision
from correct_l0.report.names import Names, join
from correct_l0.settings.base import format_l0

MOVES_C_DEC = {
    "matryoshka_batchtopk": "nested losses",
}
"""Architectures whose loss moves the level of c_dec, and what does it."""


@dataclass(frozen=True)
class Imported:
    """What is known of an imported sweep.

    Attributes
    ----------
    family
        The architecture, as names and files tell it.
    has_rows
        Whether there are activations, or the weights alone.
    """

    family: str
    has_rows: bool


def too_low_line(decision: Decision, names: Names, grid: Sequence[float]) -> str:
    """Return which SAEs have an L0 that is too low, where the curves say; else nothing.

    Those whose L0 is at or below the lower end of the answer: the last on the rise of the curves.
    That c_dec alone still falls at the end of the grid says nothing of them.
    """
    bound = {READ: decision.low, FALLS: grid[-2] if len(grid) > 1 else None}.get(decision.outcome)
    if bound is None or (decision.is_hint and decision.outcome == FALLS):
        return ""
    below = [x for x in grid if x <= bound]
    if not below:
        return "Of these SAEs none is clearly too low."
    ones = "SAE" if len(below) == 1 else "SAEs"
    hint = "By this hint too low" if decision.is_hint else "Too low"
    return f"{hint} is the L0 of the {ones} at {names.list(below)}."


def imported_caveats(imported: Imported, points: pd.DataFrame) -> list[str]:
    """Return what is not known of imported SAEs, and what speaks against comparing them.

    Parameters
    ----------
    imported
        What they are.
    points
        One row per SAE: `l0`, `seed` and, where known, `training_steps`.
    """
    said = [
        "These SAEs were not trained here: their initialisation and the course of their training "
        "are unknown, and with them whether it was long enough."
    ]
    seeds = points.groupby("l0")["seed"].nunique()
    if len(points) > 1 and (seeds > 1).sum() == 0:
        said.append(
            "There is no second seed: whether another finds the same latents is unknown. "
            + f"{'c_dec and s_n^dec give' if imported.has_rows else 'c_dec alone gives'} a hint."
        )
    elif 0 < (seeds > 1).sum() < len(seeds):
        where = join([format_l0(x) for x in seeds.index[seeds > 1]])
        said.append(f"Only at L0 {where} are there two SAEs: the spread elsewhere is unknown.")
    if not imported.has_rows:
        said.append(
            "L0 is as announced, and not measured: only weights were read. s_n^dec, dead latents "
            "and reconstruction are unknown."
        )
    steps = points.get("training_steps", pd.Series(dtype=float)).dropna().astype(float)
    if steps.max() > 1.05 * steps.min():
        said.append(
            f"Their trainings differ in length, {steps.min():,.0f} to {steps.max():,.0f} steps, "
            "which moves c_dec by itself."
        )
    said.append(_of_overlap(points.get("overlap_loss")))
    if why := MOVES_C_DEC.get(imported.family):
        said.append(
            f"The loss of {imported.family} SAEs ({why}) moves the level of c_dec: compare this "
            "curve with none of another architecture."
        )
    return [line for line in said if line]


def _of_overlap(told: pd.Series | None) -> str:
    """Return what is known of a term of the loss on the overlap of decoder rows.

    Parameters
    ----------
    told
        By SAE, as `layouts.overlap_loss` returns it.
    """
    known = [] if told is None else [x for x in told if isinstance(x, str)]
    if words := sorted({x for x in known if x}):
        return (
            f"Their loss keeps decoder rows apart ({join(words)}), which lowers c_dec by itself, "
            "whatever L0 is right: compare its level with none of another loss."
        )
    if told is not None and len(known) == len(told):
        return ""
    return (
        "Whether their loss has a term that keeps decoder rows apart (orthogonality) is unknown: "
        "no file tells it, and it would lower c_dec by itself."
    )


def next_of_imported(decision: Decision) -> Mapping[str, str | None]:
    """Return what would help, where no SAE can be trained: a sentence, and no line to add."""
    if decision.is_hint:
        return {
            "sentence": f"Two SAEs of each of {FEWEST_POINTS} L0 or more would tell.",
            "line": None,
        }
    added = join([format_l0(x) for x in decision.add_l0])
    sentence = {
        remedy.MORE_POINTS: "Name more SAEs of this layer and width: a curve is read from three L0 "
        "on. Of a single SAE train_on tells whether its L0 is too low.",
        remedy.ADD_POINTS: f"An SAE at L0 {added} would tell; this sweep has none.",
        remedy.NOTHING: "No further L0 point would narrow this answer.",
        remedy.WIDEN: "The sweep reaches half of its latents: a wider one would tell.",
        remedy.RAISE_N: "Raise n above the L0 in question, at most to d_sae / 2.",
    }.get(decision.remedy, "A sweep that was trained longer, or has fewer latents, would tell.")
    return {"sentence": sentence, "line": None}
