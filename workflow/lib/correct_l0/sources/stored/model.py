"""The model that somebody's rows are of, found for the prompts of probing."""

from __future__ import annotations

from pathlib import Path

from correct_l0.provenance.manifest import write_manifest
from correct_l0.sources.language_model.places import Places
from correct_l0.sources.language_model.settings import Prompted
from correct_l0.sources.language_model.staging import find_model, model_facts
from correct_l0.sources.stored import MODEL_RECIPE, MODEL_STAGE


def stage_model(path: Path | str, settings: str, name: str, places: Places) -> None:
    """Fetch the model where it is not there yet, check its hook, and write its record.

    Parameters
    ----------
    path
        The record.
    settings
        `Prompted.identity`.
    name
        What the prompts' files are named after.
    places
        Where a local model is.

    Raises
    ------
    InputError
        If the model cannot be had, or has no such hook or one of another width.
    """
    read = Prompted.of(settings, name)
    read = read.model_copy(update={"model": places.fill_model(read.model)})
    folder, commit = find_model(read)
    write_manifest(
        path,
        stage=MODEL_STAGE,
        recipe=MODEL_RECIPE,
        parameters=settings,
        inputs={},
        outputs=[],
        **model_facts(read.model, places, folder, commit),
    )
