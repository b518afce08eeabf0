"""The files of recovery: a table of one row, and the numbers of each feature and latent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from torch import Tensor

from correct_l0.metrics.recovery.measure import Recovery, recovery_table
from correct_l0.provenance.manifest import replacing
from correct_l0.saes.saved import SavedSae
from correct_l0.sources import Source

BLOCK_TOKENS = 4096
"""Held-out samples encoded at a time."""


def held_out_pairs(
    source: Source, sae: SavedSae
) -> Iterator[tuple[Float[Tensor, "rows d_sae"], Bool[Tensor, "rows features"]]]:
    """Yield latent activations, and which features fire, of all held-out samples in blocks."""
    for start in range(0, source.n_held_out, BLOCK_TOKENS):
        stop = min(start + BLOCK_TOKENS, source.n_held_out)
        yield sae.encode(source.held_out(start, stop)), source.truth.fires(start, stop)


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
