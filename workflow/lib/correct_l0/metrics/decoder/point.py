"""The decoder metrics of one SAE: s_n^dec, c_dec, the projection histogram, the cosine matrix."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from correct_l0.metrics import Measured
from correct_l0.metrics.decoder.settings import PREFIXES, DecoderMetrics

if TYPE_CHECKING:
    from correct_l0.saes.saved import SavedSae
    from correct_l0.sources import Source


def measure(
    sae: SavedSae, facts: Mapping[str, Any], source: Source, settings: str, folder: Path
) -> Measured:
    """Write the decoder metrics of an SAE, of its weights alone c_dec; see `metrics`."""
    from correct_l0.metrics.decoder.files import (
        held_out_batches,
        write_cosines,
        write_prefixes,
        write_projections,
    )
    from correct_l0.metrics.decoder.histogram import RESOLUTION_BOUND
    from correct_l0.metrics.decoder.measure import measure_projections

    wanted = DecoderMetrics.model_validate(json.loads(settings))
    if not source.n_held_out:
        return Measured(write_cosines(folder, sae.W_dec))
    W_dec = sae.W_dec.float()
    if not facts.get("unit_norm", True):
        # Of a TopK SAE whose norms cannot be folded into its encoder.
        W_dec = W_dec / W_dec.norm(dim=1, keepdim=True)
    statistics = measure_projections(
        held_out_batches(source, wanted.batch_tokens, wanted.batches),
        W_dec,
        sae.b_dec.float(),
        facts["activation_scale"],
        [int(n) for n in wanted.n],
    )
    outputs = write_projections(folder, statistics) + write_cosines(folder, sae.W_dec)
    outputs += write_prefixes(folder, sae.W_dec, facts.get("prefixes", ()))
    return Measured(outputs, {"pooled_bound": RESOLUTION_BOUND})


def read(folder: Path, manifest: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return the tables of the decoder metrics; of the histogram the bins that are not empty."""
    c_dec = pd.read_csv(folder / "c_dec.csv")[["c_dec", "c_dec_random"]]
    cosines = {"c_dec": c_dec.set_axis(["value", "random"], axis="columns")}
    cosines["c_dec_prefixes"] = pd.DataFrame(columns=["latents", "value"])
    if (folder / PREFIXES).exists():
        cosines["c_dec_prefixes"] = pd.read_csv(folder / PREFIXES)
    if "histogram.npz" not in manifest["outputs"]:
        return {"s_n_dec": pd.DataFrame(), **cosines, "histograms": pd.DataFrame()}
    with np.load(folder / "histogram.npz") as file:
        counts, edges = file["counts"], file["edges"]
    histogram = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": counts})
    return {
        "s_n_dec": pd.read_csv(folder / "s_n_dec.csv"),
        **cosines,
        "histograms": histogram[histogram["count"] > 0].reset_index(drop=True),
    }
