"""The toy study's page: one HTML file that needs nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from markupsafe import Markup

from correct_l0.report.html import asset, cell, figure_entry, page_environment
from correct_l0.settings.base import format_l0
from correct_l0.toy_model.report import FIGURES
from correct_l0.toy_model.report.captions import seeds_of, toy_captions
from correct_l0.toy_model.report.claims.judgement import (
    CONFOUNDED,
    NOT,
    NOT_RUN,
    PARTLY,
    REPRODUCED,
    number,
    spread_of,
)
from correct_l0.toy_model.report.claims.table import counts
from correct_l0.toy_model.report.claims.training import PAPERS_RULES, SETTLED
from correct_l0.toy_model.report.data import ToyData
from correct_l0.toy_model.report.methods import TOY_METHODS
from correct_l0.toy_model.report.truth import EXACT, INSIDE, MISSED, SILENT

TONES = {EXACT: "answer", INSIDE: "answer", MISSED: "warning", SILENT: "open"}
MARKS = {
    REPRODUCED: "reproduced",
    PARTLY: "partly",
    NOT: "not",
    CONFOUNDED: "confounded",
    NOT_RUN: "absent",
}
"""How each outcome and each verdict is coloured."""


def render_toy_page(study: ToyData, figures: Path | str, provenance: dict[str, Any]) -> str:
    """Return the report as HTML with all styles, scripts and figures inside.

    Parameters
    ----------
    study
        The gathered study.
    figures
        Folder of the drawn figures.
    provenance
        `code_versions` and `packages` of the results.
    """
    environment = page_environment("correct_l0.toy_model.report", "correct_l0.report")
    texts, config = toy_captions(study), study.study
    styles = [asset(environment, name) for name in ("report.css", "toy.css")]
    return environment.get_template("toy.html").render(
        title=config.title or config.study,
        verdict=study.verdict,
        tone=TONES[study.verdict["truth"]["outcome"]],
        figures={name: figure_entry(figures, name, texts[name]) for name in FIGURES},
        facts=_facts(study),
        claims=_ledger(study.tables["claims"]),
        counts=counts(study.tables["claims"]),
        marks=MARKS,
        table=toy_table(study),
        auto=auto_table(study.tables["auto_l0"], study.truth),
        methods=TOY_METHODS,
        config_yaml=yaml.safe_dump(
            json.loads(config.model_dump_json(exclude_defaults=True)), sort_keys=False, width=100
        ),
        provenance=provenance,
        style=Markup("\n").join(styles),
        script=asset(environment, "report.js"),
    )


def _ledger(claims: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of the ledger, each with the position of its part and seeds in words."""
    position = {part: i for i, part in enumerate(dict.fromkeys(claims["part"]))}
    rows = []
    for row in claims.to_dict("records"):
        seeds = int(row["seeds"])
        spread = row["spread"]
        over = spread if seeds < 2 or not spread else f"{spread} ({seeds} seeds)"
        rows.append(row | {"position": position[row["part"]], "over_seeds": over})
    return rows


def toy_table(study: ToyData) -> dict[str, Any]:
    """Return one row per point with every number: `columns` and `rows` of cells."""
    tables = study.tables
    columns = {
        "l0": "target L0",
        "seed": "seed",
        "l0_measured": "measured L0",
        "c_dec": "c_dec",
        "mean_best_cosine": "mean best cosine",
        "min_best_cosine": "worst best cosine",
        "mse": "squared error",
        "variance_explained": "variance explained",
        "power_explained": "squared norm explained",
        "dead_latents": "dead latents",
        "wall_s": "training time (s)",
    }
    c_dec = tables["c_dec"][["l0", "seed", "value"]].rename(columns={"value": "c_dec"})
    wide = tables["points"].merge(c_dec, on=["l0", "seed"], how="left")
    for norm in ("unit", "raw"):
        rows = tables["s_n_dec"][tables["s_n_dec"]["norm"] == norm]
        s_n = rows.pivot_table(index=["l0", "seed"], columns="n", values="value")
        names = {n: f"{norm}_{int(n)}" for n in s_n.columns}
        columns |= {names[n]: f"s_n^dec, n = {int(n)}, {norm} norms" for n in s_n.columns}
        wide = wide.merge(s_n.rename(columns=names).reset_index(), on=["l0", "seed"], how="left")
    ordered = wide.sort_values(["l0", "seed"]).to_dict("records")
    return {
        "columns": list(columns.values()),
        "rows": [[cell(row[name]) for name in columns] for row in ordered],
    }


def auto_table(auto: pd.DataFrame, truth: float) -> list[dict[str, str]]:
    """Return how each rule of the automatic L0 fared from each start, in words.

    Parameters
    ----------
    auto
        Table `auto_l0`.
    truth
        The true L0.
    """
    rows = []
    ordered = auto.assign(beside=~auto["rule"].isin(list(PAPERS_RULES))).sort_values(
        ["beside", "rule", "start_l0"], ascending=[True, True, False]
    )
    for _, runs in ordered.groupby(["rule", "start_l0"], sort=False):
        rule, start = str(runs["rule"].iloc[0]), float(runs["start_l0"].iloc[0])
        found = int(((runs["l0_end"] - truth).abs() <= SETTLED).sum())
        steps = runs["steps_to_settle"].dropna()
        reasons = dict.fromkeys(r for r in runs["failed"] if isinstance(r, str) and r)
        rows.append(
            {
                "rule": f"the paper's, {PAPERS_RULES[rule]}"
                if rule in PAPERS_RULES
                else rule.replace("_", " "),
                "start": number(start),
                "ends": f"{number(runs['l0_end'].mean())} ({spread_of(runs['l0_end'])})",
                "found": f"{found} of {len(runs)}",
                "steps": f"{steps.mean():,.0f}" if len(steps) else "–",
                "cosine": number(runs["mean_best_cosine"].mean()),
                "failed": "; ".join(reasons),
            }
        )
    return rows


EXPERIMENT_NAMES = {
    "transitions": "transitions of L0",
    "small_model": "small model",
    "superposition": "superposition",
    "jumprelu": "JumpReLU",
    "auto_l0": "automatic L0",
}


def _facts(study: ToyData) -> list[tuple[str, str]]:
    config, points = study.study, study.tables["points"]
    model, training = config.toy_model, config.saes.training
    minutes = float(points["wall_s"].sum()) / 60
    experiments = ", ".join(EXPERIMENT_NAMES[name] for name in config.experiments.names())
    kind = "orthonormal" if model.orthogonal else "overlapping"
    return [
        ("Toy model", f"{model.features} {kind} features in {model.d_in} dimensions"),
        ("True L0", f"{study.truth:.2f}"),
        ("SAEs", f"{len(points)} BatchTopK, {config.saes.d_sae:,} latents"),
        ("L0", ", ".join(format_l0(x) for x in sorted(config.saes.l0))),
        ("Seeds", seeds_of(points)),
        ("Training", f"{training.samples:,} samples each, batches of {training.batch_size:,}"),
        ("Measured on", f"{config.decoder_metrics.samples:,} other samples"),
        ("Experiments", experiments or "none"),
        ("Time in the sweep", f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"),
    ]
