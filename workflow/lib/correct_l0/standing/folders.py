"""Whether the folders that a run writes to can be written, and Snakemake's own records be read."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from correct_l0.errors import InputError
from correct_l0.standing.clock import read_by_jobs
from correct_l0.study.plan import Plan

RECORDS = (".snakemake/metadata", ".snakemake/incomplete")
"""Where Snakemake notes what each file was made with; a torn note ends it in a traceback."""


def check_records(folder: Path | str = "") -> None:
    """Refuse damaged notes of Snakemake's, which a study does without, or no place for new ones.

    Parameters
    ----------
    folder
        Where Snakemake runs.

    Raises
    ------
    InputError
        Naming the first, and the command that removes all of them.
    """
    home = Path(folder, ".snakemake")
    if not os.access(home if home.exists() else home.parent, os.W_OK):
        raise InputError(
            f"{home}: read-only here, and even -n writes to it; run in a copy, or name another "
            "folder with --directory"
        )
    wrong = [
        path
        for records in RECORDS
        for path in sorted(Path(folder, records).rglob("*"))
        if path.is_file() and not _is_note(path)
    ]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise InputError(
            f"{wrong[0]}{more}: a record of Snakemake's that is damaged or cannot be read; nothing "
            f"of the study is lost with it: rm {' '.join(shlex.quote(str(x)) for x in wrong)}"
        )


def _is_note(path: Path) -> bool:
    """Tell whether Snakemake can read a note; one that is no JSON it leaves aside by itself."""
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except json.JSONDecodeError:
        return True
    except (OSError, ValueError):
        return False


def check_writable(plans: Iterable[Plan]) -> None:
    """Refuse to run a study whose folders or results cannot be written.

    Raises
    ------
    InputError
        Naming the first of them.
    """
    for plan in plans:
        for folder in (plan.study_folder, plan.results, plan.source_folder):
            there = next(x for x in (Path(folder), *Path(folder).parents) if x.exists())
            _check_writable(there)
        for path in read_by_jobs(plan):
            if path.exists():
                _check_writable(path)


def _check_writable(path: Path) -> None:
    if os.access(path, os.W_OK):
        return
    raise InputError(
        f"{path}: read-only here, so that no job could write its results; let it be written "
        "(chmod -R u+w, where it is yours), or run in a copy; -n needs no more than reading"
    )
