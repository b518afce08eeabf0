"""What a small SAE does on samples it was not trained on, and how it matches the true features."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.metrics.decoder.cosine import mean_absolute_cosine
from correct_l0.metrics.decoder.projection import order_statistics, project
from correct_l0.saes.saved import SavedSae
from correct_l0.saes.training import evaluate
from correct_l0.saes.training.threshold import count_bits, threshold_for
from correct_l0.toy_model.features import Features
from correct_l0.toy_model.generator import Stream
from correct_l0.toy_model.matching import Match, match_latents
from correct_l0.toy_model.step import Weights

CALIBRATION_SAMPLES = 100_000
"""Samples on which thresholds are set; others than those measured on."""

CHUNK = 4096


class MeasureSamples:
    """The samples that thresholds are set on and that SAEs are measured on.

    The same for every SAE of a study, whatever its seed.
    """

    def __init__(self, features: Features, samples: int) -> None:
        self.features = features
        self.calibration = Stream(features, 0, CALIBRATION_SAMPLES, "measure").batch(0)
        self.rows = Stream(features, 1, samples, "measure").batch(0)
        self.mean_square = self.rows.square().sum(dtype=torch.float64).item() / samples


@dataclass(frozen=True)
class Measured:
    """Measurements of one SAE; `row` names those that go into tables."""

    l0_measured: float
    mse: float
    variance_explained: float
    power_explained: float
    dead_latents: int
    c_dec: float
    match: Match

    def row(self, *names: str) -> dict[str, Any]:
        """Return measurements by name, all scalar ones where none is named."""
        values = {
            "l0_measured": self.l0_measured,
            "mse": self.mse,
            "variance_explained": self.variance_explained,
            "power_explained": self.power_explained,
            "mean_best_cosine": float(self.match.best.mean()),
            "min_best_cosine": float(self.match.best.min()),
            "dead_latents": self.dead_latents,
            "c_dec": self.c_dec,
        }
        return {name: values[name] for name in names or values}


def inference_sae(
    weights: Weights, l0: float, calibration: Float[Tensor, "samples d_in"], floor: float = 0.0
) -> SavedSae:
    """Return the JumpReLU SAE with one threshold that has its target L0 on calibration samples.

    Its decoder rows have unit norm; their norms are folded into the encoder, as in the SAEs of a
    language model.

    Parameters
    ----------
    weights
        A trained SAE.
    l0
        Target L0.
    calibration
        Samples.
    floor
        Lowest threshold.
    """
    W_enc, b_enc, W_dec, b_dec = (part.detach().clone() for part in weights)
    norms = W_dec.norm(dim=1)
    W_enc, b_enc = W_enc * norms, b_enc * norms
    chunks = (torch.addmm(b_enc, x - b_dec, W_enc) for x in calibration.split(CHUNK))
    counts, samples = count_bits(chunks)
    threshold = max(floor, threshold_for(counts, samples, l0))
    thresholds = torch.full_like(b_enc, threshold)
    return SavedSae(W_enc, b_enc, W_dec / norms[:, None], b_dec, thresholds)


def measure_sae(sae: SavedSae, samples: MeasureSamples) -> Measured:
    """Return what an SAE does on samples, and how its decoder matches the true features."""
    whole: Any = SimpleNamespace(
        encode=sae.encode,
        decode=lambda acts: torch.addmm(sae.b_dec, acts, sae.W_dec),
        d_sae=sae.d_sae,
    )
    found = evaluate.measure(whole, samples.rows.split(CHUNK), 1.0)
    return Measured(
        l0_measured=found["l0_measured"],
        mse=found["mse"],
        variance_explained=1 - found["fvu"],
        power_explained=1 - found["mse"] / samples.mean_square,
        dead_latents=found["dead_latents"],
        c_dec=mean_absolute_cosine(sae.W_dec),
        match=match_latents(sae.W_dec.double().numpy(), samples.features.directions),
    )


def s_n_dec(
    W_dec: Float[Tensor, "d_sae d_in"],
    b_dec: Float[Tensor, " d_in"],
    rows: Float[Tensor, "samples d_in"],
    n: list[int],
) -> dict[int, float]:
    """Return s_n^dec of one batch of samples for several n, with the decoder as it is given.

    With unit rows it is the paper's metric; with rows of other norms it measures those too.
    """
    values = order_statistics(project(rows, W_dec, b_dec), n)
    return dict(zip(n, values.tolist(), strict=True))


def cosine_columns(match: Match, **labels: Any) -> dict[str, Any]:
    """Return a match as columns of the table of cosines; the labels are the same in every row."""
    latents, features = match.cosines.shape
    return {
        **labels,
        "latent": np.repeat(np.arange(latents), features),
        "feature": np.tile(np.arange(features), latents),
        "cosine": match.cosines.astype(np.float32).ravel(),
    }
