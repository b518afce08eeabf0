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

from correct_l0.reading.health import NOT_TRAINED
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
from correct_l0.report.full_table import full_table
from correct_l0.report.html import (
    Explainer,
    asset,
    figure_entry,
    notation,
    page_environment,
)
from correct_l0.report.methods import methods_of
from correct_l0.report.norms_words import norms_line
from correct_l0.report.rounds_words import rounds_in_words
from correct_l0.report.self_check_words import self_check_line, self_check_rows
from correct_l0.report.stored_words import stored_facts
from correct_l0.report.terms import terms_of, what_is_right
from correct_l0.report.truth_words import (
    semi_synthetic_in_words,
    true_l0_in_words,
    world_in_words,
)
from correct_l0.saes.imported.settings import ImportedSweep
from correct_l0.settings.base import format_l0
from correct_l0.study.config import Config

__all__ = ["notation", "render_page"]

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


def tone_of(verdict: Mapping[str, Any]) -> str:
    """Return how a verdict is coloured: as open where an L0 is a hint of the decoder alone."""
    return "open" if verdict["is_hint"] else PATHS[verdict["outcome"]]


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
        tone=tone_of(study.verdict),
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
        facts += stored_facts(config.stored, study.model_name)
    if (semi_synthetic := config.semi_synthetic) is not None:
        facts.append(("Decoded by", semi_synthetic.sae))
    if (world := config.synthetic) is not None:
        facts.append(
            ("Synthetic world", f"{world.features:,} features in {world.d_in:,} dimensions")
        )
    if (true_l0 := study.truth.get("true_l0")) is not None:
        facts.append(("True L0", true_l0_in_words(true_l0)))
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
