"""A toy model small enough to train on in a moment, and a process that trains a part of a sweep."""

from __future__ import annotations

import json
import sys

MODEL = {
    "features": 8, "d_in": 12,
    "correlation": {"sparsity": 0.5, "low": 0.1, "high": 0.5, "seed": 1},
}  # fmt: skip
SETTINGS = {
    "toy_model": MODEL,
    "d_sae": 8,
    "training": {"samples": 6_400, "batch_size": 64, "lr": 3e-3},
}


def settings(**training) -> str:
    """Return the settings of the sweep, with other training parameters."""
    values = {**SETTINGS, "training": {**SETTINGS["training"], **training}}
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def study(**sections):
    """Return a small study's configuration, sections replaced."""
    return {
        "study": "s",
        "toy_model": MODEL,
        "saes": {"d_sae": 8, "l0": [1, 2], "seeds": [0], "training": SETTINGS["training"]},
        "decoder_metrics": {"n": [3, 4], "samples": 2_000},
        **sections,
    }


if __name__ == "__main__":
    from correct_l0.toy_model.point import train_part

    train_part(settings(samples=64_000), [1.0, 2.5], 0, sys.argv[1], float(sys.argv[2]))
