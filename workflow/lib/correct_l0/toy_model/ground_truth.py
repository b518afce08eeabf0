"""The SAE that is right: its encoder and decoder are the true features, its L0 is set freely."""

from __future__ import annotations

import torch

from correct_l0.saes.saved import SavedSae
from correct_l0.toy_model.features import Features
from correct_l0.toy_model.measure import MeasureSamples, inference_sae
from correct_l0.toy_model.sae import weights_at

ROUNDING = 1e-4
"""Below this a pre-activation of the ground-truth SAE is rounding, not a feature that fires."""


def ground_truth_sae(features: Features, l0: float, samples: MeasureSamples) -> SavedSae:
    """Return the ground-truth SAE at an L0: W_enc = F^T, W_dec = F, no biases.

    Above the true L0 of orthonormal features it has no more to select: its measured L0 stays there.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, section 3.1 and appendix A.2.
    """
    rows = torch.tensor(features.directions, dtype=torch.float32)
    return inference_sae(weights_at(rows), l0, samples.calibration, floor=ROUNDING)
