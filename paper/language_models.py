"""What finished studies of language models say that the paper's later versions have numbers of."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import yaml

from correct_l0.errors import InputError
from correct_l0.provenance.checks import check_manifest, check_outputs
from correct_l0.provenance.manifest import read_manifest
from correct_l0.reading import RECIPE
from correct_l0.report.data import manifest_beside
from correct_l0.report.gather import load_tables
from correct_l0.study.config import parse_study
from correct_l0.study.plan import Plan
from correct_l0.study.report import report_settings

HERE = Path(__file__).parents[1] / "config"

CONFIGS = {
    "gemma-2-2b-layer-12": "c_dec",
    "gemma-2-2b-layer-12-jumprelu": "c_dec",
    "gemma-2-2b-layer-5": "c_dec",
    "gemma-2-2b-layer-20": "c_dec",
    "llama-3.2-1b-layer-7": "c_dec",
    "gemma-2-2b-layer-12-widths": "hedging",
    "synthetic-width": "hedging",
}
"""Configurations in `config/`, each the paper's study of that name, and which table it is for."""


def language_model_tables(configs: Path = HERE) -> dict[str, pd.DataFrame]:
    """Return the tables `language_models` and `widths` of the studies that have run to their end.

    `language_models`: of each study where c_dec is lowest, its elbow, and whether it is read at
    all. `widths`: the hedging rate of every SAE of every width.
    """
    tables: dict[str, list[pd.DataFrame]] = {"language_models": [], "widths": []}
    for name, table in CONFIGS.items():
        studies = parse_study(yaml.safe_load((configs / f"{name}.yaml").read_text()))
        for plan in map(Plan, studies):
            try:
                found = _c_dec(plan) if table == "c_dec" else _hedging(plan)
            except InputError:
                # Not run, or not with these settings: its claims say so.
                continue
            kind = "language_models" if table == "c_dec" else "widths"
            tables[kind].append(found.assign(study=name))
    return {name: pd.concat(found) if found else pd.DataFrame() for name, found in tables.items()}


def _checked(plan: Plan) -> Path:
    """Return the folder of a sweep's tables, which are those of its settings."""
    tables = Path(plan.results) / "tables"
    check_manifest(
        tables / "manifest.json",
        stage="gather_tables",
        recipe=RECIPE,
        parameters=report_settings(plan),
        inputs=read_manifest(tables / "manifest.json")["inputs"],
    )
    return tables


def _c_dec(plan: Plan) -> pd.DataFrame:
    verdict = _checked(plan) / "verdict.json"
    check_outputs(manifest_beside(verdict), f"delete {verdict} and run again")
    reading = json.loads(verdict.read_text())["c_dec"]
    names = ("outcome", "minimum", "elbow", "seeds")
    row = pd.DataFrame([{name: reading[name] for name in names}])
    return row.astype({"minimum": float, "elbow": float})


def _hedging(plan: Plan) -> pd.DataFrame:
    table = load_tables(_checked(plan))["hedging"]
    return table[["l0", "seed", "rate"]].assign(d_sae=plan.study.saes.d_sae)
