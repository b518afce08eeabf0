"""All results of a toy study in tidy tables, after every manifest was held against the settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from correct_l0.errors import InputError
from correct_l0.metrics.decoder.cosine import mean_absolute_cosine
from correct_l0.provenance.manifest import check_manifest, digest_of, replacing, write_manifest
from correct_l0.settings.base import format_l0
from correct_l0.toy_model import EXPERIMENT_STAGE, METRICS_STAGE, RECIPE, TABLES_STAGE
from correct_l0.toy_model.experiments import RECIPE as EXPERIMENTS_RECIPE
from correct_l0.toy_model.features import build_features, firing_correlation
from correct_l0.toy_model.generator import Stream
from correct_l0.toy_model.ground_truth import ground_truth_sae
from correct_l0.toy_model.measure import MeasureSamples, cosine_columns, measure_sae, s_n_dec
from correct_l0.toy_model.plan import ToyPlan
from correct_l0.toy_model.point import check_point, point_parameters
from correct_l0.toy_model.sweep_metrics import RECIPE as METRICS_RECIPE
from correct_l0.toy_model.tables import COLUMNS

Frames = dict[str, list[pd.DataFrame]]


def gather(plan: ToyPlan, folder: Path | str) -> None:
    """Write every table as Parquet and CSV, and their manifest.

    Raises
    ------
    InputError
        Naming the first result that is missing, damaged or made with other settings.
    """
    folder = Path(folder)
    frames: Frames = {name: [] for name in COLUMNS}
    inputs: dict[str, str] = {}
    for path in _checked_sweep(plan) + _checked_experiments(plan):
        inputs[str(path.relative_to(plan.results))] = digest_of(path)
        for file in sorted(_tables_of(path).glob("*.parquet")):
            frames[file.stem].append(pd.read_parquet(file))
    for name, frame in _truth(plan).items():
        frames[name].append(frame)
    n_values = list(plan.study.decoder_metrics.n)
    outputs = []
    for name, columns in COLUMNS.items():
        table = _joined(name, columns, frames[name])
        if name == "s_n_dec_superposition":
            table = table[table.n.isin(n_values)].reset_index(drop=True)
        with replacing(folder / f"{name}.parquet") as temporary:
            table.to_parquet(temporary, index=False)
        with replacing(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.9g")
        outputs += [folder / f"{name}.parquet", folder / f"{name}.csv"]
    write_manifest(
        folder / "manifest.json",
        stage=TABLES_STAGE,
        recipe=RECIPE,
        parameters=plan.settings_saes(),
        inputs=inputs,
        outputs=outputs,
    )


def _joined(name: str, columns: tuple[str, ...], frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Return a table in the order of its columns; a column that some rows lack is empty there."""
    if not frames:
        return pd.DataFrame(columns=list(columns))
    table = pd.concat(frames, ignore_index=True)
    unknown = set(table.columns) - set(columns)
    if unknown:
        raise ValueError(f"table {name} has columns that are not declared: {sorted(unknown)}")
    return table.reindex(columns=list(columns)).drop_duplicates(ignore_index=True)


def _tables_of(manifest: Path) -> Path:
    """Return the folder of a manifest's tables: beside it, or of its name where many share one."""
    return manifest.parent if manifest.name == "manifest.json" else manifest.with_suffix("")


def _checked_sweep(plan: ToyPlan) -> list[Path]:
    """Return the manifests of the measured parts, each held against its points."""
    paths = []
    for seed in plan.study.saes.seeds:
        for part, l0 in enumerate(plan.part_l0):
            path = Path(f"{plan.results}/decoder_metrics/parts/seed_{seed}/part_{part}.json")
            points = {format_l0(x): plan.point_manifest(format_l0(x), seed) for x in l0}
            missing = [name for name in points.values() if not Path(name).exists()]
            if missing:
                made_by = f"{plan.results}/saes/parts/seed_{seed}/part_{part}.json"
                raise InputError(f"{missing[0]}: missing; delete {made_by} and run again")
            for x, name in zip(l0, points.values(), strict=True):
                check_point(name, point_parameters(plan.settings_saes(), x))
            check_manifest(
                path,
                stage=METRICS_STAGE,
                recipe=METRICS_RECIPE,
                parameters=plan.settings_decoder_metrics(),
                inputs={label: digest_of(name) for label, name in points.items()},
            )
            paths.append(path)
    return paths


def _checked_experiments(plan: ToyPlan) -> list[Path]:
    paths = []
    for name in plan.experiments():
        path = Path(name)
        check_manifest(
            path,
            stage=EXPERIMENT_STAGE,
            recipe=EXPERIMENTS_RECIPE,
            parameters=plan.settings_experiment(path.parents[1].name),
            inputs={},
        )
        paths.append(path)
    return paths


def _truth(plan: ToyPlan) -> dict[str, pd.DataFrame]:
    """Return the tables of what is known: features, correlations and the ground-truth SAE."""
    model = plan.study.toy_model
    features = build_features(model)
    samples = MeasureSamples(features, plan.study.decoder_metrics.samples)
    fires = Stream(features, 1, plan.study.decoder_metrics.samples, "measure").fires(0)
    rates = fires.float().mean(dim=0).double().numpy()
    measured = np.asarray(np.corrcoef(fires.numpy().T.astype(np.float64)))
    expected = firing_correlation(features)
    i, j = np.triu_indices(features.count, 1)
    text = model.model_copy(update={"firing": "text"})
    directions = torch.tensor(features.directions)
    quantities = {
        "true_l0_formula": features.true_l0,
        "true_l0_measured": float(rates.sum()),
        "true_l0_text_formula": text.true_l0,
        "features": features.count,
        "d_in": features.d_in,
        "c_dec_features": mean_absolute_cosine(directions),
    }
    return {
        "truth": pd.DataFrame(
            [{"quantity": name, "value": float(value)} for name, value in quantities.items()]
        ),
        "features": pd.DataFrame(
            {
                "feature": range(features.count),
                "probability": features.probabilities,
                "rate": rates,
            }
        ),
        "correlations": pd.DataFrame(
            {
                "i": i,
                "j": j,
                "configured": features.correlation[i, j],
                "expected": expected[i, j],
                "measured": measured[i, j],
            }
        ),
        **_ground_truth(plan, samples),
    }


def _ground_truth(plan: ToyPlan, samples: MeasureSamples) -> dict[str, pd.DataFrame]:
    rows = []
    for l0 in sorted(plan.study.saes.l0):
        sae = ground_truth_sae(samples.features, l0, samples)
        found = measure_sae(sae, samples)
        names = ("l0_measured", "mse", "variance_explained", "power_explained", "c_dec")
        rows.append({"l0": l0, **found.row(*names)})
    n = list(plan.study.decoder_metrics.n)
    values = s_n_dec(sae.W_dec, sae.b_dec, samples.rows, n)
    labels = {"experiment": "ground_truth", "run": "truth", "l0": l0, "seed": 0}
    return {
        "ground_truth": pd.DataFrame(rows),
        "ground_truth_s_n_dec": pd.DataFrame({"n": n, "value": [values[rank] for rank in n]}),
        "cosines": pd.DataFrame(cosine_columns(found.match, **labels)),
    }
