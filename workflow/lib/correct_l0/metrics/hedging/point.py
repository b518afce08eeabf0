"""The hedging rate of one SAE, its file written and read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from correct_l0.metrics import Measured
from correct_l0.metrics.hedging.settings import Hedging
from correct_l0.provenance.manifest import replacing

if TYPE_CHECKING:
    from correct_l0.saes.saved import SavedSae
    from correct_l0.sources import Source


def measure(
    sae: SavedSae, facts: Mapping[str, Any], source: Source, settings: str, folder: Path
) -> Measured:
    """Write the hedging rate of an SAE; see `metrics`."""
    from correct_l0.metrics.hedging.trainings import train_both

    wanted = Hedging.model_validate(json.loads(settings))
    row = train_both(sae, facts, source, wanted, folder / "checkpoint")
    path = folder / "hedging.csv"
    with replacing(path) as temporary:
        pd.DataFrame([row]).to_csv(temporary, index=False)
    return Measured([path])


def read(folder: Path, manifest: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return the tables by name."""
    return {"hedging": pd.read_csv(folder / "hedging.csv")}
