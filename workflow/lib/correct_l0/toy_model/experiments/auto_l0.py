"""L0 found during the training: where each rule ends, how long it takes, when it fails."""

from __future__ import annotations

from collections.abc import Sequence

from correct_l0.toy_model.auto_l0 import AutoL0, DescentAutoL0, PaperAutoL0
from correct_l0.toy_model.experiments.training import Experiment, Tables
from correct_l0.toy_model.features import build_features
from correct_l0.toy_model.measure import MeasureSamples, inference_sae, measure_sae
from correct_l0.toy_model.sae import ToySae, random_weights

SETTLED_BY = 0.8
"""Share of the training by which a rule must have settled."""


def build_rule(name: str, start: float, settings, d_sae: int) -> AutoL0:
    """Return a rule at its start."""
    shared = {
        "start": start,
        "n": settings.n,
        "every_steps": settings.every_steps,
        "window_steps": settings.window_steps,
        "highest": d_sae,
    }
    if name == "descent":
        return DescentAutoL0(settings.descent, **shared)
    return PaperAutoL0(settings.paper, name == "paper_lower", **shared)


def steps_to_settle(trajectory: Sequence[dict[str, float]], end: float, tolerance: float) -> int:
    """Return the step after which L0 stays within the tolerance of where it ends.

    Examples
    --------
    >>> path = [{"step": 100, "l0": 20.0}, {"step": 200, "l0": 12.0}, {"step": 300, "l0": 11.5}]
    >>> steps_to_settle(path, 11.0, tolerance=1.0), steps_to_settle(path, 20.0, tolerance=1.0)
    (100, 300)
    """
    away = [point["step"] for point in trajectory if abs(point["l0"] - end) > tolerance]
    return int(max(away, default=0))


def failure(end: float, true_l0: float, tolerance: float, settled: bool) -> str:
    """Return in words why a rule did not find the true L0; empty if it did.

    Examples
    --------
    >>> failure(20.0, 10.95, 1.0, True)
    'ends 9.1 above the true L0'
    >>> failure(11.2, 10.95, 1.0, False)
    'still moving at the end'
    >>> failure(11.2, 10.95, 1.0, True)
    ''
    """
    distance = end - true_l0
    if abs(distance) > tolerance:
        return f"ends {abs(distance):.1f} {'above' if distance > 0 else 'below'} the true L0"
    return "" if settled else "still moving at the end"


def run(experiment: Experiment) -> Tables:
    """Train with every rule from every start; return where they end and their trajectories.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, appendix A.4 (later A.11).
    """
    settings, seed = experiment.section, experiment.seed
    features = build_features(experiment.toy_model)
    training = settings.training
    runs = [(rule, start) for rule in settings.rules for start in settings.start_l0]
    members = [
        ToySae(
            random_weights(features.d_in, experiment.d_sae, seed), training.lr,
            build_rule(rule, start, settings, experiment.d_sae),
            f"automatic L0 by {rule} from {start:g}, seed {seed}",
        )
        for rule, start in runs
    ]  # fmt: skip
    experiment.train("rules", features, members, training.batch_size, training.steps)
    samples = MeasureSamples(features, experiment.samples)
    tables = Tables()
    for (rule, start), member in zip(runs, members, strict=True):
        schedule = member.schedule
        assert isinstance(schedule, AutoL0)
        end = schedule.l0(training.steps)
        settle = steps_to_settle(schedule.trajectory, end, settings.tolerance)
        settled = settle <= SETTLED_BY * training.steps
        found = measure_sae(inference_sae(member.weights, end, samples.calibration), samples)
        row = {
            "rule": rule,
            "start_l0": start,
            "seed": seed,
            "l0_end": end,
            "steps_to_settle": settle,
            "settled": settled,
            **found.row("mean_best_cosine", "c_dec"),
            "failed": failure(end, features.true_l0, settings.tolerance, settled),
        }
        tables.add("auto_l0", [row])
        labels = {
            "experiment": "auto_l0", "run": f"{rule}_from_{start:g}", "rule": rule,
            "start_l0": start, "seed": seed,
        }  # fmt: skip
        tables.add(
            "trajectories",
            [
                {**labels, **point, "samples": point["step"] * training.batch_size}
                for point in schedule.trajectory
            ],
        )
    return tables
