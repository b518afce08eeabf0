"""Activations of the probing tasks, in the layout of sae-probes.

Each different prompt goes through the model once. Tasks are computed one after the other, and one
whose file is there and unchanged is not computed again: a job that is stopped goes on from there.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.jobs.progress import Progress
from correct_l0.metrics.probing import CACHE_RECIPE
from correct_l0.metrics.probing.data import Task, activations_file, load_activations, read_task
from correct_l0.metrics.probing.likeness import Likeness
from correct_l0.provenance.checks import check_manifest
from correct_l0.provenance.manifest import (
    read_manifest,
    replacing,
    sha256_of_json,
    write_manifest,
)
from correct_l0.sources.language_model.language_model import LanguageModel
from correct_l0.sources.language_model.model_files import count_positions, read_model_config
from correct_l0.sources.language_model.settings import Prompted
from correct_l0.sources.language_model.store import full_disk_named
from correct_l0.sources.language_model.tokenizer import load_tokenizer, special_ids

PROMPT_TOKENS = 1024
"""The protocol keeps the last 1024 tokens of a prompt."""


def cache_probing(
    read: Prompted,
    cache: Path,
    manifests: Sequence[Path],
    load_model: Callable[[], LanguageModel],
    like: Likeness | None = None,
) -> None:
    """Write the activations and the manifest of each task.

    Parameters
    ----------
    read
        The tensor that is read.
    cache
        The source's folder, with `cache.json`.
    manifests
        `probing/tasks/{task}.json` of each task.
    load_model
        Returns the language model.
    like
        Rows that they have to look like: the first task's are held against them.

    Raises
    ------
    InputError
        If a task is unknown, an activation is not finite, they are of another size than the rows,
        or the disk is full.
    """
    model_files = read_manifest(cache / "cache.json")["model"]
    tasks = [read_task(path.stem) for path in manifests]
    folder = cache / "probing"
    expected = {
        task.name: {
            "model": sha256_of_json(model_files),
            "prompts": sha256_of_json(task.prompts),
        }
        for task in tasks
    }
    files = {
        task.name: activations_file(folder, read.cache, task.name, read.hook_name) for task in tasks
    }
    settings = read.identity
    missing = [
        task for task in tasks if not _is_there(files[task.name], settings, expected[task.name])
    ]
    if like is not None and tasks[0] not in missing:
        like.check(tasks[0].name, load_activations(files[tasks[0].name], tasks[0], read.d_in))
    if missing:
        for task, values in _compute(read, missing, load_model):
            if like is not None and task is tasks[0]:
                like.check(task.name, values)
            _save(values, files[task.name])
            _write_record(files[task.name], settings, expected[task.name])
    for task, manifest in zip(tasks, manifests, strict=True):
        # The same bytes as before where nothing was computed: other studies were made from them.
        record = read_manifest(_record(files[task.name]))
        write_manifest(
            manifest,
            stage="cache_probing_activations",
            recipe=CACHE_RECIPE,
            parameters=settings,
            inputs=expected[task.name],
            outputs=[files[task.name]],
            made_by={key: record.get(key) for key in ("code_version", "packages")},
            task=task.name,
            rows=len(task.prompts),
            different_prompts=len(set(task.prompts)),
        )


def _record(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _write_record(file: Path, settings: str, inputs: dict[str, str]) -> None:
    write_manifest(
        _record(file),
        stage="cache_probing_activations",
        recipe=CACHE_RECIPE,
        parameters=settings,
        inputs=inputs,
        outputs=[file],
    )


def _is_there(file: Path, settings: str, inputs: dict[str, str]) -> bool:
    """Tell whether a task's file is there and is what its record says."""
    try:
        check_manifest(
            _record(file),
            stage="cache_probing_activations",
            recipe=CACHE_RECIPE,
            parameters=settings,
            inputs=inputs,
        )
    except InputError:
        return False
    return True


def _save(values: Float[Tensor, "prompts d_in"], file: Path) -> None:
    # Given a path, torch.save would write its name into the file.
    content = io.BytesIO()
    torch.save(values, content)
    with full_disk_named(file.parent), replacing(file) as temporary:
        temporary.write_bytes(content.getvalue())


def _compute(
    read: Prompted, tasks: Sequence[Task], load_model: Callable[[], LanguageModel]
) -> Iterator[tuple[Task, Float[Tensor, "prompts d_in"]]]:
    """Yield the tasks one after the other, each with its prompts' activations.

    Held are the rows of one task, and of prompts that a later task has too.
    """
    model = load_model()
    drop = read.special_tokens == "drop"
    last = {prompt: i for i, task in enumerate(tasks) for prompt in task.prompts}
    held: dict[str, Tensor] = {}
    progress = Progress(len(last), "prompts")
    for i, task in enumerate(tasks):
        prompts = [prompt for prompt in dict.fromkeys(task.prompts) if prompt not in held]
        if prompts:
            rows = read_prompts(model, prompts, drop, read.forward_batch_tokens, progress)
            if not torch.isfinite(rows).all():
                bad = int((~torch.isfinite(rows).all(dim=1)).sum())
                raise InputError(
                    f"non-finite activations at {read.hook_name} for {bad} of "
                    f"{len(prompts)} probing prompts of task '{task.name}', all must be finite; "
                    "set model.dtype to float32"
                )
            held |= zip(prompts, rows, strict=True)
        values = torch.stack([held[prompt] for prompt in task.prompts])
        # A row that is kept alone; as it is, it would hold all that were computed with it.
        held = {prompt: row.clone() for prompt, row in held.items() if last[prompt] > i}
        yield task, values


def read_prompts(
    model: LanguageModel,
    prompts: Sequence[str],
    drop_special: bool,
    batch_tokens: int,
    progress: Progress | None = None,
) -> Float[Tensor, "prompts d_in"]:
    """Return the activation at the last token of each prompt, in float32.

    Parameters
    ----------
    model
        The language model.
    prompts
        Texts; the last 1024 tokens of each are kept, or as many as the model has positions.
    drop_special
        Whether the SAEs see no special tokens: then the last token is the last one that is not
        special. (sae-probes takes whatever comes last, which is [SEP] in BERT; there the two
        differ, in models whose tokenizer adds nothing at the end they are the same.)
    batch_tokens
        Tokens per forward pass.
    progress
        Counts the prompts.
    """
    tokenizer = load_tokenizer(model.folder)
    tokenizer.truncation_side = "left"
    limit = min(PROMPT_TOKENS, count_positions(read_model_config(model.folder)) or PROMPT_TOKENS)
    encoded = tokenizer(list(prompts), truncation=True, max_length=limit)["input_ids"]
    contexts = [np.asarray(ids, dtype=np.int32) for ids in encoded]
    specials = np.asarray(special_ids(tokenizer) if drop_special else (), dtype=np.int32)
    rows = torch.empty((len(contexts), model.d_in))
    for i, values in model.read_all(contexts, batch_tokens):
        rows[i] = values[last_token(contexts[i], specials)]
        if progress is not None:
            progress.add(1)
    return rows


def last_token(tokens: Int[np.ndarray, " pos"], specials: Int[np.ndarray, " ids"]) -> int:
    """Return the position of the last token that is not special, or of the last one.

    Examples
    --------
    >>> last_token(np.array([101, 7, 8, 102]), np.array([101, 102]))
    2
    >>> last_token(np.array([101, 102]), np.array([101, 102]))
    1
    """
    real = np.flatnonzero(~np.isin(tokens, specials))
    return int(real[-1]) if len(real) else len(tokens) - 1
