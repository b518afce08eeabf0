"""What can be said about a cache's inputs in a moment, before any job runs. No torch."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from correct_l0.errors import InputError
from correct_l0.provenance.differences import describe_difference
from correct_l0.provenance.manifest import read_manifest
from correct_l0.sources.language_model.documents import (
    check_format,
    damage_named,
    decode,
    open_file,
    read_file,
)
from correct_l0.sources.language_model.layout import identity_settings
from correct_l0.sources.language_model.model_files import (
    block_index,
    count_layers,
    count_positions,
    hidden_size,
    local_folder,
    read_model_config,
)
from correct_l0.sources.language_model.settings import Activations, Prompted, Text

FIRST_BYTES = 2**20
BYTES_PER_TOKEN = 4


def check_inputs(activations: Activations) -> None:
    """Check the files, the model and the hook that a configuration names.

    A hub model or a streamed dataset is checked when it is staged, where there is network.

    Raises
    ------
    InputError
        Naming the value, the limit and the remedy.
    """
    check_text(activations.text)
    check_enough_text(activations)
    folder = check_model(activations)
    if folder is not None:
        check_separator(folder, activations)


def check_model(read: Activations | Prompted) -> Path | None:
    """Check the hook, and the model where it is on this machine; return its folder.

    Raises
    ------
    InputError
        Naming the value, the limit and the remedy.
    """
    check_hook_name(read.hook_name)
    folder = local_folder(read.model)
    if folder is not None:
        check_model_config(read_model_config(folder), read)
    return folder


def check_separator(folder: Path, activations: Activations) -> None:
    """Refuse a separator that the model's tokenizer is configured not to have.

    Raises
    ------
    InputError
        Naming the token and the other separators.
    """
    if activations.packing == "documents" or activations.separator == "none":
        return
    try:
        told = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        missing = told[f"{activations.separator}_token"] is None
    except (OSError, ValueError, KeyError, TypeError):
        # Told when the tokenizer is loaded.
        return
    if missing:
        raise InputError(
            f"separator {activations.separator!r}: the tokenizer of model "
            f"{activations.model.source!r} has no such token; set activations.separator to "
            "another of bos, eos and none"
        )


def check_hook_name(hook_name: str) -> None:
    """Refuse a name of Hugging Face's modules, of which TransformerLens' are told.

    Raises
    ------
    InputError
        With the name that is probably meant.
    """
    if re.match(r"(blocks\.\d+\.)?\w*hook_\w+$|(blocks\.\d+|embed|ln_final|unembed)\.", hook_name):
        return
    block = re.search(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)", hook_name)
    meant = f"blocks.{block.group(1) if block else 0}.hook_resid_post"
    raise InputError(
        f"hook_name {hook_name!r} is none of TransformerLens' names; the residual stream after a "
        f"block is {meant!r}"
    )


def check_enough_text(activations: Activations) -> None:
    """Refuse text files that are smaller than the tokens that are wanted of them.

    A token is a byte at least, the special tokens of a document included; a packed file may hold
    any number.

    Raises
    ------
    InputError
        With the bytes and the tokens.
    """
    a = activations
    sizes = _plain_sizes(a.text)
    wanted = a.training_tokens + a.held_out_tokens
    if sizes is not None and sum(sizes) < wanted:
        raise InputError(
            f"the text files hold {sum(sizes):,} bytes, too few for {wanted:,} tokens; add text or "
            "lower activations.training_tokens or activations.held_out_tokens"
        )


def doubts(activations: Activations) -> list[str]:
    """Return remarks on text that is probably too little."""
    a = activations
    sizes = _plain_sizes(a.text)
    wanted = a.training_tokens + a.held_out_tokens
    if sizes is None or sum(sizes) >= BYTES_PER_TOKEN * wanted:
        return []
    return [
        f"the text files hold {sum(sizes):,} bytes, probably too few for {wanted:,} tokens: in "
        f"English a token is about {BYTES_PER_TOKEN} bytes; staging will say"
    ]


def _plain_sizes(text: Text) -> list[int] | None:
    """Return the sizes of text files, None where one of them is packed or there are none."""
    if text.source != "files" or any(not name.endswith((".txt", ".jsonl")) for name in text.files):
        return None
    return [Path(name).stat().st_size for name in text.files]


def check_model_config(config: dict[str, Any], read: Activations | Prompted) -> None:
    """Hold the hook, width and context size against a model's config.json.

    Raises
    ------
    InputError
        If the model has no such block, another width, or too few positions.
    """
    a, source = read, read.model.source
    layers, block = count_layers(config), block_index(a.hook_name)
    if layers is not None and block is not None and block >= layers:
        raise InputError(
            f"hook_name {a.hook_name!r}: model {source!r} has blocks 0 to {layers - 1}; "
            "choose one of these"
        )
    width, part = hidden_size(config), a.hook_name.rpartition(".")[2]
    if width is not None and part.startswith("hook_resid_") and a.d_in != width:
        remedy = f"set d_in: {width}"
        if isinstance(a, Prompted):
            remedy = "name the model and the hook that the rows are of"
        raise InputError(
            f"d_in {a.d_in}: {a.hook_name} of model {source!r} is {width} wide; {remedy}"
        )
    positions = count_positions(config)
    if isinstance(a, Activations) and positions is not None and a.context_size > positions:
        raise InputError(
            f"context_size {a.context_size} is above the {positions} positions of model "
            f"{source!r}; lower it"
        )


def check_text(text: Text) -> None:
    """Check that text files exist, are not empty, begin as UTF-8 and have the text field.

    Raises
    ------
    InputError
        Naming the first file that cannot be used.
    """
    if text.source == "sae-probes" and importlib.util.find_spec("sae_probes") is None:
        raise InputError(
            "text source 'sae-probes': the package is not installed; pip install sae-probes"
        )
    for name in text.files if text.source == "files" else ():
        path = Path(name)
        check_format(path)
        if not path.is_file():
            raise InputError(f"text file {name!r} does not exist; correct text.files")
        if path.stat().st_size == 0:
            raise InputError(f"text file {name!r} is empty; name one with text")
        if path.suffix != ".parquet":
            _check_beginning(path)
        # The first row: whether it has the field.
        next(read_file(path, text.text_field), None)


def _check_beginning(path: Path) -> None:
    with damage_named(path), open_file(path) as file:
        data = file.read(FIRST_BYTES)
    if len(data) == FIRST_BYTES:
        # The last character of the piece may be cut in two, its line not.
        data = data[: data.rfind(b"\n") + 1]
    decode(data, path, 0)


def check_cache_identity(cache_folder: Path | str, activations: Activations) -> None:
    """Refuse a study whose settings disagree with the cache it names.

    Parameters
    ----------
    cache_folder
        `results/activations/<cache>`; nothing is checked where the cache is not begun.
    activations
        The study's settings.

    Raises
    ------
    InputError
        With every differing setting, as `key: the cache's -> the study's`.
    """
    path = Path(cache_folder) / "cache.json"
    if not path.exists():
        return
    cache = read_manifest(path)
    name = activations.cache
    difference = describe_difference(str(cache.get("settings")), identity_settings(activations))
    if difference:
        raise InputError(
            f"cache {name!r} was made with other settings ({difference}); name another cache, or "
            f"delete {cache_folder} to make it anew"
        )


def cache_record(activations: Activations, **facts: Any) -> dict[str, Any]:
    """Return the content of cache.json."""
    return {
        "settings": identity_settings(activations),
        "resolved": json.loads(activations.model_dump_json()),
        "shards_per_job": activations.shards_per_job,
        **facts,
    }
