"""Small computations on toy SAEs that are trained; see `golden_numbers`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any


def sae_numbers() -> dict[str, Any]:
    """Two toy SAEs, one with dead latents: losses, threshold, measures.

    Trained so briefly that rounding does not yet change which activations are kept.
    """
    return {
        "30 steps": toy_sae(30, 4.5, lr_warm_up_steps=5, lr_decay_fraction=0.2),
        "with dead latents": toy_sae(20, 0.25, dead_feature_window=1),
    }


def sae_numbers_of(name: str, l0: float, **options: dict[str, Any]) -> dict[str, Any]:
    """Two toy SAEs of another architecture, one with dead latents, and one of each option.

    `at` among them is its L0 or coefficient, where that is another.
    """
    briefly = {"lr_warm_up_steps": 5, "lr_decay_fraction": 0.2}
    found = {
        "30 steps": toy_sae(30, l0, {"name": name}, **briefly),
        "with dead latents": toy_sae(20, 1, {"name": name}, dead_feature_window=1),
    }
    for option, given in options.items():
        own = {key: value for key, value in given.items() if key != "at"}
        found[option] = toy_sae(30, given.get("at", l0), {"name": name, **own}, **briefly)
    return found


def sparsify_numbers() -> dict[str, Any]:
    """Two toy SAEs that sparsify trains, one with every part of its loss."""
    how: dict[str, Any] = {"engine": "sparsify", "lr": 3e-4}
    dead = {"dead_feature_window": 1, "sparsify": {"multi_topk": True}}
    return {
        "30 steps": toy_sae(30, 4, {"name": "topk"}, lr_warm_up_steps=5, **how),
        "with dead latents": toy_sae(20, 1, {"name": "topk"}, **dead, **how),
    }


def toy_sae(
    steps: int, l0: float, architecture: dict[str, Any] | None = None, **training: Any
) -> dict[str, Any]:
    """Return the facts of a toy SAE and four steps of its losses."""
    import pandas as pd

    import saes_toy
    from correct_l0.saes.architectures import declared_with, read_architecture

    values = json.loads(saes_toy.settings(l0, training_tokens=saes_toy.BATCH * steps, **training))
    if architecture:
        swept = declared_with(*read_architecture(architecture)).swept
        values |= {"architecture": architecture, swept: values.pop("l0")}
    text = json.dumps(values)
    with tempfile.TemporaryDirectory() as folder:
        facts = saes_toy.train_toy(folder, text)
        loss = pd.read_csv(f"{folder}/loss.csv")
    names = (
        "activation_scale", "l0_measured", "threshold", "fvu", "mse", "dead_fraction",
        "init_cosine_quantiles", "loss_slope", "calibration_tokens", "evaluated_tokens",
    )  # fmt: skip
    curve = loss.iloc[[0, 4, steps // 2, steps - 1]]
    return {
        **{name: facts[name] for name in names},
        "c_dec": loss["c_dec"].dropna().tolist(),
        "loss": curve[["mse_loss", "aux_loss", "loss", "l0_batch"]].to_dict("list"),
    }


def hedging_numbers() -> dict[str, Any]:
    """The hedging rate of a toy SAE that is trained on for twenty steps."""
    import saes_toy
    from correct_l0.metrics.hedging import point
    from correct_l0.saes.saved import load_saved_sae

    store = saes_toy.ToyStore()
    store.stream = lambda seed, batch, prefetch: saes_toy.ToyBatches(store)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        facts = saes_toy.train_toy(folder, saes_toy.settings(training_tokens=saes_toy.BATCH * 30))
        sae, wanted = load_saved_sae(folder / "sae"), json.dumps({"new_latents": 3, "steps": 20})
        point.measure(sae, {**facts, "folder": folder}, store, wanted, folder)
        found: dict[str, Any] = point.read(folder, {})["hedging"].iloc[0].to_dict()
    return found
