"""The files of recovery: a table of one row, and the numbers of each feature and latent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from correct_l0.metrics.recovery.measure import Recovery, recovery_table
from correct_l0.provenance.manifest import replacing


def write_recovery(folder: Path | str, recovery: Recovery) -> list[Path]:
    """Write `recovery.csv` and `recovery.npz`.

    The arrays are `latents` and `cosines` of each feature, and `best_features`, `precision`,
    `recall` and `f1` of each latent.
    """
    table, arrays = Path(folder) / "recovery.csv", Path(folder) / "recovery.npz"
    match, found = recovery.match, recovery.classification
    with replacing(table) as temporary:
        recovery_table(recovery).to_csv(temporary, index=False)
    with replacing(arrays) as temporary:
        np.savez_compressed(
            temporary,
            latents=match.latents,
            cosines=match.cosines,
            best_features=match.best_features,
            precision=found.precision,
            recall=found.recall,
            f1=found.f1,
        )
    return [table, arrays]


def read_recovery(folder: Path | str) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return what `write_recovery` wrote: the table, and the arrays by name."""
    with np.load(Path(folder) / "recovery.npz") as arrays:
        return pd.read_csv(Path(folder) / "recovery.csv"), dict(arrays)
