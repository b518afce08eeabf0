"""How well one SAE recovers the true features, where these are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from correct_l0.metrics import Measured

if TYPE_CHECKING:
    from correct_l0.saes.saved import SavedSae
    from correct_l0.sources import Source


def measure(
    sae: SavedSae, facts: Mapping[str, Any], source: Source, settings: str, folder: Path
) -> Measured:
    """Write the recovery of the true features by an SAE; see `metrics`."""
    from correct_l0.metrics.recovery.files import held_out_pairs, write_recovery
    from correct_l0.metrics.recovery.measure import measure_recovery

    pairs = held_out_pairs(source, sae)
    found = measure_recovery(sae.W_dec, source.truth.directions, pairs)
    return Measured(write_recovery(folder, found), {"true_l0": source.truth.true_l0})


def read(folder: Path, manifest: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return the table of recovery, with the true L0."""
    table = pd.read_csv(folder / "recovery.csv")
    return {"recovery": table.assign(true_l0=manifest["true_l0"])}
