"""The probing tasks: their names, their cost, and the default subset.

Read from the package's data files without importing the package, which takes seconds: the
workflow asks for task names whenever it is parsed.
"""

from __future__ import annotations

import csv
import difflib
import importlib.util
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import zstandard

from correct_l0.errors import InputError

CHARACTERS_PER_PROMPT = 4096
"""About 1024 tokens: what the protocol keeps of a prompt."""

CHARACTERS_PER_ROW = 100
"""A row costs about as much to probe, in a sweep of 18 SAEs, as 25 tokens cost to embed."""

DEFAULT_COUNT = 25

# Chosen by cost alone: the 25 cheapest tasks by `task_cost`, cheapest first. Which SAE they favour
# was not looked at.
DEFAULT_TASKS = (
    "117_us_state_FL",
    "119_us_state_TX",
    "118_us_state_CA",
    "131_temp_cat_Typical Time",
    "130_temp_cat_Frequency",
    "132_temp_cat_Event Ordering",
    "41_truthqa_tf",
    "134_context_type_Belief_states",
    "133_context_type_Causality",
    "135_context_type_Event_duration",
    "156_athlete_sport_baseball",
    "155_athlete_sport_basketball",
    "154_athlete_sport_football",
    "129_arith_mc_A",
    "24_headline_isiran",
    "95_toxic_is",
    "125_world_country_Italy",
    "123_world_country_United_Kingdom",
    "124_world_country_United_States",
    "22_headline_isobama",
    "114_nyc_borough_Manhattan",
    "116_nyc_borough_Bronx",
    "115_nyc_borough_Brooklyn",
    "96_spam_is",
    "23_headline_ischina",
)


@cache
def data_folder() -> Path:
    """Return the folder of sae-probes' data.

    Raises
    ------
    InputError
        If the package is not installed.
    """
    spec = importlib.util.find_spec("sae_probes")
    if spec is None or spec.origin is None:
        raise InputError("package sae-probes is not installed; install envs/requirements.lock")
    return Path(spec.origin).parent / "data"


@cache
def _task_files() -> dict[str, Path]:
    folder = data_folder()
    with open(folder / "probing_datasets_MASTER.csv.zst", "rb") as file:
        table = zstandard.ZstdDecompressor().stream_reader(file).read().decode()
    names = [
        row["Dataset save name"]
        for row in csv.DictReader(io.StringIO(table))
        if row["Data type"] == "Binary Classification"
    ]
    return {Path(name).stem: folder / f"{name}.zst" for name in names}


def known_tasks() -> tuple[str, ...]:
    """Return the names of all binary tasks of sae-probes, in its order.

    Examples
    --------
    >>> len(known_tasks()), known_tasks()[0]
    (113, '5_hist_fig_ismale')
    """
    return tuple(_task_files())


def task_file(task: str) -> Path:
    """Return the compressed table of a task: columns `prompt` and `target`."""
    check_tasks([task])
    return _task_files()[task]


def default_tasks() -> tuple[str, ...]:
    """Return the default subset: the 25 cheapest tasks by `task_cost`."""
    return DEFAULT_TASKS


def resolve_tasks(tasks: str | Sequence[str]) -> tuple[str, ...]:
    """Return the task names that a setting stands for: `all`, `default`, `none` or a list.

    Raises
    ------
    InputError
        If a name is unknown to sae-probes.

    Examples
    --------
    >>> resolve_tasks(["96_spam_is"]), len(resolve_tasks("all"))
    (('96_spam_is',), 113)
    """
    if isinstance(tasks, str):
        return {"all": known_tasks(), "default": default_tasks(), "none": ()}[tasks]
    check_tasks(tasks)
    return tuple(tasks)


def check_tasks(tasks: str | Sequence[str]) -> None:
    """Refuse task names that sae-probes does not have.

    Raises
    ------
    InputError
        One line per unknown name, with the nearest known one.
    """
    if isinstance(tasks, str):
        return
    known = known_tasks()
    lines = []
    for task in tasks:
        if task not in known:
            near = difflib.get_close_matches(task, known, n=1, cutoff=0.0)[0]
            lines.append(
                f"task '{task}' is not one of the {len(known)} binary tasks of sae-probes; "
                f"did you mean '{near}'?"
            )
    if lines:
        raise InputError("\n".join(lines))


def task_cost(prompts: Sequence[str]) -> int:
    """Return what a task costs, in characters to embed.

    Each distinct prompt counts with its length, at most 4096 characters; each row counts 100.

    Examples
    --------
    Two distinct prompts of 3 and 5 characters, three rows:

    >>> task_cost(["one", "three", "one"])
    308
    """
    embedded = sum(min(len(prompt), CHARACTERS_PER_PROMPT) for prompt in set(prompts))
    return embedded + CHARACTERS_PER_ROW * len(prompts)
