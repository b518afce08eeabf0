"""The table of all points, with every number of each."""

from __future__ import annotations

from typing import Any

import pandas as pd

from correct_l0.reading.course import at_tenth_of_seeds
from correct_l0.reading.health import HALF, last_moves
from correct_l0.report.data import StudyData
from correct_l0.report.hedging_words import hedging_columns
from correct_l0.report.html import cell
from correct_l0.saes.imported.published import published_columns, title_of


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
    of_others = dict(published_columns(wide.columns))
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
    along = study.tables["stability_training"]
    if len(along):
        labels["at_half"] = "reproduced share at half of the training"
        means["at_half"] = at_tenth_of_seeds(along, HALF).groupby("l0")["reproduced_share"].mean()
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
