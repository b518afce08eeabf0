"""The decoder metrics' files: batches read from the store, tables and arrays written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.metrics.decoder.cosine import cosine_matrix, mean_absolute_cosine, random_baseline
from correct_l0.metrics.decoder.histogram import coarse_histogram
from correct_l0.metrics.decoder.measure import ProjectionStatistics, s_n_dec_table
from correct_l0.metrics.decoder.settings import HEATMAP_LATENTS, PREFIXES
from correct_l0.provenance.manifest import replacing


class HeldOut(Protocol):
    """The part of an activation store used here."""

    n_held_out: int

    def held_out(self, start: int, stop: int) -> Float[Tensor, "tokens d_in"]:
        """Return raw activations of held-out tokens."""


def held_out_batches(
    store: HeldOut, batch_tokens: int, batches: int
) -> Iterator[Float[Tensor, "batch d_in"]]:
    """Yield the first batches of held-out tokens, as many as asked for or as there are.

    Raises
    ------
    InputError
        If fewer tokens are held out than make one batch.
    """
    available = store.n_held_out // batch_tokens
    if not available:
        raise InputError(
            f"decoder_metrics.batch_tokens {batch_tokens} is above the {store.n_held_out} tokens "
            "held out; cache more or make the batch smaller"
        )
    for index in range(min(batches, available)):
        yield store.held_out(index * batch_tokens, (index + 1) * batch_tokens)


def write_projections(folder: Path | str, statistics: ProjectionStatistics) -> list[Path]:
    """Write `s_n_dec.csv` and `histogram.npz` (counts, edges in training units)."""
    table, histogram = Path(folder) / "s_n_dec.csv", Path(folder) / "histogram.npz"
    with replacing(table) as temporary:
        s_n_dec_table(statistics).to_csv(temporary, index=False)
    counts, edges = coarse_histogram(statistics.counts)
    with replacing(histogram) as temporary:
        np.savez_compressed(temporary, counts=counts, edges=edges)
    return [table, histogram]


def write_prefixes(
    folder: Path | str, W_dec: Float[Tensor, "d_sae d_in"], widths: Sequence[int]
) -> list[Path]:
    """Write `c_dec_prefixes.csv`: c_dec of the first latents, as many as each width says.

    Of an SAE without prefixes there is no such file.
    """
    table = Path(folder) / PREFIXES
    # c_dec is of pairs.
    rows = [(width, mean_absolute_cosine(W_dec[:width])) for width in widths if width > 1]
    if not rows:
        table.unlink(missing_ok=True)
        return []
    with replacing(table) as temporary:
        pd.DataFrame(rows, columns=["latents", "value"]).to_csv(temporary, index=False)
    return [table]


def write_cosines(folder: Path | str, W_dec: Float[Tensor, "d_sae d_in"]) -> list[Path]:
    """Write `c_dec.csv`, and `cosine_heatmap.npz` (cosines) for SAEs of up to 1024 latents."""
    d_sae, d_in = W_dec.shape
    row = {
        "c_dec": mean_absolute_cosine(W_dec),
        "c_dec_random": random_baseline(d_in),
        "d_sae": d_sae,
        "d_in": d_in,
    }
    table, heatmap = Path(folder) / "c_dec.csv", Path(folder) / "cosine_heatmap.npz"
    with replacing(table) as temporary:
        pd.DataFrame([row]).to_csv(temporary, index=False)
    if d_sae > HEATMAP_LATENTS:
        heatmap.unlink(missing_ok=True)
        return [table]
    with replacing(heatmap) as temporary:
        np.savez_compressed(temporary, cosines=cosine_matrix(W_dec).cpu().numpy())
    return [table, heatmap]
