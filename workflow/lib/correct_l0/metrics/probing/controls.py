"""Probes that should find nothing: what is left of F1 without labels, or without a choice.

*Shuffled labels.* The protocol from the choice of latents on, the labels of train and of test rows
in random order: what it makes of no information. This is chance for this SAE, and below the coin's
1/2 where a probe on rarely active latents mostly says one class.

*Permuted latents.* The labels as they are, but the latents chosen replaced by as many others: the
ranking is read through a permutation of the latents. What is left does not come from the choice; it
grows with L0, as denser latents tell more whichever they are.

References
----------
Controls of this kind are asked for by arXiv 2605.18229 and 2602.14111.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from correct_l0.metrics.probing.data import SPLIT_SEED
from correct_l0.metrics.probing.probe import fit_probe, rank_latents
from correct_l0.metrics.probing.settings import PERMUTED_LATENTS, SHUFFLED_LABELS


@dataclass(frozen=True)
class Probed:
    """What a task's probes are fitted to.

    Attributes
    ----------
    latents
        Activations of all latents on the train rows.
    encode_test
        Returns those of some latents on the test rows.
    y_train, y_test
        Labels.
    """

    latents: Float[Tensor, "train d_sae"]
    encode_test: Callable[[Int[Tensor, " some"]], Float[np.ndarray, "test some"]]
    y_train: Int[np.ndarray, " train"]
    y_test: Int[np.ndarray, " test"]


def control_scores(task: str, probed: Probed, probe_k: Sequence[int]) -> list[dict[str, float]]:
    """Return the weighted F1 of both controls, one row for each `probe_k`.

    The random order of the labels and the permutation of the latents are of the task's name alone,
    so that SAEs are compared on the same ones.
    """
    rng = np.random.default_rng([SPLIT_SEED, zlib.crc32(task.encode())])
    shuffled, test = rng.permutation(probed.y_train), rng.permutation(probed.y_test)
    order = torch.from_numpy(rng.permutation(probed.latents.shape[1]))
    chosen = {
        SHUFFLED_LABELS: (rank_latents(probed.latents, torch.from_numpy(shuffled)), shuffled, test),
        PERMUTED_LATENTS: (
            order[rank_latents(probed.latents, torch.from_numpy(probed.y_train))],
            probed.y_train,
            probed.y_test,
        ),
    }
    scores: list[dict[str, float]] = [{} for _ in probe_k]
    for name, (ranking, y_train, y_test) in chosen.items():
        read = ranking[: max(probe_k)]
        x_train = probed.latents[:, read].double().numpy()
        x_test = probed.encode_test(read)
        for row, k in zip(scores, probe_k, strict=True):
            columns = np.ascontiguousarray(x_train[:, :k]), np.ascontiguousarray(x_test[:, :k])
            probe = fit_probe(columns[0], y_train, columns[1], y_test, "l1", SPLIT_SEED)
            row[name] = probe.f1
    return scores
