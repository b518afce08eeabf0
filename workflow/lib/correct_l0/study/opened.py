"""A configuration as plans, with all that can be checked in a moment about what it names.

Imported whenever Snakemake parses the workflow, so nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from correct_l0.study.config import parse_study
from correct_l0.study.imports import with_found
from correct_l0.study.named import named_by
from correct_l0.study.plan import CACHES, RESULTS, Plan
from correct_l0.study.rounds import follow


def open_plans(raw: Mapping[str, Any], folder: Path | str = "") -> list[Plan]:
    """Check a configuration; return the plans of its sweeps.

    Parameters
    ----------
    raw
        The configuration.
    folder
        Its own folder, which relative paths start from.

    Returns
    -------
    list of Plan
        One for each sweep of the study, a search with the points of all its rounds so far.

    Raises
    ------
    InputError
        One line per problem: the value, the limit, the remedy.
    """
    base = Path(folder).absolute()
    studies = parse_study(raw, lambda file: with_found(file, raw, base, RESULTS))
    named = named_by(studies, base, RESULTS, CACHES)
    return [
        follow(Plan(study.model_copy(update=named.sections), named.places, doubts=named.doubts))
        for study in studies
    ]


def open_plan(raw: Mapping[str, Any], folder: Path | str = "") -> Plan:
    """Return the plan of a study of one sweep; see `open_plans`."""
    (plan,) = open_plans(raw, folder)
    return plan
