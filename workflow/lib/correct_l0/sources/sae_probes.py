"""The probing tasks: their names, their cost, and the default subset.

Read from the package's data files without importing the package, which takes seconds: the
workflow asks for task names whenever it is parsed.
"""

from __future__ import annotations

import csv
import difflib
import importlib.metadata
import importlib.util
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from correct_l0.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

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


def read_bytes(path: Path, name: str) -> bytes:
    """Return what one of the package's compressed files holds; `name` is what a person calls it.

    Raises
    ------
    InputError
        If it is missing, cannot be read, is cut off or is not compressed by zstd.
    """
    # Only who probes needs it.
    import zstandard

    unpacked = zstandard.ZstdDecompressor().decompressobj()
    try:
        data = unpacked.decompress(path.read_bytes())
    except OSError as error:
        raise damaged(name, f"{path}: {error.strerror}") from None
    except zstandard.ZstdError as error:
        raise damaged(name, f"{path}: {error}") from None
    # A file that is cut off would be taken for one that ends there.
    if not unpacked.eof:
        raise damaged(name, f"{path}: cut off")
    return data


def read_table(path: Path, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """Return columns of one of the package's tables; `name` is what a person calls it.

    Raises
    ------
    InputError
        If the file is damaged, is no table in UTF-8, or lacks a column or all rows.
    """
    import pandas as pd

    try:
        table = pd.read_csv(io.BytesIO(read_bytes(path, name)))
    except InputError:
        raise
    except ValueError as error:
        # Those of pandas' parser and of decoding are all of this kind.
        raise damaged(name, f"{path}: {' '.join(str(error).split())}") from None
    if missing := [column for column in columns if column not in table]:
        raise damaged(name, f"{path}: no column {', '.join(missing)}")
    if not len(table):
        raise damaged(name, f"{path}: no rows")
    return table


def damaged(name: str, reason: str) -> InputError:
    """Return the error for data of the package that cannot be used."""
    version = importlib.metadata.version("sae-probes")
    return InputError(
        f"{name}: its data cannot be used ({reason}); install them again: "
        f"pip install --force-reinstall --no-deps sae-probes=={version}"
    )


@cache
def _task_files() -> dict[str, Path]:
    folder, name = data_folder(), "sae-probes' list of tasks"
    path = folder / "probing_datasets_MASTER.csv.zst"
    try:
        rows = list(csv.DictReader(io.StringIO(read_bytes(path, name).decode())))
        names = [
            row["Dataset save name"] for row in rows if row["Data type"] == "Binary Classification"
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise damaged(name, f"{path}: {error}") from None
    except KeyError as error:
        raise damaged(name, f"{path}: no column {error.args[0]}") from None
    if not names:
        raise damaged(name, f"{path}: no rows")
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
        # Who wants no task needs no sae-probes.
        return {"all": known_tasks, "default": default_tasks, "none": tuple}[tasks]()
    check_tasks(tasks)
    return tuple(tasks)


def check_tasks(tasks: str | Sequence[str]) -> None:
    """Refuse task names that sae-probes does not have, and tasks whose file is missing.

    Raises
    ------
    InputError
        One line per task; of an unknown one with the nearest known name.
    """
    named = resolve_tasks(tasks) if isinstance(tasks, str) else tasks
    known = known_tasks() if named else ()
    lines = []
    for task in named:
        if task not in known:
            near = difflib.get_close_matches(task, known, n=1, cutoff=0.0)[0]
            lines.append(
                f"task '{task}' is not one of the {len(known)} binary tasks of sae-probes; "
                f"did you mean '{near}'?"
            )
        elif not _task_files()[task].is_file():
            lines.append(str(damaged(f"task '{task}'", f"{_task_files()[task]}: missing")))
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
