"""The suite of worlds: which there are, as a function of a number alone.

A world is an ordinary study of a synthetic source, so that any of them can be run by hand:
`python -m calibration --show 17 > world.yaml`, `snakemake --configfile world.yaml`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SEED = 20_26
"""Of the draws; changed, it is another suite."""

KINDS = (
    "independent", "correlated", "superposed", "hierarchy", "low_rank", "superposed_correlated",
    "noise", "undertrained",
)  # fmt: skip
"""The kinds of world, in turn. `noise` has so many features in so few dimensions that none can be
found; `undertrained` is any of the others, trained for a tenth or less."""

BATCH_TOKENS = 256
GRID_POINTS = 10

SYNTHETIC, SEMI_SYNTHETIC, WHOLE = 56, 64, 88
"""Worlds of `KINDS`; those that follow, up to the second number, are semi-synthetic; those after
them, of `KINDS` again, were drawn when the reading had been changed after a look at the half to
report, and are all to report."""
SEEN = frozenset(
    {8, 9, 10, 11, 14, 15, 25, 26, 29, 30, 31, 41, 42, 45, 46, 47, 57, 59, 61, 68, 87}
)  # fmt: skip
"""Worlds to report whose reading was changed after they had been looked at, or might have been."""
QUICK = (2, 7, 10, 11, 14, 19, 26, 29)
"""Worlds of the quick suite: short ones of five kinds."""
SEMI = "semi_synthetic"
GENERATORS = "calibration-generators"
"""The study of the SAEs of the default study's activations that generate semi-synthetic worlds."""
GENERATING_L0, GENERATING_D_SAE = (8, 16, 32, 64), 256
RESULTS_FROM_WORLD = "../.."
"""From the folder that a world is swept in to that of all results."""


@dataclass(frozen=True)
class World:
    """One world of the suite.

    Attributes
    ----------
    number
        What everything else is a function of.
    kind
        One of `KINDS`.
    half
        `choose`: estimators may be chosen and tuned on it; `report`: it says how right they are.
    config
        The study.
    """

    number: int
    kind: str
    half: str
    config: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the world, and of its study."""
        return str(self.config["study"])

    @property
    def file(self) -> str:
        """Name of the file of its tables: of another suite's world, of other settings, another."""
        settings = json.dumps(self.config, sort_keys=True)
        return f"{self.name}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}.parquet"

    @property
    def features(self) -> int:
        """Number of features."""
        return int(
            GENERATING_D_SAE if SEMI in self.config else self.config["synthetic"]["features"]
        )

    @property
    def size(self) -> float:
        """How long its sweep takes, in units of its own: steps times weights, with a step's own."""
        saes, d_in = self.config["saes"], self.config.get("synthetic", {"d_in": 384})["d_in"]
        steps = saes["training"]["training_tokens"] / saes["training"]["batch_tokens"]
        return float(steps * len(saes["l0"]) * (20_000 + d_in * saes["d_sae"]))


