"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from markupsafe import Markup

from correct_l0.reading.health import NOT_TRAINED, last_moves
from correct_l0.reading.outlying import LEANS
from correct_l0.reading.peak import NO_PEAK
from correct_l0.reading.reading import ABOVE_N, FALLS, FLAT, READ, TOO_FEW, TOO_HIGH
from correct_l0.reading.single import ABOUT_RIGHT, CANNOT_TELL, TOO_LOW
from correct_l0.reading.single import TOO_HIGH as SINGLE_TOO_HIGH
from correct_l0.reading.stability import NOT_REPRODUCIBLE
from correct_l0.reading.voices import DISAGREE
from correct_l0.report.captions import captions
from correct_l0.report.data import StudyData
from correct_l0.report.explore import explore_seeds, packed_library
from correct_l0.report.hedging_words import hedging_columns
from correct_l0.report.html import (
    Explainer,
    asset,
    cell,
    figure_entry,
    notation,
    page_environment,
)
from correct_l0.report.methods import methods_of
from correct_l0.report.norms_words import norms_line
from correct_l0.report.published import published_columns
from correct_l0.report.rounds_words import rounds_in_words
from correct_l0.report.self_check_words import self_check_line, self_check_rows
from correct_l0.report.stored_words import stored_facts
from correct_l0.report.terms import terms_of, what_is_right
from correct_l0.report.truth_words import semi_synthetic_in_words, world_in_words
from correct_l0.saes.imported.published import title_of
from correct_l0.saes.imported.settings import ImportedSweep
from correct_l0.settings.base import format_l0
from correct_l0.study.config import Config

__all__ = ["full_table", "notation", "render_page"]

