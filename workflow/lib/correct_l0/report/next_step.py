"""What to do next, in a sentence and a line of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from correct_l0.reading import remedy
from correct_l0.reading.peak import FEWEST_POINTS, NO_PEAK
from correct_l0.reading.reading import FALLS, TOO_HIGH
from correct_l0.reading.remedy import LONGER, MUCH_LONGER
from correct_l0.reading.verdict import Decision
from correct_l0.report import words
from correct_l0.settings.base import format_l0


def next_step(
    decision: Decision,
    l0: list[float],
    training_tokens: int,
    d_sae: int,
    section: str,
    by_coefficient: bool,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Return what to do next: a sentence and the line for the configuration."""
    if len(seeds) < 2 and (decision.is_hint or decision.remedy == remedy.NOTHING):
        points = f" at {FEWEST_POINTS} L0 or more" if len(l0) < FEWEST_POINTS else ""
        return {
            "sentence": f"Train a second seed{points}: the answer is where two agree best.",
            "line": f"saes.seeds: [{seeds[0]}, {seeds[0] + 1}]",
        }
    if decision.is_hint and len(l0) < FEWEST_POINTS:
        points = f"{FEWEST_POINTS} or more"
        return {"sentence": f"Add L0 points: of {points} the agreement is read.", "line": None}
    sentence, line = {
        remedy.TRAIN: (
            f"Train longer, for example on {LONGER * training_tokens:,} tokens.",
            f"saes.training.training_tokens: {LONGER * training_tokens}",
        ),
        remedy.TRAIN_OR_NARROW: (
            f"Train longer (for example on {MUCH_LONGER * training_tokens:,} tokens) or use fewer "
            f"latents (for example {d_sae // 2:,}); neither is sure to help.",
            f"saes.training.training_tokens: {MUCH_LONGER * training_tokens}",
        ),
        remedy.WIDEN: (
            f"Use more latents: the grid reaches half of d_sae, {d_sae // 2:,}, and no L0 above "
            "that is read.",
            f"saes.d_sae: {2 * d_sae}",
        ),
        remedy.RAISE_N: (words.RAISE_IT, None),
        remedy.DROP_ROWS: (
            "Leave the rows of massive norm out of training and metrics.",
            f"{section}.outlying.rows: drop",
        ),
        remedy.MORE_POINTS: ("Add L0 points: a curve is read from three on.", None),
        remedy.NOTHING: ("No further L0 point would narrow this answer.", None),
        remedy.ADD_POINTS: _points_to_add(decision, l0, by_coefficient),
    }[decision.remedy]
    return {"sentence": sentence, "line": line}


def _points_to_add(
    decision: Decision, l0: list[float], by_coefficient: bool
) -> tuple[str, str | None]:
    added = ", ".join(format_l0(x) for x in decision.add_l0)
    why = {FALLS: "to see where the fall ends", TOO_HIGH: "to see the rise at low L0"}
    why[NO_PEAK] = "to see whether there is a peak below"
    if by_coefficient:
        reason = why.get(decision.outcome, "to narrow the interval")
        return f"Add coefficients that end near L0 {added} {reason}.", None
    grid = ", ".join(format_l0(x) for x in sorted({*l0, *decision.add_l0}))
    return (
        f"Add L0 {added} {why.get(decision.outcome, 'to narrow the interval')}; "
        "only the new points are trained.",
        f"saes.l0: [{grid}]",
    )
