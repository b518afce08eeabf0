"""The model and the text that a person names: what they say of themselves."""

from __future__ import annotations

import glob
import json
import os
import re
from pathlib import Path
from typing import Any

from correct_l0.errors import InputError
from correct_l0.sources.language_model.checks import check_text
from correct_l0.sources.language_model.model_files import (
    is_local,
    local_folder,
    read_model_config,
    refuse_unlikely_hub_name,
)
from correct_l0.sources.language_model.settings import Model, Text

BYTES_PER_TOKEN = 4
"""Of English text."""


def model_config(source: str) -> dict[str, Any]:
    """Return a model's config.json, of a folder or from the hub."""
    if is_local(source) or source.startswith("package:"):
        folder = local_folder(Model(source=source))
        assert folder is not None
        return read_model_config(folder)
    refuse_unlikely_hub_name(source, Path.cwd())
    return read_model_config(_from_hub(source, "config.json").parent)


def _from_hub(source: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(source, name))
    except Exception as error:  # Of the hub, of the network, of the name.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"model {source!r}: {name} cannot be fetched ({reason}); check the name, log in if the "
            "model is gated, or name a local folder"
        ) from None


def separator_of(source: str) -> str:
    """Return the token between documents that the model's tokenizer has."""
    try:
        if is_local(source):
            folder = local_folder(Model(source=source))
            assert folder is not None
            path = folder / "tokenizer_config.json"
        else:
            path = _from_hub(source, "tokenizer_config.json")
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, InputError):
        return "bos"
    return next((name for name in ("bos", "eos") if told.get(f"{name}_token")), "none")


def text_section(text: str, field: str, base: Path) -> tuple[dict[str, Any], float | None]:
    """Return the settings of a text, and about how many tokens it holds where that can be told."""
    if Path(text).expanduser().is_dir():
        raise InputError(f"text {text!r} is a folder; name its files, such as '{text}/*.jsonl'")
    files = sorted(glob.glob(os.path.expanduser(text)))
    if files:
        check_text(Text(source="files", files=tuple(files), text_field=field))
        size = sum(Path(file).stat().st_size for file in files)
        packed = any(file.endswith((".gz", ".zst", ".parquet")) for file in files)
        section: dict[str, Any] = {"source": "files", "files": [beside(text, base)]}
        if field != "text":
            section["text_field"] = field
        return section, size * (3 if packed else 1) / BYTES_PER_TOKEN
    if text == "sae-probes":
        return {"source": text, "reserve_tasks": "default"}, 10_000_000
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", text) or Path(text).parent.is_dir():
        raise InputError(
            f"text {text!r}: no such file (looked in {Path.cwd()}), and no dataset's name such as "
            "'monology/pile-uncopyrighted'; correct it"
        )
    section = {"source": "datasets", "dataset": text}
    if field != "text":
        section["text_field"] = field
    return section, None


def beside(path: str, folder: Path) -> str:
    """Return a path as it is written in a file of a folder."""
    if path.startswith("~") or os.path.isabs(path):
        return path
    return os.path.relpath(path, folder)
