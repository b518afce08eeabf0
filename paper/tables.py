"""The tables that the claims are tested on, made of the tables and points of finished sweeps.

`l0` is the target, `mse` the squared error per sample summed over d_in in raw units,
`mean_best_cosine` and `min_best_cosine` the mean and the smallest |cosine| of the true features
with their latents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from correct_l0.metrics.decoder.projection import order_statistics, project
from correct_l0.metrics.recovery.matching import match_features, ordered_cosines
from paper.hedging import hedging_table
from paper.language_models import language_model_tables
from paper.studies import Point, Sweep
from paper.theory import theory_table
from paper.truth import (
    correlation_table,
    feature_table,
    ground_truth_table,
    mean_square,
    text_true_l0,
)

Tables = dict[str, pd.DataFrame]

COLUMNS: dict[str, tuple[str, ...]] = {
    "points": (
        "l0", "l0_measured", "seed", "mse", "variance_explained", "power_explained",
        "mean_best_cosine", "min_best_cosine",
    ),
    "c_dec": ("l0", "l0_measured", "seed", "value"),
    "s_n_dec": ("l0", "l0_measured", "seed", "n", "norm", "value"),
    "truth": ("quantity", "value"),
    "ground_truth": ("l0", "l0_measured", "mse", "variance_explained", "power_explained"),
    "features": ("feature", "probability"),
    "correlations": ("i", "j", "expected"),
    "cosines": ("l0", "seed", "latent", "feature", "cosine"),
    "transitions": (
        "run", "direction", "start_l0", "end_l0", "batch_size", "seed", "l0_end_reached",
        "mean_best_cosine",
    ),
    "trajectories": ("role", "run", "rule", "start_l0", "seed", "samples", "l0"),
    "auto_l0": (
        "rule", "start_l0", "seed", "l0_end", "steps_to_settle", "settled", "mean_best_cosine",
        "failed",
    ),
    "jumprelu": ("lambda", "seed", "l0_measured", "c_dec"),
    "superposition": ("l0", "l0_measured", "seed", "mean_best_cosine", "c_dec"),
    "small_model": (
        "experiment", "correlation", "l0", "seed", "init", "mixing", "mean_best_cosine",
    ),
    "theory": ("alpha", "expected_loss", "simulated_loss"),
    "hedging": (
        "case", "latents", "l0", "seed", "expected", "decoder", "encoder", "other_decoder", "kind",
        "loss", "least_loss",
    ),
    "language_models": ("study", "outcome", "minimum", "elbow", "seeds"),
    "widths": ("study", "d_sae", "l0", "seed", "rate"),
}  # fmt: skip
"""Columns by table. A table without rows keeps them."""

TEXT = {
    "quantity", "norm", "run", "direction", "role", "rule", "init", "experiment", "failed",
    "case", "kind", "study", "outcome",
}  # fmt: skip

COSINES_OF = (5.0, 18.0)
"""L0 whose latents are looked at one by one."""

TOLERANCE, SETTLED_BY = 1.0, 0.8
"""Distance from the true L0 within which a rule has found it, and the share of the training by
which it must have settled."""


def claim_tables(sweeps: Sequence[Sweep], small_model: pd.DataFrame | None = None) -> Tables:
    """Return every table of `COLUMNS`; those of sweeps that are not there have no rows."""
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in COLUMNS}
    tables["theory"].append(theory_table())
    tables["hedging"].append(hedging_table())
    for name, table in language_model_tables().items():
        tables[name].append(table)
    if small_model is not None:
        tables["small_model"].append(small_model)
    for sweep in sweeps:
        for name, table in MAKERS[sweep.role](sweep).items():
            tables[name].append(table)
    toy = next((sweep for sweep in sweeps if sweep.role != "superposition"), None)
    if toy is not None:
        tables["truth"].append(_truth_of_toy_model(toy))
    return {name: typed(pd.concat(found), name) for name, found in tables.items() if found} | {
        name: typed(pd.DataFrame(), name) for name, found in tables.items() if not found
    }


def typed(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a table with its columns, numbers as numbers without rows too."""
    table = table.reindex(columns=list(COLUMNS[name])).reset_index(drop=True)
    kinds = {column: object if column in TEXT else float for column in table}
    return table.astype({"settled": object, **kinds} if "settled" in table else kinds)


