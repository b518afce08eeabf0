"""L0 changed during training, from too high or too low to the true one."""

from __future__ import annotations

from correct_l0.toy_model.experiments.training import Experiment, Tables
from correct_l0.toy_model.features import build_features
from correct_l0.toy_model.measure import (
    MeasureSamples,
    cosine_columns,
    inference_sae,
    measure_sae,
)
from correct_l0.toy_model.sae import ToySae, random_weights
from correct_l0.toy_model.schedules import Linear

POINTS = 100
"""Points of each trajectory."""


def run(experiment: Experiment) -> Tables:
    """Train every schedule from every start; return transitions, trajectories and cosines.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, appendix A.3.
    """
    settings, seed = experiment.section, experiment.seed
    features = build_features(experiment.toy_model)
    samples = MeasureSamples(features, experiment.samples)
    tables = Tables()
    for schedule in settings.schedules:
        ramps = [
            Linear(start, settings.end_l0, schedule.ramp_steps, max(1, schedule.steps // POINTS))
            for start in settings.start_l0
        ]
        members = [
            ToySae(
                random_weights(features.d_in, experiment.d_sae, seed), settings.lr, ramp,
                f"transition {schedule.run} from l0 {start:g}, seed {seed}",
            )
            for start, ramp in zip(settings.start_l0, ramps, strict=True)
        ]  # fmt: skip
        experiment.train(schedule.run, features, members, schedule.batch_size, schedule.steps)
        for start, ramp, member in zip(settings.start_l0, ramps, members, strict=True):
            reached = ramp.l0(schedule.steps - 1)
            found = measure_sae(
                inference_sae(member.weights, reached, samples.calibration), samples
            )
            row = {
                "run": schedule.run,
                "direction": "down" if start > settings.end_l0 else "up",
                "start_l0": start,
                "end_l0": settings.end_l0,
                "batch_size": schedule.batch_size,
                "ramp_steps": schedule.ramp_steps,
                "final_steps": max(0, schedule.steps - schedule.ramp_steps),
                "seed": seed,
                "l0_end_reached": reached,
                **found.row("mean_best_cosine", "min_best_cosine", "c_dec"),
            }
            tables.add("transitions", [row])
            labels = {"experiment": "transitions", "run": f"{schedule.run}_{row['direction']}"}
            tables.add(
                "trajectories",
                [
                    {
                        **labels, "rule": "fixed", "start_l0": start, "seed": seed, **point,
                        "samples": point["step"] * schedule.batch_size,
                    }
                    for point in ramp.trajectory
                ],
            )  # fmt: skip
            tables.add("cosines", cosine_columns(found.match, **labels, l0=reached, seed=seed))
    return tables
