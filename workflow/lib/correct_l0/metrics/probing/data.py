"""A task's prompts, labels and activations, and which rows train and test a probe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.sources.sae_probes import damaged, read_table, task_file

MAX_ROWS = 5000
MAX_TRAIN_ROWS = 1024
MIN_TEST_ROWS = 100
SPLIT_SEED = 42


@dataclass(frozen=True)
class Task:
    """A binary task.

    Attributes
    ----------
    prompts
        Texts, in the package's order.
    labels
        0 or 1: the position of each target among the sorted targets.
    """

    name: str
    prompts: list[str]
    labels: Int[np.ndarray, " rows"]


@dataclass(frozen=True)
class Split:
    """Rows of a task, in the order a probe sees them.

    Attributes
    ----------
    new
        Test rows whose prompt occurs nowhere in train.
    """

    train: Int[np.ndarray, " train"]
    test: Int[np.ndarray, " test"]
    new: Bool[np.ndarray, " test"]


def read_task(name: str) -> Task:
    """Return a task's prompts and labels.

    Raises
    ------
    InputError
        If sae-probes has no such task, or its data are damaged: a file cut off or not in UTF-8, a
        column or cells missing, not two classes, or too few rows of one to train and test on.
    """
    path, called = task_file(name), f"task '{name}'"
    table = read_table(path, called, ["prompt", "target"])
    if empty := int(table[["prompt", "target"]].isna().any(axis=1).sum()):
        raise damaged(called, f"{path}: {empty} of {len(table)} rows without a prompt or target")
    if not all(isinstance(prompt, str) for prompt in table["prompt"]):
        raise damaged(called, f"{path}: prompts that are no text")
    classes, labels = np.unique(table["target"].to_numpy(), return_inverse=True)
    if len(classes) != 2:
        raise damaged(called, f"{path}: {len(classes)} classes, not 2")
    if lacking := _lacking_rows(labels):
        raise damaged(called, f"{path}: {lacking}")
    return Task(name, table["prompt"].tolist(), labels.astype(np.int64))


def _lacking_rows(labels: Int[np.ndarray, " rows"]) -> str:
    """Return why rows cannot be split as `split_rows` does; empty where they can.

    Examples
    --------
    >>> _lacking_rows(np.tile([0, 1], 20)), _lacking_rows(np.tile([0, 1], 100))
    ('40 rows, at least 200 are needed', '')
    >>> _lacking_rows(np.repeat([0, 1], [180, 20]))
    '20 rows of class 1, at least 100 are needed'
    """
    if len(labels) < 2 * MIN_TEST_ROWS:
        return f"{len(labels)} rows, at least {2 * MIN_TEST_ROWS} are needed"
    used = labels[:MAX_ROWS]
    parts = _part_sizes(len(labels))
    for label, needed in (
        (0, sum(rows // 2 for rows in parts)),
        (1, sum(-(-rows // 2) for rows in parts)),
    ):
        if (found := int((used == label).sum())) < needed:
            return f"{found} rows of class {label}, at least {needed} are needed"
    return ""


def _part_sizes(rows: int) -> tuple[int, int]:
    """Return the numbers of train and test rows of a task with so many rows."""
    train_rows = min(rows - MIN_TEST_ROWS, MAX_TRAIN_ROWS)
    return train_rows, min(rows, MAX_ROWS) - train_rows - 1


def split_rows(
    labels: Int[np.ndarray, " rows"], train_rows: int, test_rows: int, seed: int = SPLIT_SEED
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Return train and test rows, half of each class (the odd row is of class 1), shuffled.

    The draws follow sae-probes' `get_train_test_indices` one by one, so that the same seed gives
    the same rows: train rows of class 1, of class 0, test rows of class 1, of class 0 from those
    left over, then the order of each part.

    Examples
    --------
    >>> train, test = split_rows(np.array([0, 1, 0, 1, 0, 1]), 3, 2)
    >>> sorted([*train, *test]) == sorted({*train, *test}), len(train), len(test)
    (True, 3, 2)
    """
    draw = np.random.RandomState(seed)
    classes = [np.flatnonzero(labels == label) for label in (1, 0)]
    parts = []
    for rows in (train_rows, test_rows):
        ones = -(-rows // 2)
        drawn = [
            draw.choice(members, size=size, replace=False)
            for members, size in zip(classes, (ones, rows - ones), strict=True)
        ]
        classes = [np.setdiff1d(m, d) for m, d in zip(classes, drawn, strict=True)]
        parts.append(np.concatenate(drawn))
    train, test = (draw.permutation(part) for part in parts)
    return train, test


def split_task(task: Task, seed: int = SPLIT_SEED) -> Split:
    """Return the protocol's split of a task: at most 1024 train rows, at least 100 left to test.

    References
    ----------
    Kantamneni et al., arXiv 2502.16681, section 3 (normal setting), as coded in sae-probes 0.4.2.
    """
    train, test = split_rows(task.labels[:MAX_ROWS], *_part_sizes(len(task.labels)), seed)
    seen = {task.prompts[row] for row in train}
    return Split(train, test, np.array([task.prompts[row] not in seen for row in test]))


def activations_file(folder: Path | str, cache: str, task: str, hook_name: str) -> Path:
    """Return where a task's activations are, in the package's layout."""
    return Path(folder) / f"model_activations_{cache}" / f"{task}_{hook_name}.pt"


def load_activations(path: Path, task: Task, d_in: int) -> Float[Tensor, "rows d_in"]:
    """Return a task's activations: one row per prompt, at its last token.

    Raises
    ------
    InputError
        If the file is missing or damaged, or has another shape than the task or the SAE needs.
    """
    manifest = path.parents[1] / "tasks" / f"{task.name}.json"
    remedy = f"delete {manifest} and run again"
    try:
        activations = torch.load(path, weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: missing; {remedy}") from None
    except Exception:  # torch raises several types for a torn file
        raise InputError(f"{path}: damaged, torch cannot read it; {remedy}") from None
    wanted = (len(task.prompts), d_in)
    if tuple(activations.shape) != wanted:
        raise InputError(f"{path}: shape {tuple(activations.shape)}, not {wanted}; {remedy}")
    return activations
