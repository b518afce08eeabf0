"""What names and small files tell of the loss that an SAE was trained with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

OVERLAP = re.compile(r"(?<![a-z])ortho|Ortho|(?<![a-zA-Z])(?:ort|Ort|ORT)[_-]?(?:sae|SAE)")

PLAIN_TRAINERS = {
    "StandardTrainer", "StandardTrainerAprilUpdate", "PAnnealTrainer", "GatedSAETrainer",
    "GatedAnnealTrainer", "JumpReluTrainer", "TopKTrainer", "BatchTopKTrainer",
    "MatryoshkaBatchTopKTrainer",
}  # fmt: skip
"""Trainers of dictionary_learning, none of whose losses has a term on the overlap of rows."""


def overlap_loss(path: str, files: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return what tells that a loss has a term on the overlap of decoder rows.

    No layout has a field for it. What a person who adds such a term writes down is a setting, a
    class or a name with orthogonality in it; how the decoder starts is another matter. The trainers
    of dictionary_learning have none, and its files list all of their settings.

    Parameters
    ----------
    path
        Repository and name of the SAE.
    files
        Its JSON files.

    Returns
    -------
    str or None
        The words that tell; empty where the files tell that there is none; None where nothing does.

    Examples
    --------
    >>> overlap_loss("me/OrtSAE_16k/k_32", {})
    'its name OrtSAE_16k'
    >>> trainer = {"trainer_class": "BatchTopKTrainer", "ortho_coef": 0.25}
    >>> overlap_loss("me/mine", {"/config.json": {"trainer": trainer}})
    'trainer.ortho_coef 0.25'
    >>> overlap_loss("me/mine", {"/config.json": {"trainer": {**trainer, "ortho_coef": 0.0}}})
    ''
    """
    settings = [setting for content in files.values() for setting in _flat(content)]
    for key, value in settings:
        words = f"{key} {value}" if isinstance(value, str) else key if value else ""
        if OVERLAP.search(words) and "init" not in key:
            return f"{key} {value}"
    if named := [part for part in path.split("/") if OVERLAP.search(part)]:
        return f"its name {named[0]}"
    trainers = {value for key, value in settings if key == "trainer.trainer_class"}
    return "" if trainers and trainers <= PLAIN_TRAINERS else None


def _flat(content: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings of a JSON file as (keys with dots, value)."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{start}{key}.")
        else:
            yield f"{start}{key}", value
