"""Files dated in the future, which no result that is made from them can be newer than.

Snakemake holds the date of what a job made against that of what it was made from, and only once the
job has ended: a training of hours would be for nothing.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from correct_l0.errors import InputError
from correct_l0.stages import STAGES
from correct_l0.study.plan import Plan

TOLERATED_S = 60.0
"""Machines that share a disk may differ by so much."""

FOLDERS = sorted(
    {
        Path(stage.result).parts[0]
        for stage in STAGES
        if stage.of in ("round", "report") and "/" in stage.result
    }
)
"""Folders of a study whose files its jobs read."""


def check_dates(plans: Iterable[Plan]) -> None:
    """Refuse a study some of whose files are dated in the future.

    Raises
    ------
    InputError
        Naming the latest, and the command that mends all of them.
    """
    now = time.time()
    ahead = {
        path: date
        for plan in plans
        for path in read_by_jobs(plan)
        if (date := _date(path)) > now + TOLERATED_S
    }
    if not ahead:
        return
    latest = max(ahead, key=ahead.__getitem__)
    told = datetime.fromtimestamp(ahead[latest]).strftime("%Y-%m-%d %H:%M")
    today = datetime.fromtimestamp(now).strftime("%Y-%m-%d %H:%M")
    more = f" and {len(ahead) - 1} more" if len(ahead) > 1 else ""
    folders = sorted({path.parent for path in ahead})
    mend = f"touch {shlex.quote(str(latest))}"
    if len(ahead) > 1:
        where = " ".join(shlex.quote(str(folder)) for folder in _outermost(folders))
        mend = f"find {where} -newermt now -exec touch {{}} +"
    raise InputError(
        f"{latest}{more}: dated {told}, and it is {today} here: nothing made from it would count "
        f"as newer; where the clock is right: {mend}"
    )


def read_by_jobs(plan: Plan) -> list[Path]:
    """Return the files of a study that its jobs read and Snakemake knows, there or not."""
    source, results = Path(plan.source_folder), Path(plan.results)
    rooms = ("saes", *plan.rooms)
    named = [
        *(source / name for name in ("manifest.json", "cache.json", "text/manifest.json")),
        *map(Path, plan.task_manifests().values()),
        *(Path(path) for room in rooms for path in plan.manifests(room)),
        *map(Path, plan.stability_manifests().values()),
        *map(Path, plan.baselines_manifest()),
    ]
    found = (
        path
        for folder in (source / "parts", *(results / name for name in FOLDERS))
        for path in folder.glob("*")
        if path.is_file()
    )
    return [*named, *found]


def _date(path: Path) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _outermost(folders: list[Path]) -> list[Path]:
    return [
        f for f in folders if not any(f != other and f.is_relative_to(other) for other in folders)
    ]