def _recovery(sweep: Sweep) -> pd.DataFrame:
    """Return the tables of points, c_dec and recovery as one, one row per SAE."""
    key = ["l0", "seed"]
    cosines = sweep.tables["recovery"].rename(columns={"worst_best_cosine": "min_best_cosine"})
    return (
        sweep.tables["points"]
        .merge(cosines[[*key, "mean_best_cosine", "min_best_cosine", "true_l0"]], on=key)
        .merge(sweep.tables["c_dec"][[*key, "value"]].rename(columns={"value": "c_dec"}), on=key)
    )


def _truth_of_toy_model(sweep: Sweep) -> pd.DataFrame:
    recovery = sweep.tables["recovery"]
    return _quantities(
        true_l0_formula=float(recovery["true_l0"].mean()),
        true_l0_measured=float(recovery["l0_true"].mean()),
        true_l0_text_formula=text_true_l0(),
    )


def _quantities(**values: float) -> pd.DataFrame:
    return pd.DataFrame({"quantity": list(values), "value": list(values.values())})


def of_sweep(sweep: Sweep) -> Tables:
    """Return what the sweep over L0 shows, and what the true features would."""
    world, table = sweep.world(), _recovery(sweep)
    raw = table["mse"] / table["activation_scale"] ** 2
    points = table.assign(
        mse=raw,
        variance_explained=1 - table["fvu"],
        power_explained=1 - raw / mean_square(world),
    )
    s_n = sweep.tables["s_n_dec"]
    unit = s_n[s_n["statistic"] == "batch_mean"].assign(norm="unit")
    ns = sorted(unit["n"].astype(int).unique())
    rows = world.held_out(0, world.n_held_out)
    directions = world.truth.directions
    measured = dict(zip(zip(table.l0, table.seed, strict=True), table.l0_measured, strict=True))
    as_trained, cosines = [], []
    for point in sweep.points:
        sae, l0 = point.sae(), float(point.label)
        projections = project(rows, sae.W_dec * point.decoder_norms()[:, None], sae.b_dec)
        values = order_statistics(projections.contiguous(), ns)
        key = {"l0": l0, "seed": point.seed}
        as_trained.append(
            pd.DataFrame({"n": ns, "value": values.numpy(), "norm": "raw"}).assign(
                **key, l0_measured=measured[l0, point.seed]
            )
        )
        if l0 in COSINES_OF:
            match = match_features(sae.W_dec, directions)
            cosines.append(_long(ordered_cosines(sae.W_dec, directions, match)).assign(**key))
    return {
        "points": points,
        "c_dec": sweep.tables["c_dec"],
        "s_n_dec": pd.concat([unit, *as_trained]),
        "ground_truth": ground_truth_table(world, sorted(sweep.plan.study.saes.l0)),
        "features": feature_table(world),
        "correlations": correlation_table(world),
        **({"cosines": pd.concat(cosines)} if cosines else {}),
    }


def _long(cosines: np.ndarray) -> pd.DataFrame:
    latent, feature = np.indices(cosines.shape)
    values = {"latent": latent.ravel(), "feature": feature.ravel(), "cosine": cosines.ravel()}
    return pd.DataFrame(values)


def _ends(sweep: Sweep) -> Iterable[tuple[Point, float, float]]:
    """Yield each SAE, the L0 it ended at, and its mean best cosine with the true features."""
    cosines = sweep.tables["recovery"].set_index(["l0", "seed"])["mean_best_cosine"]
    for point in sweep.points:
        yield point, float(point.facts["l0_end"]), float(cosines[float(point.label), point.seed])


