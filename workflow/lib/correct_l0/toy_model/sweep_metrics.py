"""What is measured on the SAEs of one part of the sweep: decoder metrics, errors, true features."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from correct_l0.metrics.decoder import RECIPE as DECODER_METRICS_RECIPE
from correct_l0.provenance.manifest import digest_of, write_manifest
from correct_l0.saes.saved import load_saved_sae
from correct_l0.settings.base import format_l0
from correct_l0.toy_model import METRICS_STAGE
from correct_l0.toy_model.experiments.training import Tables
from correct_l0.toy_model.features import build_features
from correct_l0.toy_model.measure import (
    MeasureSamples,
    cosine_columns,
    measure_sae,
    s_n_dec,
)
from correct_l0.toy_model.point import PointSettings, check_point, point_parameters
from correct_l0.toy_model.settings import ToyDecoderMetrics

RECIPE = DECODER_METRICS_RECIPE
NORMS = ("unit", "raw")
"""Rows of the decoder at unit norm, as in the paper, or as they were trained."""


def measure_part(
    settings_saes: str,
    settings_metrics: str,
    points: Sequence[tuple[float, Path]],
    target: Path | str,
) -> None:
    """Measure the points of one part; write their tables beside a manifest.

    Parameters
    ----------
    settings_saes, settings_metrics
        Canonical settings of the sweep and of the decoder metrics.
    points
        Target L0 and manifest of each point.
    target
        The manifest to write; the tables go into a folder of the same name.

    Raises
    ------
    InputError
        If a point was made with other settings, or is damaged.
    """
    metrics = ToyDecoderMetrics.model_validate(json.loads(settings_metrics))
    features = build_features(PointSettings.parse(settings_saes).toy_model)
    samples = MeasureSamples(features, metrics.samples)
    tables = Tables()
    for l0, path in points:
        _measure_point(l0, path, point_parameters(settings_saes, l0), samples, metrics, tables)
    target = Path(target)
    outputs = tables.write(target.with_suffix(""))
    write_manifest(
        target,
        stage=METRICS_STAGE,
        recipe=RECIPE,
        parameters=settings_metrics,
        inputs={format_l0(l0): digest_of(path) for l0, path in points},
        outputs=outputs,
    )


def _measure_point(
    l0: float,
    path: Path,
    parameters: str,
    samples: MeasureSamples,
    metrics: ToyDecoderMetrics,
    tables: Tables,
) -> None:
    facts = check_point(path, parameters)
    sae = load_saved_sae(path.parent / "sae")
    norms = torch.from_numpy(np.load(path.parent / "decoder_norms.npy"))
    found = measure_sae(sae, samples)
    seed = facts["seed"]
    labels = {"l0": l0, "l0_measured": found.l0_measured, "seed": seed}
    kept = ("wall_s", "steps", "samples", "batch_size", "device", "code_version")
    row = {**labels, **found.row(), **{name: facts[name] for name in kept}}
    row.pop("c_dec")
    tables.add("points", [row])
    tables.add("c_dec", [{**labels, "value": found.c_dec}])
    n = list(metrics.n)
    for name, rows in zip(NORMS, (sae.W_dec, sae.W_dec * norms[:, None]), strict=True):
        values = s_n_dec(rows, sae.b_dec, samples.rows, n)
        tables.add(
            "s_n_dec", {**labels, "n": n, "norm": name, "value": [values[rank] for rank in n]}
        )
    label = f"l0_{format_l0(l0)}"
    tables.add(
        "cosines", cosine_columns(found.match, experiment="sweep", run=label, l0=l0, seed=seed)
    )
