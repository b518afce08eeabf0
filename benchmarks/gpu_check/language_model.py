"""A language model of Gemma 2's shape with random weights, and its activations."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.gpu_check import package
from benchmarks.gpu_check.measuring import synchronize
from benchmarks.gpu_check.shapes import Shapes

BOS = 2
FIRST = 3
"""First token that is a word; those below are special ones."""


class Model:
    """The blocks of a Gemma 2, up to and with the last: its output is the activation.

    Parameters
    ----------
    shapes
        What differs from Gemma-2-2b.
    device
        Where it runs.

    Attributes
    ----------
    layers, vocabulary
        Numbers of blocks and of tokens.
    """

    def __init__(self, shapes: Shapes, device: str) -> None:
        from transformers import AutoModel, Gemma2Config

        config = Gemma2Config(**shapes.model)
        self.layers, self.vocabulary = config.num_hidden_layers, config.vocab_size
        self.device = device
        with torch.device(device):
            # The scores are capped, which torch's fused attention does not know.
            model = AutoModel.from_config(config, attn_implementation="eager", dtype=torch.bfloat16)
        self._model = model.eval()
        self._last: torch.Tensor | None = None
        self._model.layers[-1].register_forward_hook(self._keep)
        synchronize(device)

    def _keep(self, _module: Any, _inputs: Any, output: Any) -> None:
        self._last = output[0] if isinstance(output, tuple) else output

    @torch.inference_mode()
    def read(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the activations of contexts, (batch, pos, d_in)."""
        self._model(tokens.to(self.device), attention_mask=mask.to(self.device), use_cache=False)
        assert self._last is not None
        return self._last


class Words:
    """A tokenizer of words that are numbers."""

    bos_token_id = BOS
    eos_token_id = cls_token_id = sep_token_id = pad_token_id = mask_token_id = None

    def get_vocab(self) -> dict[str, int]:
        """Return a vocabulary, by which the pipeline knows the tokenizer."""
        return {"<bos>": BOS}

    def __call__(
        self, documents: Sequence[str], add_special_tokens: bool = True, **_: Any
    ) -> dict[str, list[list[int]]]:
        """Return the token ids of documents."""
        start = [BOS] if add_special_tokens else []
        return {"input_ids": [start + list(map(int, text.split())) for text in documents]}


def random_contexts(shapes: Shapes, vocabulary: int, seed: int) -> torch.Tensor:
    """Return a batch of contexts, (batch, pos)."""
    generator = torch.Generator().manual_seed(seed)
    size = (shapes.model_batch, shapes.context_tokens)
    return torch.randint(FIRST, vocabulary, size, generator=generator)


def cache(shapes: Shapes, model: Model, tokens: int, folder: Path) -> tuple[Any, Any, float, float]:
    """Cache activations as the pipeline does.

    Parameters
    ----------
    tokens
        Of training, a multiple of 8.
    folder
        Receives text and store.

    Returns
    -------
    store, batches
        The sealed store and its stream of training batches.
    caching_s, sealing_s
        Seconds of forward passes and writing, and of sealing.

    Raises
    ------
    ModuleNotFoundError
        Where zarr, or pydantic, which the settings of a cache need, is not installed.
    """
    tools = package.caching_tools()
    words = folder / "words.jsonl"
    write_words(words, shapes, model.vocabulary, tokens)
    settings = tools.Activations.model_validate(
        {
            "cache": "random",
            "model": {"source": "package:none"},
            "hook_name": f"blocks.{model.layers - 1}.hook_resid_post",
            "d_in": shapes.d_in,
            "text": {"source": "files", "files": [str(words)]},
            "context_size": shapes.context_tokens,
            "training_tokens": tokens,
            "held_out_tokens": shapes.held_out_tokens,
            "shard_tokens": tokens // 8,
            "shuffle_tokens": tokens // 4,
            "shards_per_job": 8,
            "forward_batch_tokens": shapes.model_batch * shapes.context_tokens,
        }
    )
    place = folder / "random"
    tools.stage_text(settings, Words(), place / "text")
    record = tools.cache_record(settings, model={"commit": None, "sha256": {}})
    tools.write_json(place / "cache.json", record)
    reader = tools.reader(model)
    jobs = len(tools.job_windows(tools.Layout.of(settings), settings.shards_per_job))
    started = time.perf_counter()
    for job in range(jobs):
        tools.cache_job(
            settings, place, job, lambda: reader, settings.forward_batch_tokens, beside=True
        )
    cached = time.perf_counter()
    tools.seal(settings, place, [place / "parts" / f"part_{job}.json" for job in range(jobs)])
    sealed = time.perf_counter()
    store = tools.open_source(place / "manifest.json", package.load_saved_sae)
    # Beside a GPU a training job reads ahead, in as many threads as it has.
    ahead = model.device != "cpu"
    threads = torch.get_num_threads() if ahead else 1
    batches = store.stream(0, shapes.batch_tokens, prefetch=ahead, threads=threads)
    return store, batches, cached - started, sealed - cached


def write_words(path: Path, shapes: Shapes, vocabulary: int, tokens: int) -> None:
    """Write twice as many random words as are cached: chance decides a document's split."""
    generator = np.random.default_rng(0)
    wanted = 2 * (tokens + shapes.held_out_tokens)
    with open(path, "w") as file:
        for _ in range(wanted // shapes.context_tokens):
            ids = generator.integers(FIRST, vocabulary, shapes.context_tokens)
            file.write(json.dumps({"text": " ".join(map(str, ids))}) + os.linesep)
