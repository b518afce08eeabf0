"""The files of stability: a table of pairs of seeds, and the cosine of each latent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from correct_l0.metrics.stability.measure import SeedPair, stability_table
from correct_l0.provenance.manifest import replacing


def write_stability(folder: Path | str, pairs: Sequence[SeedPair]) -> list[Path]:
    """Write `stability.csv` and `stability.npz`.

    The arrays are `seeds` (pairs, 2), and `cosines` and `partners` (pairs, d_sae) of each latent
    of the first seed of a pair.
    """
    table, arrays = Path(folder) / "stability.csv", Path(folder) / "stability.npz"
    with replacing(table) as temporary:
        stability_table(pairs).to_csv(temporary, index=False)
    with replacing(arrays) as temporary:
        np.savez_compressed(
            temporary,
            seeds=np.array([pair.seeds for pair in pairs]),
            cosines=np.stack([pair.cosines for pair in pairs]).astype(np.float32),
            partners=np.stack([pair.partners for pair in pairs]).astype(np.int32),
        )
    return [table, arrays]


def read_stability(folder: Path | str) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return what `write_stability` wrote: the table, and the arrays by name."""
    with np.load(Path(folder) / "stability.npz") as arrays:
        return pd.read_csv(Path(folder) / "stability.csv"), dict(arrays)