def world(number: int) -> World:
    """Return a world of the suite.

    Every run of 16 worlds has each kind twice, once in each half; a semi-synthetic one of each L0
    is in each half, with its SAE's residual in one of them. Those after them are to report.
    """
    if SYNTHETIC <= number < SEMI_SYNTHETIC:
        place = number - SYNTHETIC
        half = ("choose", "report")[place % 2]
        return World(number, SEMI, half, _semi_synthetic(number, place))
    kind = KINDS[number % len(KINDS)]
    half = "report" if number >= SEMI_SYNTHETIC else ("choose", "report")[number // len(KINDS) % 2]
    draw = np.random.default_rng([SEED, number])
    return World(number, kind, half, _study(number, kind, draw))


def _study(number: int, kind: str, draw: np.random.Generator) -> dict[str, Any]:
    base = kind
    if kind == "undertrained":
        base = str(draw.choice(["independent", "correlated", "superposed", "hierarchy"]))
    features = _whole(_log_uniform(draw, 50, 400))
    if draw.random() < 0.08:
        features = _whole(_log_uniform(draw, 400, 2000))
    crowding = _log_uniform(draw, 0.4, 1.0)
    if base.startswith("superposed"):
        crowding = _log_uniform(draw, 1.0, 3.5)
    d_in = int(np.clip(_whole(features / crowding), 24, 256))
    if base == "noise":
        features, d_in = 1000, _whole(_log_uniform(draw, 24, 64))
    d_sae = _whole(features * _log_uniform(draw, 0.5, 2.0)) if base != "noise" else 2 * d_in
    true_l0 = _log_uniform(draw, 4, min(40.0, 0.15 * features))
    synthetic: dict[str, Any] = {
        "features": features,
        "d_in": d_in,
        "directions": "random" if features > d_in else str(draw.choice(["orthonormal", "random"])),
        "firing": (
            {"law": "constant", "p": 0.2} if base == "noise" else _firing(draw, features, true_l0)
        ),
        "correlation": None,
        "magnitude": {
            "mean": _magnitudes(draw),
            "std": round(float(draw.uniform(0.05, 0.4)), 2),
        },
        "bias": round(float(draw.uniform(0, 3)), 1) if draw.random() < 0.3 else 0.0,
        "held_out_tokens": 20_000,
        "seed": number,
    }
    if base in ("correlated", "superposed_correlated"):
        synthetic["correlation"] = {
            "kind": "random",
            "sparsity": round(float(draw.uniform(0.1, 0.8)), 2),
            "low": 0.1,
            "high": round(float(draw.uniform(0.4, 0.9)), 2),
            "seed": number,
        }
    if base == "low_rank":
        rank = int(draw.integers(3, 26))
        scale = math.sqrt(draw.uniform(0.1, 0.7) / rank)
        synthetic["correlation"] = {
            "kind": "low_rank", "rank": rank, "scale": round(scale, 3), "seed": number,
        }  # fmt: skip
    if base == "hierarchy":
        branching = int(draw.integers(2, 5))
        synthetic["hierarchy"] = {
            "roots": max(2, features // (2 * (1 + branching))),
            "branching": branching,
            "depth": 1,
            "exclusive": float(draw.choice([0.0, 0.5, 1.0])),
            "scaled": bool(draw.random() < 0.5),
        }
    steps = _whole(_log_uniform(draw, 1000, 2000))
    if kind == "undertrained":
        steps = _whole(_log_uniform(draw, 40, 300))
    return {
        "study": f"world_{number:03d}",
        "title": f"World {number}: {kind}",
        "device": "cpu",
        "synthetic": synthetic,
        "saes": {
            "d_sae": d_sae,
            "l0": grid(d_sae),
            "seeds": [0, 1],
            "points_per_job": 16,
            "training": {
                "training_tokens": steps * BATCH_TOKENS,
                "batch_tokens": BATCH_TOKENS,
                "lr": float(draw.choice([2e-3, 4e-3])),
                "lr_decay_fraction": float(draw.choice([0.0, 0.2])),
                "dead_feature_window": 200,
            },
        },
        "decoder_metrics": {
            "n": [0.1, 0.2, 0.3, 0.4, 0.45], "batch_tokens": 5000, "batches": 4,
        },
    }  # fmt: skip


def generators(default: Mapping[str, Any]) -> dict[str, Any]:
    """Return the study of the SAEs that generate, on the activations of the default study."""
    return {
        "study": GENERATORS,
        "device": "cpu",
        "activations": default["activations"],
        "saes": {
            "d_sae": GENERATING_D_SAE,
            "l0": list(GENERATING_L0),
            "training": {
                "training_tokens": 2_097_152, "batch_tokens": 512, "lr": 3e-3,
                "lr_decay_fraction": 0.2, "dead_feature_window": 200,
            },
        },
        "decoder_metrics": {"n": [0.4]},
    }  # fmt: skip


def _semi_synthetic(number: int, place: int) -> dict[str, Any]:
    """Return the study of activations that an SAE decodes from its own codes."""
    l0, d_sae = GENERATING_L0[place // 2 % 4], (256, 384, 192, 256)[(place // 2 + place) % 4]
    residual = ("none", "shuffled")[(place // 2 + place) % 2]
    return {
        "study": f"world_{number:03d}",
        "title": f"World {number}: an SAE of L0 {l0} decodes its codes, residual {residual}",
        "device": "cpu",
        SEMI: {
            "sae": f"{RESULTS_FROM_WORLD}/{GENERATORS}/saes/l0_{l0}/seed_0/sae",
            "activations": f"{RESULTS_FROM_WORLD}/activations/minilm-layer-3/manifest.json",
            "residual": residual,
            "held_out_tokens": 20_000,
        },
        "saes": {
            "d_sae": d_sae,
            "l0": grid(d_sae, lowest=1.0, points=12),
            "seeds": [0, 1],
            "points_per_job": 16,
            "training": {
                "training_tokens": 2000 * BATCH_TOKENS, "batch_tokens": BATCH_TOKENS,
                "lr": 3e-3, "lr_decay_fraction": 0.2, "dead_feature_window": 200,
            },
        },
        "decoder_metrics": {"n": [0.1, 0.2, 0.3, 0.4, 0.45], "batch_tokens": 5000, "batches": 4},
    }  # fmt: skip


def grid(d_sae: int, lowest: float | None = None, points: int = GRID_POINTS) -> list[float]:
    """Return the L0 points of a sweep: a function of the width, so that they tell no truth.

    Evenly spaced on log L0 up to d_sae / 2.5; from d_sae / 60, at least 1, where no `lowest` is
    named. The semi-synthetic ones start at 1, where seeds agree for reasons of their own.

    Examples
    --------
    >>> grid(100)
    [1.7, 2.4, 3.4, 4.8, 6.8, 9.7, 14.0, 20.0, 28.0, 40.0]
    """
    start = max(1.0, d_sae / 60) if lowest is None else lowest
    return [float(f"{x:.2g}") for x in np.geomspace(start, d_sae / 2.5, points)]


def _firing(draw: np.random.Generator, features: int, true_l0: float) -> dict[str, Any]:
    """Return a law of firing probabilities with about this sum."""
    law = str(draw.choice(["zipf", "linear", "constant"]))
    mean = true_l0 / features
    if law == "constant":
        return {"law": "constant", "p": round(mean, 5)}
    if law == "linear":
        spread = draw.uniform(0.3, 0.95)
        low, high = mean * (1 - spread), mean * (1 + spread)
        return {"law": "linear", "p_max": round(high, 5), "p_min": round(low, 6)}
    exponent = float(draw.uniform(0.4, 1.0))
    power = (np.arange(features) + 1.0) ** -exponent
    height = (power - power[-1]) / (power[0] - power[-1])
    p_min = 0.15 * mean
    p_max = min(0.6, p_min + (mean - p_min) / height.mean())
    return {
        "law": "zipf", "exponent": round(exponent, 2),
        "p_max": round(p_max, 4), "p_min": round(p_min, 6),
    }  # fmt: skip


def _magnitudes(draw: np.random.Generator) -> Any:
    if draw.random() < 0.5:
        return 1.0
    last = round(float(draw.uniform(0.3, 0.8)), 2)
    return {"law": "exponential", "first": 1.5, "last": last}


def _log_uniform(draw: np.random.Generator, low: float, high: float) -> float:
    return float(math.exp(draw.uniform(math.log(low), math.log(max(high, low)))))


def _whole(x: float) -> int:
    return max(2, int(float(f"{x:.2g}")))
