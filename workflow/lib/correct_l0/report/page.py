"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from correct_l0.reading.health import NOT_TRAINED, last_moves
from correct_l0.reading.reading import ABOVE_N, FALLS, FLAT, READ, TOO_FEW, TOO_HIGH
from correct_l0.reading.stability import NOT_REPRODUCIBLE
from correct_l0.reading.voices import DISAGREE
from correct_l0.report.captions import captions
from correct_l0.report.data import StudyData
from correct_l0.report.html import asset, cell, figure_entry, notation, page_environment
from correct_l0.report.methods import METHODS
from correct_l0.settings.base import format_l0
from correct_l0.study.config import Config

__all__ = ["full_table", "notation", "render_page"]

PATHS = {
    READ: "answer",
    FLAT: "open",
    FALLS: "open",
    TOO_HIGH: "open",
    DISAGREE: "open",
    NOT_TRAINED: "warning",
    NOT_REPRODUCIBLE: "warning",
    TOO_FEW: "warning",
    ABOVE_N: "warning",
}
"""How each outcome is coloured."""


def render_page(study: StudyData, figures: Path | str, provenance: dict[str, Any]) -> str:
    """Return the report as HTML with all styles, scripts and figures inside.

    Parameters
    ----------
    study
        The gathered study.
    figures
        Folder of `figures.draw_all`.
    provenance
        `code_versions` and `packages` of the points.
    """
    environment = page_environment("correct_l0.report")
    texts = captions(study)
    config = study.plan.study
    return environment.get_template("report.html").render(
        title=config.title or config.study,
        study=config,
        verdict=study.verdict,
        tone=PATHS[study.verdict["outcome"]],
        figures={name: figure_entry(figures, name, text) for name, text in texts.items()},
        facts=_facts(study),
        gaps=[
            row
            | ({"l0": "–", "seed": "–"} if math.isnan(row["l0"]) else {"l0": format_l0(row["l0"])})
            for row in study.tables["gaps"].to_dict("records")
        ],
        table=full_table(study),
        methods=METHODS,
        config_yaml=yaml.safe_dump(
            json.loads(config.model_dump_json(exclude_defaults=True)), sort_keys=False, width=100
        ),
        provenance=provenance,
        style=asset(environment, "report.css"),
        script=asset(environment, "report.js"),
    )


def full_table(study: StudyData) -> dict[str, Any]:
    """Return one row per point with every number: `columns` (name, explanation) and `rows`.

    Cells are pairs of what is shown and what is sorted by; a missing value is a dash that sorts
    last.
    """
    tables = study.tables
    wide = tables["points"].set_index(["l0", "seed"])
    parts = [wide[["l0_measured"]]]
    columns = {
        "l0": "target L0",
        "seed": "seed",
        "l0_measured": "measured L0",
    }
    keyed = tables["c_dec"].set_index(["l0", "seed"])
    parts.append(keyed[["value"]].set_axis(["c_dec"], axis="columns"))
    columns["c_dec"] = "c_dec"
    means = tables["s_n_dec"][tables["s_n_dec"]["statistic"] == "batch_mean"]
    s_n = means.pivot_table(index=["l0", "seed"], columns="n", values="value")
    for n in s_n.columns:
        columns[f"s_{int(n)}"] = f"s_n^dec, n = {int(n)}"
    parts.append(s_n.set_axis([f"s_{int(n)}" for n in s_n.columns], axis="columns"))
    scores = [name for name in ("f1", "f1_dedup", "auc") if name in tables["probing"]]
    for name in scores:
        mean = tables["probing"].pivot_table(index=["l0", "seed"], columns="probe_k", values=name)
        labels = {"f1": "F1", "f1_dedup": "F1 without repeated prompts", "auc": "AUC"}
        for k in mean.columns:
            columns[f"{name}_{int(k)}"] = f"{labels[name]}, probe_k = {int(k)}"
        parts.append(mean.set_axis([f"{name}_{int(k)}" for k in mean.columns], axis="columns"))
    health = {
        "fvu": "FVU",
        "dead_fraction": "dead latents (share)",
        "init_cosine_median": "cosine with initialisation (median)",
        "loss_slope": "fall of the loss per tenth of training",
        "threshold": "threshold",
        "tokens_per_s": "training tokens / s",
        "wall_s": "training time (s)",
        "data_wait_fraction": "waiting for data (share of training time)",
    }
    parts.append(wide[list(health)])
    columns |= health
    parts.append(last_moves(tables["c_dec_training"]).set_index(["l0", "seed"])[["moved"]])
    columns["moved"] = "move of c_dec in the last tenth of training"
    rows = pd.concat(parts, axis="columns").reset_index().sort_values(["l0", "seed"])
    return {
        "columns": list(columns.values()),
        "rows": [[cell(row[name]) for name in columns] for row in rows.to_dict("records")],
    }


def _facts(study: StudyData) -> list[tuple[str, str]]:
    config, points = study.plan.study, study.tables["points"]
    training = config.saes.training
    d_in = config.source.d_in
    tokens = sorted({config.training(x).training_tokens for x in config.saes.l0})
    spoken = " to ".join(f"{t:,}" for t in dict.fromkeys((tokens[0], tokens[-1])))
    tasks = study.tables["probing"]["task"].nunique()
    return [
        _source(config),
        ("SAEs", f"{len(points)} BatchTopK, {config.saes.d_sae:,} latents on {d_in:,}"),
        ("L0", ", ".join(format_l0(x) for x in sorted(config.saes.l0))),
        ("Seeds", ", ".join(map(str, config.saes.seeds))),
        ("Training", f"{spoken} tokens each, batches of {training.batch_tokens:,}"),
        ("Measured on", f"{config.source.held_out_tokens:,} held-out tokens"),
        ("Probing", f"{tasks} tasks" if tasks else "none"),
        ("Time in training", time_in_training(points)),
    ]


def _source(config: Config) -> tuple[str, str]:
    """Return what the activations are of."""
    if config.synthetic is not None:
        world = config.synthetic
        return "Synthetic world", f"{world.features:,} features in {world.d_in:,} dimensions"
    a = config.language_model
    return "Model", f"{a.model.source.removeprefix('package:')}, {a.hook_name}"


def time_in_training(points: pd.DataFrame) -> str:
    """Return the time of all trainings in words, and how much of it was waiting for data.

    Examples
    --------
    >>> points = pd.DataFrame({"wall_s": [900.0, 300.0], "data_wait_fraction": [0.04, 0.0]})
    >>> time_in_training(points)
    '20 min, 3.0% of it waiting for data'
    """
    walls = points["wall_s"].astype(float)
    total, waited = walls.sum(), (walls * points["data_wait_fraction"].astype(float)).sum()
    if not total > 0:
        return "unknown"
    hours = total / 3600
    spoken = f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.1f} h"
    return f"{spoken}, {waited / total:.1%} of it waiting for data"
