"""The `exact` engine: sae-probes' protocol and bits, without its repeated work.

What it saves against calling the package: its import; test rows are encoded only for the latents
that a probe reads; the search for a penalty stops where no other can win; fits are compiled for
these rows, and scores go without scikit-learn's checks (see `saga`, `scores`).

The bits are the package's where a product over some latents rounds as one over all of them. MKL's
kernels for AVX2 do not always do so; a score can then differ in its last digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.metrics.probing.controls import Probed, control_scores
from correct_l0.metrics.probing.data import SPLIT_SEED, Split, Task
from correct_l0.metrics.probing.encoding import encode
from correct_l0.metrics.probing.probe import ProbeResult, deduplicated_f1, fit_probe, rank_latents
from correct_l0.saes.saved import SavedSae

MIN_TEST_LATENTS = 64
"""Matrix products with very few columns take another path in the linear algebra library, and round
differently from the product over all latents."""


def probe_task(
    sae: SavedSae,
    task: Task,
    split: Split,
    activations: Float[Tensor, "rows d_in"],
    hook_name: str,
    probe_k: Sequence[int],
    controls: bool = False,
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Probe one task with several numbers of latents.

    Returns
    -------
    list of (entry, extras)
        One per `probe_k`: the entry of sae-probes' result file; the de-duplicated F1 and, where
        asked for, the F1 of the controls.
    """
    train, test = activations[split.train], activations[split.test]
    y_train, y_test = task.labels[split.train], task.labels[split.test]
    latents = encode(sae, train)
    ranking = rank_latents(latents, torch.from_numpy(y_train))
    read = ranking[: max(*probe_k, MIN_TEST_LATENTS)]
    x_train = latents[:, read].double().numpy()
    x_test = encode(sae, test, read).double().numpy()
    results = []
    for k in probe_k:
        # C-contiguous, as sklearn would make them.
        columns = np.ascontiguousarray(x_train[:, :k]), np.ascontiguousarray(x_test[:, :k])
        probe = fit_probe(columns[0], y_train, columns[1], y_test, "l1", SPLIT_SEED)
        entry = {
            **package_metrics(probe),
            "k": k,
            "dataset": task.name,
            "hook_name": hook_name,
            "reg_type": "l1",
            "binarize": False,
            "indices": ranking[:k].tolist(),
        }
        results.append((entry, {"f1_dedup": deduplicated_f1(y_test, probe.predictions, split.new)}))
    if controls:
        probed = Probed(
            latents, lambda read: encode(sae, test, read).double().numpy(), y_train, y_test
        )
        for (_, extras), scores in zip(
            results, control_scores(task.name, probed, probe_k), strict=True
        ):
            extras.update(scores)
    return results


def package_metrics(probe: ProbeResult) -> dict[str, float]:
    """Return a probe's scores under the names of sae-probes' result files."""
    return {
        "test_f1": probe.f1,
        "test_acc": probe.accuracy,
        "test_auc": probe.auc,
        "val_auc": probe.validation_auc,
    }
