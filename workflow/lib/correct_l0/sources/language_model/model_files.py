"""Where a language model's files are. No torch: this runs whenever the workflow is parsed."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import sha256_of
from correct_l0.sources.language_model.settings import Model

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
NEEDED = ("*.safetensors", "*.json", "tokenizer*", "*.model", "vocab*", "merges*")
TOKENIZER = ("tokenizer*", "*.model", "vocab*", "merges*", "special_tokens*", "added_tokens*")


def is_local(source: str, base: Path = Path()) -> bool:
    """Tell whether a model's source is a folder, seen from `base`, rather than a hub name."""
    if source.startswith("package:"):
        return False
    return source.startswith(("/", ".", "~")) or (base / source).is_dir()


def refuse_unlikely_hub_name(source: str, base: Path) -> None:
    """Refuse what is neither hub name nor package, or a hub name that looks like a folder.

    Raises
    ------
    InputError
        With the folder that was looked in.
    """
    if source.startswith("package:"):
        return
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source):
        raise InputError(
            f"model source {source!r} is neither a folder that exists (looked in {base}), a hub "
            "name such as 'google/gemma-2-2b' nor 'package:<module>'; correct it"
        )
    first, slash, _ = source.partition("/")
    beside = next((each for each in (base, Path.cwd()) if slash and (each / first).is_dir()), None)
    if beside is not None:
        raise InputError(
            f"model folder {source!r} does not exist (looked in {base}), but {beside / first} "
            "does; correct model.source: a path is relative to the configuration file"
        )


def local_folder(model: Model) -> Path | None:
    """Return the folder of a local or packaged model, None for a hub name.

    Raises
    ------
    InputError
        If the package is not installed or carries no model, or the folder does not exist, has no
        config.json or no weights.
    """
    source = model.source
    if source.startswith("package:"):
        folder = _package_folder(source)
    elif is_local(source):
        folder = Path(source).expanduser()
    else:
        return None
    if not folder.is_dir():
        raise InputError(
            f"model folder {source!r} does not exist; correct model.source: a path is relative to "
            "the configuration file"
        )
    if not (folder / "config.json").is_file():
        raise InputError(f"model folder {source!r} has no config.json; name a folder that has one")
    if not weight_files(folder):
        raise InputError(
            f"model folder {source!r} has no weights, needed is one of {', '.join(WEIGHTS)}; "
            "download the model with its weights"
        )
    return folder


def _package_folder(source: str) -> Path:
    name = source.removeprefix("package:")
    if not re.fullmatch(r"\w+(\.\w+)*", name) or importlib.util.find_spec(name) is None:
        raise InputError(
            f"model source {source!r}: no package {name!r} is installed; install it or correct it"
        )
    module = importlib.import_module(name)
    if not hasattr(module, "get_model_path"):
        raise InputError(
            f"model source {source!r}: the package has no get_model_path(); name one that has"
        )
    return Path(module.get_model_path())


def weight_files(folder: Path) -> list[Path]:
    """Return a model's weight files, safetensors alone where there are any."""
    found = (sorted(folder.glob(pattern)) for pattern in WEIGHTS)
    return next((files for files in found if files), [])


def content_files(folder: Path) -> list[Path]:
    """Return the files that a model's numbers depend on: config.json, weights and tokenizer."""
    of_tokenizer = {path for pattern in TOKENIZER for path in folder.glob(pattern)}
    return [folder / "config.json", *weight_files(folder), *sorted(of_tokenizer)]


def read_model_config(folder: Path) -> dict[str, Any]:
    """Return the language model's part of config.json.

    Raises
    ------
    InputError
        If it is not JSON.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{folder}/config.json is not JSON; download the model again") from None
    return config.get("text_config") or config


def count_layers(config: dict[str, Any]) -> int | None:
    """Return the number of blocks, None where config.json does not say."""
    keys = ("num_hidden_layers", "n_layer", "num_layers")
    return next((int(config[key]) for key in keys if config.get(key)), None)


def hidden_size(config: dict[str, Any]) -> int | None:
    """Return the width of the residual stream, None where config.json does not say."""
    keys = ("hidden_size", "n_embd", "d_model")
    return next((int(config[key]) for key in keys if config.get(key)), None)


def count_positions(config: dict[str, Any]) -> int | None:
    """Return the longest context, None where config.json does not say."""
    keys = ("max_position_embeddings", "n_positions")
    return next((int(config[key]) for key in keys if config.get(key)), None)


def block_index(hook_name: str) -> int | None:
    """Return the block a hook is in, None outside the blocks.

    Examples
    --------
    >>> block_index("blocks.12.hook_resid_post"), block_index("embed.hook_out")
    (12, None)
    """
    match = re.match(r"blocks\.(\d+)\.", hook_name)
    return int(match.group(1)) if match else None


def download(model: Model) -> tuple[Path, str]:
    """Return the folder and the commit of a hub model, downloaded where it is not there yet.

    Raises
    ------
    InputError
        If the hub does not have it, or cannot be reached and no copy is on this machine.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, HTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(model.source, revision=model.revision, allow_patterns=[*NEEDED])
    except (HTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"model {model.source!r} cannot be fetched ({reason}); check the name and revision, "
            "log in if it is gated, or name a local folder"
        ) from None
    return Path(folder), Path(folder).name


def staged_folder(model: Model, commit: str | None) -> Path:
    """Return the folder of a model that was staged before, without the network.

    Parameters
    ----------
    model
        The configured model.
    commit
        The hub commit recorded when it was staged; None for local models.

    Raises
    ------
    InputError
        If it is no longer there.
    """
    folder = local_folder(model)
    if folder is not None:
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                model.source, revision=commit, allow_patterns=[*NEEDED], local_files_only=True
            )
        )
    except LocalEntryNotFoundError:
        raise InputError(
            f"model {model.source!r} at commit {commit} is not on this machine; run the rule "
            "that fetched it (stage_text, stage_model) again where there is network, with the same "
            "HF_HOME"
        ) from None


def describe_model(folder: Path, commit: str | None) -> dict[str, Any]:
    """Return what identifies a model's files: the hub commit, and the sha256 of each."""
    files = [folder / "config.json", *weight_files(folder)]
    return {"commit": commit, "sha256": {file.name: sha256_of(file) for file in files}}


def check_model_unchanged(folder: Path, recorded: dict[str, Any]) -> None:
    """Hold a model's files against what was recorded when its cache was begun.

    Raises
    ------
    InputError
        Naming the files that changed.
    """
    found = describe_model(folder, recorded["commit"])["sha256"]
    wanted = recorded["sha256"]
    changed = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    if changed:
        raise InputError(
            f"model file {', '.join(changed)} changed since the cache was begun; put the old one "
            "back, or give the cache another name"
        )
