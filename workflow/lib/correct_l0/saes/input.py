"""What a training job reads: the activations, their order, and what a saved SAE tells of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch

from correct_l0.sources.language_model.reader import Store, TrainingStream, open_store


class TrainingInput(NamedTuple):
    """The input of trainings of one seed and one size of batch."""

    store: Store
    batches: TrainingStream
    metadata: dict[str, str | int | None]


def training_input(
    activations: Path | str, seed: int, batch_tokens: int, device: str
) -> TrainingInput:
    """Open a sealed cache for training.

    Parameters
    ----------
    activations
        The cache's manifest.
    seed
        Order of the rows.
    batch_tokens
        Rows of a batch.
    device
        Where the batches go. Beside a GPU the next ones are read while it works, by as many
        threads as torch has.

    Raises
    ------
    InputError
        If the cache is damaged (`open_store`).
    """
    store = open_store(activations)
    cache = json.loads(store.manifest["parameters"])
    ahead = device != "cpu"
    threads = torch.get_num_threads() if ahead else 1
    return TrainingInput(
        store,
        TrainingStream(store, seed, batch_tokens, prefetch=ahead, read_threads=threads),
        {
            "model_name": cache["model"]["source"],
            "hook_name": cache["hook_name"],
            "context_size": cache.get("context_size"),
        },
    )
