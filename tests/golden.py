"""Holding the stages' numbers against their records, and recording them anew."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from golden_numbers import STAGES, Golden

FOLDER = Path(__file__).parent / "unit" / "golden"


def golden_file(stage: str) -> Path:
    """Return where a stage's numbers are recorded."""
    return FOLDER / f"{stage}.json"


def differences(golden: Golden, recorded: Any, found: Any) -> Iterator[str]:
    """Yield every number that is further from its record than the tolerance, by its name."""
    old, new = dict(leaves(recorded)), dict(leaves(found))
    for name in [*old, *(name for name in new if name not in old)]:
        a, b = old.get(name, "absent"), new.get(name, "absent")
        if isinstance(a, float | int) and isinstance(b, float | int):
            same = math.isclose(a, b, rel_tol=golden.relative, abs_tol=golden.absolute)
        else:
            same = a == b
        if not same:
            yield f"{name}: {a} -> {b}"


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the names and values of a nested structure; NaN counts as null."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from leaves(item, f"{name}[{i}]")
    else:
        yield name, None if isinstance(value, float) and math.isnan(value) else value


def check(stage: str) -> None:
    """Hold a stage's numbers against those recorded for its recipe.

    Raises
    ------
    AssertionError
        Naming what changed, the constant to bump, its file, and the command that records anew.
    """
    golden, path = STAGES[stage], golden_file(stage)
    renew = f"`python tests/unit/golden/renew.py {stage}`"
    recorded = json.loads(path.read_text())
    if recorded["recipe"] != golden.recipe:
        raise AssertionError(
            f"{path.name} holds the numbers of {golden.constant} {recorded['recipe']}, "
            f"{golden.file} says {golden.recipe}: record the new numbers with {renew}"
        )
    changed = list(differences(golden, recorded["numbers"], golden.compute()))
    if changed:
        few = "; ".join(changed[:5]) + (f"; and {len(changed) - 5} more" if changed[5:] else "")
        others = "".join(
            f" They were recorded with {name} {recorded['made_with'][name]}, here is {here}."
            for name, here in golden.versions.items()
            if here != recorded["made_with"][name]
        )
        raise AssertionError(
            f"stage {stage} computes other numbers than those of {golden.constant} "
            f"{golden.recipe} ({few}).{others} If that is meant, set {golden.constant} = "
            f"{golden.recipe + 1} in {golden.file}, so that results of the old numbers are made "
            f"again, and record the new ones with {renew}"
        )


def renew(stages: Sequence[str]) -> int:
    """Record the numbers of stages anew; return the exit status.

    Refused while a stage's recipe is the recorded one: results of the old numbers would be kept.
    """
    if not stages or set(stages) - set(STAGES):
        print(f"usage: renew.py STAGE...; stages: {', '.join(STAGES)}", file=sys.stderr)
        return 2
    for stage in stages:
        golden, path = STAGES[stage], golden_file(stage)
        if path.exists() and json.loads(path.read_text())["recipe"] == golden.recipe:
            print(
                f"error: {path.name} already holds the numbers of {golden.constant} "
                f"{golden.recipe}; set {golden.constant} = {golden.recipe + 1} in {golden.file} "
                "first, so that results of the old numbers are made again",
                file=sys.stderr,
            )
            return 1
        made_with = {"made_with": golden.versions} if golden.made_with else {}
        numbers = plain(golden.compute())
        content = {"recipe": golden.recipe, **made_with, "numbers": numbers}
        path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
        print(f"{path.name}: {sum(1 for _ in leaves(content['numbers']))} values")
    return 0


def plain(value: Any) -> Any:
    """Return a value fit for JSON: NaN becomes null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
