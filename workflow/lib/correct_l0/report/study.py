"""The verdict of a study: from its tables to `verdict.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from correct_l0.reading.course import read_course
from correct_l0.reading.curve import curve_of
from correct_l0.reading.f1 import read_f1
from correct_l0.reading.health import Convergence, last_moves, read_convergence
from correct_l0.reading.outlying import leans_on_outlying
from correct_l0.reading.reading import CurveReading, read_curve
from correct_l0.reading.recovery import RecoveryReading, read_recovery
from correct_l0.reading.single import read_single
from correct_l0.reading.stability import StabilityReading, overlap_of, read_stability
from correct_l0.reading.verdict import decide
from correct_l0.report import words
from correct_l0.report.agreement_words import agreement_line
from correct_l0.report.caveats import caveats_of, language_caveats, saturates
from correct_l0.report.course_words import course_line
from correct_l0.report.hedging_words import hedging_lines
from correct_l0.report.imported_words import Imported, next_of_imported, too_low_line
from correct_l0.report.next_step import next_step
from correct_l0.report.norms_words import norms_caveats
from correct_l0.report.prefix_words import prefix_lines
from correct_l0.report.saturated import one_of_each
from correct_l0.report.silent import drop_silent
from correct_l0.report.single_words import next_of_single, single_headline, single_lines
from correct_l0.report.stability_words import stability_caveats, stability_lines
from correct_l0.report.training_words import training_caveats, training_lines
from correct_l0.report.truth_words import truth_line
from correct_l0.settings.base import format_l0


def read_study(
    tables: Mapping[str, pd.DataFrame],
    *,
    d_sae: int,
    l0: list[float],
    training_tokens: int,
    true_l0: float | None = None,
    norms: Mapping[str, Any] | None = None,
    source: str = "language_model",
    english_words: float | None = None,
    swept: str = "l0",
    imported: Imported | None = None,
    source_caveats: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> dict[str, Any]:
    """Read a study's tables and return the verdict, ready for JSON.

    Parameters
    ----------
    tables
        `points`, `c_dec`, `c_dec_training`, `s_n_dec`, `probing`, `gaps` as `gather` makes them;
        `stability` where there are two seeds or more, `stability_training` where their decoders
        were kept along the training, `recovery` where the truth is known,
        `hedging` where it was measured, `trained_on` where a single SAE was trained on
        (`trial.train_on`).
    d_sae
        Number of latents.
    l0
        Target L0 values of the configuration.
    training_tokens
        Tokens each SAE was trained on.
    true_l0
        Mean number of features that fire, where the truth is known or a person tells it.
    norms
        What the source says of its rows' norms (`sources.outlying.norm_facts`), where it does.
    source
        The kind of the source (`SourceSection.kind`).
    english_words
        Share of the text's words that are among English's commonest, where that is known.
    swept
        What the values of `l0` are: `l0`, `coefficient` (of a penalty) or `number`.
    imported
        What is known of SAEs that were not trained here; `training_tokens` is then not used.
    source_caveats
        What is not known of the source.
    seeds
        Those of the configuration; those of the points where there is none.

    Returns
    -------
    dict
        `outcome`, `headline`, `lines` (one per metric), `agreement`, `stability_lines` (whether
        seeds agree), `training_lines` (what c_dec would have said with less training),
        `course_line` (what the answer would have been then), `truth_line` (the answer against a
        known truth, or nothing), `caveats`, `next` (what to do), the L0 named with its interval,
        and every reading with its numbers.
    """
    tables, silent = drop_silent(tables)
    tables, saturated = one_of_each(tables, swept)
    points = tables["points"]
    measured = points.groupby("l0")["l0_measured"].mean()
    names = words.Names(dict(zip(measured, measured.index, strict=True)))
    grid = sorted(measured)
    seeds = seeds or sorted(points["seed"].unique().tolist())
    c_dec, s_n = curve_readings(tables, measured)
    scores = _at_mean_l0(tables["probing"], measured)
    f1 = {int(k): read_f1(scores, int(k)) for k in sorted(scores["probe_k"].unique())}
    convergence = None
    if c_dec and len(tables["c_dec_training"]):
        c_table = _at_mean_l0(tables["c_dec"], measured)
        convergence = read_convergence(tables["c_dec_training"], c_table, c_dec)
    health = _health(tables, convergence)
    stability = _stability(tables, measured)
    recovery = _recovery(tables, measured)
    single = read_single(tables["trained_on"]) if "trained_on" in tables else None
    leans = leans_on_outlying(norms)
    decision = decide(c_dec, s_n, f1, health, d_sae, stability, leans)
    course = read_course(
        tables["c_dec_training"],
        _at_mean_l0(tables["c_dec"], measured),
        _at_mean_l0(tables.get("stability_training", pd.DataFrame(columns=["l0"])), measured),
        points,
        stability,
        d_sae,
        leans,
    )
    # A semi-synthetic source has the rule of the cache it is made from.
    section = source if source in ("stored", "synthetic") else "activations"
    many = [v for v in decision.voices if v.name == "s_n^dec"]
    lines = [words.curve_line(c_dec, names)] if c_dec else []
    lines += prefix_lines(tables.get("c_dec_prefixes"), names)
    lines += [words.voice_line(v, s_n, names) for v in many]
    lines += [words.f1_line(reading, names) for reading in f1.values()]
    if (table := tables.get("hedging")) is not None:
        lines += hedging_lines(_at_mean_l0(table, measured), names)
    if imported and (line := too_low_line(decision, names, grid)):
        lines.append(line)
    if single:
        lines = single_lines(single)
    return plain(
        {
            "outcome": single.outcome if single else decision.outcome,
            "headline": single_headline(single)
            if single
            else words.headline(decision, names, grid, imported is not None),
            "lines": lines,
            "agreement": agreement_line(decision, f1, names, bool(f1) or _lacks_probing(tables)),
            "stability_lines": stability_lines(stability, decision, names) if stability else [],
            "training_lines": training_lines(convergence, names) if convergence else [],
            "course_line": course_line(course, names),
            "truth_line": truth_line(recovery, true_l0, decision, names),
            "norms": norms,
            "caveats": [
                *norms_caveats(norms, points, section),
                *source_caveats,
                *(
                    f"No latent fires at {format_l0(value)} of the grid: left out, as it has no L0."
                    for value in silent
                ),
                *(saturates(group, measured, swept) for group in saturated),
                *(stability_caveats(stability, decision, names) if stability else []),
                *training_caveats(convergence, c_dec, decision, health, names),
                *caveats_of(decision, c_dec, s_n, f1, tables, names, swept, imported),
                *(language_caveats(english_words) if f1 else []),
            ],
            "next": next_of_single(single)
            if single
            else next_of_imported(decision)
            if imported
            else next_step(
                decision, l0, training_tokens, d_sae, section, swept == "coefficient", seeds
            ),
            "is_hint": decision.is_hint and single is None,
            "decision": asdict(decision) | {"weak": dict(decision.weak)},
            "c_dec": asdict(c_dec) if c_dec else None,
            "convergence": asdict(convergence) if convergence else None,
            "course": asdict(course),
            "s_n_dec": {str(n): asdict(r) for n, r in s_n.items()},
            "s_n_dec_lines": [words.curve_line(r, names) for r in s_n.values()],
            "f1": {str(k): asdict(r) for k, r in f1.items()},
            "stability": asdict(stability) if stability else None,
            "recovery": asdict(recovery) if recovery else None,
            "true_l0": true_l0,
            "single": asdict(single) if single else None,
        }
    )


def _stability(tables: Mapping[str, pd.DataFrame], measured: pd.Series) -> StabilityReading | None:
    table = tables.get("stability")
    if table is None or table.empty:
        return None
    return read_stability(_at_mean_l0(table, measured), overlap_of(tables["c_dec"]))


def _recovery(tables: Mapping[str, pd.DataFrame], measured: pd.Series) -> RecoveryReading | None:
    table = tables.get("recovery")
    if table is None or table.empty:
        return None
    return read_recovery(_at_mean_l0(table, measured))


def curve_readings(
    tables: Mapping[str, pd.DataFrame], measured: pd.Series
) -> tuple[CurveReading | None, dict[int, CurveReading]]:
    """Return the reading of c_dec, and those of s_n^dec by n.

    Parameters
    ----------
    tables
        `c_dec` and `s_n_dec`, as in `read_study`.
    measured
        Mean measured L0 by target.
    """
    c_table = _at_mean_l0(tables["c_dec"], measured)
    s_table = _at_mean_l0(tables["s_n_dec"], measured)
    c_dec = read_curve(curve_of(c_table, "c_dec")) if len(c_table) else None
    means = s_table[s_table["statistic"] == "batch_mean"]
    readings = {
        n: read_curve(curve_of(means[means["n"] == n], f"s_n_dec n={n}"), n)
        for n in sorted(means["n"].astype(int).unique())
    }
    return c_dec, readings


def _at_mean_l0(table: pd.DataFrame, measured: pd.Series) -> pd.DataFrame:
    """Give every row its L0 point's measured L0, the mean over all seeds that were trained."""
    return table.assign(l0_measured=table["l0"].map(measured))


def _health(tables: Mapping[str, pd.DataFrame], convergence: Convergence | None) -> pd.DataFrame:
    """Return the points with `c_dec_moved`, a share of c_dec's jump where it has one."""
    moves = last_moves(tables["c_dec_training"])
    scale = convergence.scale if convergence else math.nan
    moves["c_dec_moved"] = moves["moved"] / scale
    return tables["points"].merge(
        moves[["l0", "seed", "c_dec_moved"]], on=["l0", "seed"], how="left"
    )


def _lacks_probing(tables: Mapping[str, pd.DataFrame]) -> bool:
    """Return whether results of probing are missing that the study asks for."""
    return bool(tables["gaps"]["room"].astype(str).str.startswith("probing").any())


def plain(value: Any) -> Any:
    """Make a value fit for JSON: tuples to lists, NaN and infinity to null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
