"""More features than dimensions: the sweep over L0 with features that overlap."""

from __future__ import annotations

import torch

from correct_l0.metrics.decoder.cosine import mean_absolute_cosine
from correct_l0.settings.base import format_l0
from correct_l0.toy_model.experiments.training import Experiment, Tables
from correct_l0.toy_model.features import build_features
from correct_l0.toy_model.measure import (
    MeasureSamples,
    cosine_columns,
    inference_sae,
    measure_sae,
    s_n_dec,
)
from correct_l0.toy_model.sae import ToySae, random_weights
from correct_l0.toy_model.schedules import Fixed


def run(experiment: Experiment) -> Tables:
    """Train an SAE at every L0; return superposition, its s_n^dec for every n, and cosines.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, later versions, figure 15.
    """
    settings, seed = experiment.section, experiment.seed
    model = experiment.toy_model.model_copy(update={"d_in": settings.d_in, "orthogonal": False})
    features = build_features(model)
    training = settings.training
    members = [
        ToySae(
            random_weights(features.d_in, experiment.d_sae, seed), training.lr, Fixed(l0),
            f"superposition, l0 {l0:g}, seed {seed}",
        )
        for l0 in settings.l0
    ]  # fmt: skip
    experiment.train("sweep", features, members, training.batch_size, training.steps)
    samples = MeasureSamples(features, experiment.samples)
    tables = Tables()
    for l0, member in zip(settings.l0, members, strict=True):
        sae = inference_sae(member.weights, l0, samples.calibration)
        found = measure_sae(sae, samples)
        labels = {"l0": l0, "l0_measured": found.l0_measured, "seed": seed}
        row = {**labels, "d_in": settings.d_in}
        tables.add("superposition", [{**row, **found.row("mse", "mean_best_cosine", "c_dec")}])
        every_n = list(range(1, experiment.d_sae))
        values = s_n_dec(sae.W_dec, sae.b_dec, samples.rows, every_n)
        tables.add(
            "s_n_dec_superposition",
            {
                "l0": l0, "l0_measured": found.l0_measured, "seed": seed,
                "n": every_n, "value": [values[n] for n in every_n],
            },
        )  # fmt: skip
        tables.add(
            "cosines",
            cosine_columns(
                found.match, experiment="superposition", run=f"l0_{format_l0(l0)}", l0=l0, seed=seed
            ),
        )
    directions = torch.tensor(features.directions)
    tables.add(
        "truth",
        [
            {"quantity": "superposition_true_l0", "value": features.true_l0},
            {
                "quantity": "superposition_c_dec_features",
                "value": mean_absolute_cosine(directions),
            },
        ],
    )
    return tables
