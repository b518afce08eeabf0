"""The first rule of a cache: model found or downloaded, text staged, `cache.json` written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from correct_l0.provenance.manifest import read_manifest, write_json
from correct_l0.sources.language_model.checks import cache_record, check_inputs, check_model_config
from correct_l0.sources.language_model.language_model import LanguageModel
from correct_l0.sources.language_model.model_files import (
    check_model_unchanged,
    describe_model,
    download,
    local_folder,
    read_model_config,
    staged_folder,
)
from correct_l0.sources.language_model.places import Places
from correct_l0.sources.language_model.settings import Activations, Model, Prompted
from correct_l0.sources.language_model.store import full_disk_named
from correct_l0.sources.language_model.text import stage_text
from correct_l0.sources.language_model.tokenizer import load_tokenizer

# Hooks of every architecture whose blocks run attention and MLP one after the other. Any other name
# is held against the model itself, which then has to be loaded.
COMMON_HOOKS = (
    "hook_resid_pre",
    "hook_resid_mid",
    "hook_resid_post",
    "hook_attn_out",
    "hook_mlp_out",
)


def stage(activations: Activations, places: Places, cache: Path) -> None:
    """Fetch what needs the network, check the hook, write the text and `cache.json`.

    Parameters
    ----------
    activations
        Settings of the cache.
    places
        Where a local model and text are.
    cache
        Its folder.

    Raises
    ------
    InputError
        If the model, the hook or the text cannot be used.
    """
    a = places.fill(activations)
    check_inputs(a)
    folder, commit = find_model(a)
    with full_disk_named(cache):
        stage_text(activations, load_tokenizer(folder), cache / "text", places)
        facts = model_facts(a.model, places, folder, commit)
        write_json(cache / "cache.json", cache_record(activations, **facts))


def find_model(read: Activations | Prompted) -> tuple[Path, str | None]:
    """Return the folder of a model, of the hub with its commit: downloaded, its hook checked.

    Raises
    ------
    InputError
        If it cannot be had, or has no such hook.
    """
    folder, commit = local_folder(read.model), None
    if folder is None:
        folder, commit = download(read.model)
        check_model_config(read_model_config(folder), read)
    if read.hook_name.rpartition(".")[2] not in COMMON_HOOKS:
        LanguageModel.of(folder, read, "cpu")
    return folder, commit


def model_facts(model: Model, places: Places, folder: Path, commit: str | None) -> dict[str, Any]:
    """Return what is recorded of a model that was found."""
    return {
        "model_name": Path(places.model).name or model.source,
        "places": vars(places),
        "model": describe_model(folder, commit),
    }


def load_staged_model(
    read: Activations | Prompted, places: Places, cache: Path, device: str
) -> LanguageModel:
    """Return the model that a source was staged with.

    Raises
    ------
    InputError
        If its files are gone or changed, or it has no such hook.
    """
    record = read_manifest(cache / "cache.json")["model"]
    folder = staged_folder(places.fill_model(read.model), record["commit"])
    check_model_unchanged(folder, record)
    return LanguageModel.of(folder, read, device)
