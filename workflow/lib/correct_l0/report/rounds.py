"""The rounds of a search: read, recorded, and told in the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from correct_l0.provenance.manifest import digest_of, read_or_empty, write_json, write_manifest
from correct_l0.reading import RECIPE
from correct_l0.reading.longer import TOO_SHORT, budget_for, next_factor
from correct_l0.reading.remedy import LONGER
from correct_l0.reading.search import Round, Said, next_points
from correct_l0.report.gather import COLUMNS, gather
from correct_l0.report.imported_words import Imported
from correct_l0.report.stored_words import stored_caveats
from correct_l0.report.study import read_study
from correct_l0.settings.base import format_l0
from correct_l0.standing.chain import round_key
from correct_l0.study.plan import Plan
from correct_l0.study.report import round_settings
from correct_l0.study.rounds import STAGE, manifest_of, read_record, rounds_read


def build_round(plan: Plan, number: int) -> None:
    """Read the points of a round and its predecessors; record what they say and what comes next.

    Raises
    ------
    InputError
        If a point is missing or disagrees with the configuration.
    """
    plan = plan.at_round(number)
    saes = plan.study.saes
    assert saes.search is not None, "only a search has rounds"
    gathered = gather(plan)
    verdict = verdict_of(plan, gathered.tables)
    points = gathered.tables["points"]
    said = said_of(verdict, points)
    choice = next_points(
        saes.search,
        said,
        saes.l0,
        len(saes.seeds),
        whole=saes.takes_whole_l0,
        factor=saes.factor,
        spent=saes.spent,
    )
    path = plan.round_file(number)
    write_json(path, _record(plan, number, verdict, said, choice, points))
    write_manifest(
        manifest_of(path),
        stage=STAGE,
        recipe=RECIPE,
        parameters=round_settings(plan),
        inputs=gathered.inputs,
        outputs=[path],
    )


def verdict_of(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return the verdict on a study's tables."""
    saes, truth = plan.study.saes, tables["recovery"]["true_l0"]
    source = read_or_empty(plan.source)
    return read_study(
        tables,
        d_sae=saes.d_sae,
        l0=sorted(saes.l0),
        training_tokens=saes.training.training_tokens,
        imported=Imported(saes.architecture_name, plan.study.has_rows) if saes.imported else None,
        true_l0=float(truth.mean()) if len(truth) else plan.study.told_true_l0,
        norms=source.get("norms"),
        source=plan.study.source.kind,
        english_words=source.get("english_words"),
        swept=saes.swept,
        source_caveats=stored_caveats(plan.study.stored, source),
        seeds=saes.seeds,
    )


def said_of(verdict: Mapping[str, Any], points: pd.DataFrame) -> Said:
    """Return what the search asks of a verdict, at target L0 instead of measured ones.

    Parameters
    ----------
    verdict
        As `read_study` makes it.
    points
        One row per L0 and seed: `l0`, `l0_measured`.

    Examples
    --------
    SAEs measure 10% more than their target; halfway between two on log L0 is so in both:

    >>> points = pd.DataFrame({"l0": [4.0, 16.0], "l0_measured": [4.4, 17.6]})
    >>> decision = {"outcome": "read", "low": 4.4, "high": 8.8, "add_l0": []}
    >>> said_of({"decision": decision}, points)
    Said(outcome='read', low=4.0, high=8.0, add_l0=(), too_low=False, best=None)
    """
    decision = verdict["decision"]
    fire = points[points["l0_measured"] > 0]
    measured = fire.groupby("l0")["l0_measured"].mean().sort_values()

    def target(x: float) -> float:
        log = np.interp(np.log(x), np.log(measured.to_numpy()), np.log(measured.index.to_numpy()))
        return float(f"{np.exp(log):.10g}")

    low, high, best = decision["low"], decision["high"], best_of(verdict)
    return Said(
        outcome=decision["outcome"],
        low=None if low is None else target(low),
        high=None if high is None else target(high),
        add_l0=tuple(target(x) for x in decision["add_l0"]),
        too_low=decision.get("overlapping") is not None,
        best=None if best is None else measured.index[int((measured - best).abs().argmin())],
    )


