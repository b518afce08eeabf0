"""Few features, one correlated with all others: what a low L0 mixes, feature by feature."""

from __future__ import annotations

from correct_l0.toy_model.correlations import star
from correct_l0.toy_model.experiments.training import Experiment, Tables, true_weights
from correct_l0.toy_model.features import build_features
from correct_l0.toy_model.measure import (
    MeasureSamples,
    cosine_columns,
    inference_sae,
    measure_sae,
)
from correct_l0.toy_model.sae import ToySae, random_weights
from correct_l0.toy_model.schedules import Fixed
from correct_l0.toy_model.settings import ToyModel

# A run is (experiment, l0, init).
Run = tuple[str, float, str]


def runs_of(settings, correlation: float) -> list[Run]:
    """Return the runs of one correlation, in the order of the table."""
    runs: list[Run] = []
    true_l0 = settings.features * settings.probability
    if correlation in settings.correlation:
        runs += [("true_l0", true_l0, "random"), ("true_l0", true_l0, "truth")]
        runs += [("init", settings.low_l0, "random"), ("init", settings.low_l0, "truth")]
        runs += [("mixing_l0", l0, "truth") for l0 in settings.mixing_l0]
    if correlation in settings.mixing_correlation:
        runs += [("mixing_correlation", settings.low_l0, "truth")]
    return runs


def model_of(settings, correlation: float, seed: int) -> ToyModel:
    """Return the small model with one correlation; its directions depend on the seed."""
    return ToyModel.model_validate(
        {
            "features": settings.features,
            "d_in": settings.d_in,
            "firing": [settings.probability] * settings.features,
            "correlation": {"pairs": star(settings.features, correlation)},
            "seed": seed,
        }
    )


def run(experiment: Experiment) -> Tables:
    """Train every run of every correlation; return the small model's rows and its cosines.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, later versions, figures 2-3 and 11-14.
    """
    settings, seed = experiment.section, experiment.seed
    tables = Tables()
    for correlation in sorted({*settings.correlation, *settings.mixing_correlation}):
        runs = runs_of(settings, correlation)
        features = build_features(model_of(settings, correlation, seed))
        # What several runs ask for is trained once.
        members = {
            (l0, init): ToySae(
                true_weights(features)
                if init == "truth"
                else random_weights(settings.d_in, settings.features, seed),
                settings.training.lr,
                Fixed(l0),
                f"small model, correlation {correlation:g}, l0 {l0:g}, seed {seed}",
            )
            for _, l0, init in runs
        }
        training = settings.training
        experiment.train(
            f"correlation_{correlation:g}", features, list(members.values()),
            training.batch_size, training.steps,
        )  # fmt: skip
        samples = MeasureSamples(features, experiment.samples)
        measured = {
            key: measure_sae(inference_sae(member.weights, key[0], samples.calibration), samples)
            for key, member in members.items()
        }
        for name, l0, init in runs:
            found = measured[l0, init]
            row = {
                "experiment": name,
                "correlation": correlation,
                "l0": l0,
                "seed": seed,
                "init": init,
                "mixing": found.match.mixing,
                **found.row("mean_best_cosine", "mse"),
            }
            tables.add("small_model", [row])
        for (l0, init), found in measured.items():
            label = f"correlation_{correlation:g}_{init}"
            tables.add(
                "cosines",
                cosine_columns(found.match, experiment="small_model", run=label, l0=l0, seed=seed),
            )
    return tables
