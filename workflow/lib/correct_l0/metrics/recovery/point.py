"""How well one SAE recovers the true features, where these are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from correct_l0.metrics import Measured
from correct_l0.metrics.recovery.files import held_out_pairs, write_recovery
from correct_l0.metrics.recovery.measure import measure_recovery
from correct_l0.saes.saved import SavedSae
from correct_l0.sources import Source


def measure(
    sae: SavedSae, facts: Mapping[str, Any], source: Source, settings: str, folder: Path
) -> Measured:
    """Write the recovery of the true features by an SAE; see `metrics.Measure`."""
    pairs = held_out_pairs(source, sae)
    found = measure_recovery(sae.W_dec, source.truth.directions, pairs)
    return Measured(write_recovery(folder, found), {"true_l0": source.truth.true_l0})