PATHS = {
    READ: "answer",
    FLAT: "open",
    FALLS: "open",
    TOO_HIGH: "open",
    NO_PEAK: "open",
    DISAGREE: "open",
    NOT_TRAINED: "warning",
    NOT_REPRODUCIBLE: "warning",
    LEANS: "warning",
    TOO_FEW: "warning",
    ABOVE_N: "warning",
    TOO_LOW: "answer",
    ABOUT_RIGHT: "answer",
    SINGLE_TOO_HIGH: "answer",
    CANNOT_TELL: "open",
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
    texts, terms = captions(study), terms_of(study.plan)
    environment.filters["explained"] = Explainer(terms)
    config = study.plan.study
    return environment.get_template("report.html").render(
        title=config.title or config.study,
        study=config,
        verdict=study.verdict,
        tone=PATHS[study.verdict["outcome"]],
        figures={name: figure_entry(figures, name, text) for name, text in texts.items()},
        facts=_facts(study),
        world=_world(study),
        right=what_is_right(study.verdict),
        terms=terms,
        checked=self_check_line(study.checks) if study.checks else "",
        checks=self_check_rows(study.checks),
        gaps=[_gap(row) for row in study.tables["gaps"].to_dict("records")],
        rounds=rounds_in_words(study),
        table=full_table(study),
        methods=methods_of(study.plan),
        config_yaml=yaml.safe_dump(
            json.loads(config.model_dump_json(exclude_defaults=True)), sort_keys=False, width=100
        ),
        provenance=provenance,
        style=asset(environment, "report.css"),
        picture=Markup(explore_seeds(study)),
        library=packed_library(),
        script=asset(environment, "report.js") + asset(environment, "explore.js"),
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
        "l0": study.swept,
        "seed": "seed",
        "l0_measured": "measured L0",
    }
    keyed = tables["c_dec"].set_index(["l0", "seed"])
    parts.append(keyed[["value"]].set_axis(["c_dec"], axis="columns"))
    columns["c_dec"] = "c_dec"
    part, labels = _prefix_columns(study)
    parts.append(part)
    columns |= labels
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
    of_others = dict(published_columns(wide))
    parts.append(wide[[*of_others.values()]])
    columns |= {column: f"SAEBench: {title_of(name)}" for name, column in of_others.items()}
    for part, labels in (
        _stability_columns(study),
        _recovery_columns(study),
        hedging_columns(study.tables["hedging"]),
    ):
        parts.append(part)
        columns |= labels
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
    if not wide["fvu_outlying"].isna().all():
        health |= {"fvu_ordinary": "FVU of ordinary rows", "fvu_outlying": "FVU of outlying rows"}
    parts.append(wide[list(health)])
    columns |= health
    parts.append(last_moves(tables["c_dec_training"]).set_index(["l0", "seed"])[["moved"]])
    columns["moved"] = "move of c_dec in the last tenth of training"
    rows = pd.concat(parts, axis="columns").reset_index().sort_values(["l0", "seed"])
    return {
        "columns": list(columns.values()),
        "rows": [[cell(row[name]) for name in columns] for row in rows.to_dict("records")],
    }


def _prefix_columns(study: StudyData) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return c_dec of each prefix by point, and the columns' names; none without prefixes."""
    table = study.tables["c_dec_prefixes"]
    if table.empty:
        return pd.DataFrame(), {}
    wide = table.pivot_table(index=["l0", "seed"], columns="latents", values="value")
    labels = {f"c_dec_{int(n)}": f"c_dec of the first {int(n):,} latents" for n in wide.columns}
    return wide.set_axis(list(labels), axis="columns"), labels


def _stability_columns(study: StudyData) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the means over pairs of seeds, the same for every seed of an L0, and their labels."""
    labels = {
        "share_above": "latents that another seed finds (share matched above 0.9)",
        "pw_mcc": "mean cosine with another seed's latents",
        "chance_pw_mcc": "the same by chance",
        "reproduced_share": "reproduced share (without a threshold)",
        "subspace_agreement": "subspace agreement of seeds",
    }
    table = study.tables["stability"]
    if not len(table):
        return pd.DataFrame(), {}
    means = table.groupby("l0")[list(labels)].mean()
    points = study.tables["points"][["l0", "seed"]]
    return points.merge(means, on="l0", how="left").set_index(["l0", "seed"]), labels


def _recovery_columns(study: StudyData) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return how well each SAE recovers the true features, and what the columns are called."""
    labels = {
        "mcc": "MCC with the true features",
        "mean_best_cosine": "mean cosine of features with their latents",
        "worst_best_cosine": "the same of the worst feature",
        "share_recovered": "features recovered (share above 0.9)",
        "uniqueness": "uniqueness",
        "precision": "precision of latents",
        "recall": "recall of latents",
        "f1": "F1 of latents",
    }
    table = study.tables["recovery"]
    if not len(table):
        return pd.DataFrame(), {}
    return table.set_index(["l0", "seed"])[list(labels)], labels


def _gap(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row of the table of gaps as it is shown: a dash for what it is not about."""
    l0 = "–" if math.isnan(row["l0"]) else format_l0(row["l0"])
    seed = "–" if pd.isna(row["seed"]) else f"{row['seed']:.0f}"
    return {**row, "l0": l0, "seed": seed}


def _facts(study: StudyData) -> list[tuple[str, str]]:
    config, points = study.plan.study, study.tables["points"]
    d_in = config.source.d_in
    tasks = study.tables["probing"]["task"].nunique()
    probing = [("Probing", f"{tasks} tasks" if tasks else "no scores")]
    swept = {"coefficient": "Coefficients"}.get(study.swept, study.swept.capitalize())
    swept = swept.replace("l0", "L0")
    form = config.saes.architecture_name
    what = "tokens" if config.synthetic is None else "samples"
    norms = study.verdict.get("norms")
    return [
        *_source(study),
        ("SAEs", f"{len(points)} of {config.saes.d_sae:,} latents on {d_in:,} dimensions"),
        ("Architecture", form),
        (swept, ", ".join(format_l0(x) for x in sorted(config.saes.l0))),
        ("Seeds", ", ".join(map(str, config.saes.seeds))),
        *([] if config.saes.imported else [_training(config, what)]),
        ("Measured on", f"{config.source.held_out_tokens:,} held-out {what}")
        if config.has_rows
        else ("Measured on", "the weights alone"),
        *([("Norms of rows", norms_line(norms))] if norms else []),
        *(probing if "probing" in study.plan.rooms else []),
        *([] if config.saes.imported else [("Time in training", time_in_training(points))]),
    ]


def _training(config: Config, what: str) -> tuple[str, str]:
    """Return how long the SAEs were trained."""
    tokens = sorted({config.training(x).training_tokens for x in config.saes.l0})
    spoken = " to ".join(f"{t:,}" for t in dict.fromkeys((tokens[0], tokens[-1])))
    batch = config.saes.training.batch_tokens
    return "Training", f"{spoken} {what} each, batches of {batch:,}"


def _source(study: StudyData) -> list[tuple[str, str]]:
    """Return what the activations are of."""
    config, facts = study.plan.study, list[tuple[str, str]]()
    if isinstance(config.saes, ImportedSweep):
        facts.append(("Imported from", config.saes.origin))
    if (a := config.cached) is not None:
        name = (study.model_name or a.model.source).removeprefix("package:")
        facts.append(("Model", f"{name}, {a.hook_name}"))
    if config.stored is not None:
        facts += stored_facts(config.stored)
    if (semi_synthetic := config.semi_synthetic) is not None:
        facts.append(("Decoded by", semi_synthetic.sae))
    if (world := config.synthetic) is not None:
        facts.append(
            ("Synthetic world", f"{world.features:,} features in {world.d_in:,} dimensions")
        )
    recovery = study.verdict["recovery"]
    if recovery and recovery["true_l0"] is not None:
        facts.append(("True L0", format_l0(float(f"{recovery['true_l0']:.3g}"))))
    return facts


def _world(study: StudyData) -> str:
    """Return what the samples are whose features are known; empty of a language model."""
    config = study.plan.study
    if config.semi_synthetic is not None:
        return semi_synthetic_in_words(config.semi_synthetic)
    return world_in_words(config.synthetic) if config.synthetic else ""


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
