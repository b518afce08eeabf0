"""A result that has to be made again, and why, in the words of the study's settings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from correct_l0.provenance.differences import differences
from correct_l0.provenance.findings import Finding

LOST = "not there (interrupted, failed or deleted)"


LONGEST_WORDS = 100


@dataclass(frozen=True)
class Stale:
    """A result that is or was there and has to be made again.

    Attributes
    ----------
    room
        `activations`, `weights`, `saes`, `decoder_metrics`, `probing`, `probing baselines`,
        `rounds`, `tables`, `train_on`, `verdict`, `self_check`, `frozen_control`, `figures`,
        `page` or `comparison`.
    l0, seed
        The point, where it is a point's.
    path
        An output of the rule that makes it.
    reason
        What changed, in the study's words.
    """

    room: str
    l0: str | None
    seed: int | None
    path: str
    reason: str


def describe(found: Iterable[Stale]) -> list[str]:
    """Return what is stale in as many lines as there are different reasons.

    Examples
    --------
    >>> describe([Stale("saes", "40", seed, "", "lr 0.1 -> 0.2") for seed in (0, 1)])
    ['saes l0 40 seed 0, l0 40 seed 1: lr 0.1 -> 0.2']
    >>> describe([Stale("saes", "40", seed, "", "lr 0.1 -> 0.2") for seed in range(9)])
    ['saes of 9 points: lr 0.1 -> 0.2']
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for s in found:
        of_seed = "" if s.seed is None else f" seed {s.seed}"
        where = "" if s.l0 is None else f"l0 {s.l0}{of_seed}"
        groups.setdefault((s.room, s.reason), []).append(where)
    lines = []
    for (room, reason), points in groups.items():
        many = len(points) > 4 and all(points)
        where = f"of {len(points)} points" if many else ", ".join(filter(None, points))
        lines.append(f"{room} {where}".rstrip() + f": {reason}")
    return lines


def reason_of(finding: Finding, has_followers: bool) -> str:
    """Return why a result has to be made again; empty where it stands or was never made."""
    wrong, folder = finding.wrong, finding.path.parent
    if wrong is None:
        return ""
    if not finding.path.exists():
        return LOST if has_followers else ""
    if wrong.settings:
        return changes(*wrong.settings)
    if wrong.path == finding.path:
        return wrong.words
    return f"{wrong.path.relative_to(folder)} {wrong.words}"


def changes(found: str, wanted: str) -> str:
    """Return the settings that changed, in few words.

    Examples
    --------
    >>> changes('{"training":{"lr":0.1},"n":[4,8]}', '{"training":{"lr":0.2},"n":[8,9]}')
    'n with 9, without 4; lr 0.1 -> 0.2'
    """
    try:
        changed = differences(found, wanted)
    except ValueError:
        return "unreadable settings"
    words = "; ".join(_change(key.removeprefix("training."), *rest) for key, *rest in changed)
    return words if len(words) <= LONGEST_WORDS else words[: LONGEST_WORDS - 3] + "..."


def _change(key: str, old: str, new: str) -> str:
    if old[:1] + new[:1] != "[[":
        return f"{key} {old} -> {new}"
    before, after = json.loads(old), json.loads(new)
    parts = [
        f"{word} {', '.join(map(str, values))}"
        for word, values in (
            ("with", [value for value in after if value not in before]),
            ("without", [value for value in before if value not in after]),
        )
        if values
    ]
    return f"{key} {', '.join(parts) or 'in another order'}"