def best_of(verdict: Mapping[str, Any]) -> float | None:
    """Return the measured L0 at which seeds agree best, that of the peak where one is read."""
    stability = verdict.get("stability")
    if not stability:
        return None
    peak: float | None = stability["peak"]["point"]
    if peak is not None:
        return peak
    return max(zip(stability["reproduced"]["means"], stability["points"], strict=True))[1]


def _record(
    plan: Plan,
    number: int,
    verdict: Mapping[str, Any],
    said: Said,
    choice: Round,
    points: pd.DataFrame,
) -> dict[str, Any]:
    """Return a round as its record has it."""
    saes = plan.study.saes
    shorter = sum(factor < saes.factor for factor in saes.factors)
    before = (read_record(plan.at_round(shorter), shorter) or {}) if shorter else {}
    return {
        "round": number,
        "trained": list(saes.rounds[number - 1]),
        "tokens": saes.training.training_tokens,
        "l0": sorted(saes.l0),
        "trainings": saes.spent,
        "training_s": before.get("training_s", 0.0) + float(points["wall_s"].astype(float).sum()),
        "outcome": said.outcome,
        "low": said.low,
        "high": said.high,
        "headline": verdict["headline"],
        "add_l0": list(choice.add_l0),
        "add_factor": choice.factor,
        "why": choice.why,
        "setting": choice.setting,
    }


def gathered_rounds(plan: Plan) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the table of a search's rounds so far and the digest of each; of a list none."""
    rows, digests = [], {}
    for number in rounds_read(plan):
        record = read_record(plan, number) or {}
        told = {name: _listed(record[name]) for name in ("trained", "add_l0")}
        rows.append({name: (record | told)[name] for name in COLUMNS["rounds"]})
        digests[round_key(number)] = digest_of(manifest_of(plan.round_file(number)))
    return pd.DataFrame(rows), digests


def _listed(l0: Sequence[float]) -> str:
    return ", ".join(map(format_l0, l0))


def next_of_search(plan: Plan, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to do next after a search: a sentence and the line for the configuration."""
    search, record = plan.study.saes.search, read_record(plan, plan.rounds)
    assert search is not None, "only a search has rounds"
    if record is None:
        return {"sentence": "The search has not ended: the same command goes on.", "line": None}
    after = f"The search ended after {plan.rounds} round{'s' * (plan.rounds > 1)}: {record['why']}."
    if verdict["is_hint"] and len(plan.study.saes.seeds) < 2:
        count = f"Its SAEs count: raise saes.l0.budget to {2 * (search.budget or 0)}."
        said = [after, verdict["next"]["sentence"], *([count] if search.budget else [])]
        return {**verdict["next"], "sentence": " ".join(said)}
    low, high = format_l0(search.lowest), format_l0(search.highest)
    advice: dict[str, tuple[str, str]] = {
        "until": ("For a narrower one lower until.", f"{(search.until or 1) ** 0.5:.2f}"),
        "budget": ("With a higher one it goes on.", str(_higher_budget(plan, record["outcome"]))),
        "longer": ("Raise longer and it goes on, on more tokens.", str(LONGER * search.longer)),
        "to": (f"Raise it above {high}; the points of the first round are others then.", ""),
        "from": (f"Lower it below {low}; the points of the first round are others then.", ""),
    }
    if (setting := record["setting"]) is None:
        own = {} if verdict["decision"]["add_l0"] else verdict["next"]
        return {
            "sentence": " ".join(filter(None, [after, own.get("sentence", "")])),
            "line": own.get("line"),
        }
    sentence, value = advice[setting]
    line = f"saes.l0.{setting}: {value}" if value else None
    return {"sentence": f"{after} {sentence}", "line": line}


def _higher_budget(plan: Plan, outcome: str) -> int:
    """Return a budget with which a search goes on that ended with the one it has."""
    saes = plan.study.saes
    assert saes.search is not None, "only a search has rounds"
    twice = 2 * (saes.search.budget or 0)
    if outcome not in TOO_SHORT:
        return twice
    factor = next_factor(saes.search, outcome, saes.factor)
    seeds, whole = len(saes.seeds), saes.takes_whole_l0
    return max(twice, budget_for(saes.search, factor, saes.spent, seeds, whole=whole))