def _trajectories(sweep: Sweep, run: str, rule: str) -> pd.DataFrame:
    batch = sweep.training.batch_tokens
    labels = {"role": sweep.role, "run": run, "rule": rule}
    return pd.concat(
        point.course().assign(
            **labels, start_l0=float(point.label), seed=point.seed,
            samples=lambda course: course["step"] * batch,
        )
        for point in sweep.points
    )  # fmt: skip


def of_transitions(sweep: Sweep) -> Tables:
    """Return what SAEs end with whose L0 went from too high or too low to the true one."""
    run, end = sweep.name, sweep.training.l0_schedule.end_l0  # type: ignore[union-attr]
    rows = [
        {
            "run": run,
            "direction": "down" if float(point.label) > end else "up",
            "start_l0": float(point.label),
            "end_l0": end,
            "batch_size": sweep.training.batch_tokens,
            "seed": point.seed,
            "l0_end_reached": reached,
            "mean_best_cosine": cosine,
        }
        for point, reached, cosine in _ends(sweep)
    ]
    return {
        "transitions": pd.DataFrame(rows),
        "trajectories": _trajectories(sweep, run, "linear"),
    }


def of_auto_l0(sweep: Sweep) -> Tables:
    """Return where a rule that finds L0 during the training ended, and whether it had settled."""
    rule, steps = sweep.training.l0_schedule.kind, sweep.training.steps  # type: ignore[union-attr]
    truth = float(sweep.tables["recovery"]["true_l0"].mean())
    rows = []
    for point, end, cosine in _ends(sweep):
        settle = steps_to_settle(point.course(), end)
        rows.append(
            {
                "rule": rule,
                "start_l0": float(point.label),
                "seed": point.seed,
                "l0_end": end,
                "steps_to_settle": settle,
                "settled": settle <= SETTLED_BY * steps,
                "mean_best_cosine": cosine,
                "failed": failure(end, truth, settle <= SETTLED_BY * steps),
            }
        )
    return {"auto_l0": pd.DataFrame(rows), "trajectories": _trajectories(sweep, sweep.name, rule)}


def steps_to_settle(course: pd.DataFrame, end: float) -> int:
    """Return the step after which L0 stays within `TOLERANCE` of where it ends.

    Examples
    --------
    >>> course = pd.DataFrame({"step": [100, 200, 300], "l0": [20.0, 12.0, 11.5]})
    >>> steps_to_settle(course, 11.0), steps_to_settle(course, 20.0)
    (100, 300)
    """
    away = course.loc[(course["l0"] - end).abs() > TOLERANCE, "step"]
    return int(away.max()) if len(away) else 0


def failure(end: float, true_l0: float, settled: bool) -> str:
    """Return in words why a rule did not find the true L0; empty if it did.

    Examples
    --------
    >>> failure(20.0, 10.95, True), failure(11.2, 10.95, False), failure(11.2, 10.95, True)
    ('ends 9.1 above the true L0', 'still moving at the end', '')
    """
    distance = end - true_l0
    if abs(distance) > TOLERANCE:
        return f"ends {abs(distance):.1f} {'above' if distance > 0 else 'below'} the true L0"
    return "" if settled else "still moving at the end"


def of_jumprelu(sweep: Sweep) -> Tables:
    """Return what L0 and c_dec the coefficients of the penalty lead to."""
    return {"jumprelu": _recovery(sweep).rename(columns={"l0": "lambda"})}


def of_superposition(sweep: Sweep) -> Tables:
    """Return recovery and c_dec where there are more features than dimensions."""
    table = _recovery(sweep)
    truth = float(sweep.tables["recovery"]["true_l0"].mean())
    return {"superposition": table, "truth": _quantities(superposition_true_l0=truth)}


MAKERS: dict[str, Callable[[Sweep], Tables]] = {
    "sweep": of_sweep,
    "transitions": of_transitions,
    "auto_l0": of_auto_l0,
    "jumprelu": of_jumprelu,
    "superposition": of_superposition,
}
