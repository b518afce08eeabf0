"""Which results of a toy study do not stand any more, and why; see `correct_l0.standing.stale`.

Nothing heavy is imported here, because the workflow asks whenever its jobs are worked out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from correct_l0.metrics import decoder as decoder_metrics
from correct_l0.provenance.findings import examine
from correct_l0.provenance.source_digest import report_source_digest
from correct_l0.settings.base import format_l0
from correct_l0.settings.canonical import canonical
from correct_l0.standing.stale import Stale, reason_of, stale_chain, standing_digest
from correct_l0.toy_model import (
    EXPERIMENT_STAGE,
    METRICS_STAGE,
    RECIPE,
    SAE_STAGE,
    TABLES_STAGE,
    experiments,
    report,
)
from correct_l0.toy_model.plan import ToyPlan


def find_toy(plan: ToyPlan) -> list[Stale]:
    """Return what has to be made again of a toy study, in the order in which it is made.

    Results that were never made are not among them. A point that does not stand is made again by
    the job of its part, which leaves the other points as they are.
    """
    found: list[Stale] = []
    made_from: dict[str, str | None] = {}
    for seed in plan.study.saes.seeds:
        for part in range(len(plan.part_l0)):
            found += _stale_part(plan, seed, part, made_from)
    for name in plan.experiments():
        path = Path(name)
        finding = examine(
            "toy_model",
            path,
            stage=EXPERIMENT_STAGE,
            recipe=experiments.RECIPE,
            parameters=plan.settings_experiment(path.parents[1].name),
            inputs={},
        )
        made_from[str(path.relative_to(plan.results))] = standing_digest(finding)
        if reason := reason_of(finding, has_followers=False):
            found.append(
                Stale(
                    f"toy_model {path.parents[1].name} {path.parent.name}", None, None, name, reason
                )
            )
    return [*found, *_stale_report(plan, made_from)]


def _stale_part(
    plan: ToyPlan, seed: int, part: int, made_from: dict[str, str | None]
) -> Iterator[Stale]:
    """Yield the points and the measurements of one part that do not stand."""
    trained, measured = (
        Path(f"{plan.results}/{room}/parts/seed_{seed}/part_{part}.json")
        for room in ("saes", "decoder_metrics")
    )
    digests: dict[str, str | None] = {}
    for l0, path in zip(plan.part_l0[part], plan.points_of(seed, part), strict=True):
        label = format_l0(l0)
        finding = examine(
            "saes",
            Path(path),
            stage=SAE_STAGE,
            recipe=RECIPE,
            parameters=canonical({**plan.settings_of_saes(), "l0": l0}),
            inputs={},
        )
        digests[label] = standing_digest(finding)
        if trained.exists() and (reason := reason_of(finding, has_followers=True)):
            yield Stale("saes", label, seed, str(trained), reason)
    finding = examine(
        "decoder_metrics",
        measured,
        stage=METRICS_STAGE,
        recipe=decoder_metrics.RECIPE,
        parameters=plan.settings_decoder_metrics(),
        inputs=digests,
    )
    made_from[str(measured.relative_to(plan.results))] = standing_digest(finding)
    if reason := reason_of(finding, has_followers=False):
        yield Stale(f"decoder_metrics seed {seed}", None, None, str(measured), reason)


def _stale_report(plan: ToyPlan, made_from: dict[str, str | None]) -> Iterator[Stale]:
    made = {"recipe": report.RECIPE, "parameters": plan.settings_tables()}
    chain = {
        "tables": {
            "stage": TABLES_STAGE,
            "recipe": RECIPE,
            "parameters": plan.settings_saes(),
            "inputs": made_from,
        },
        "verdict": made | {"stage": "read_toy_curves"},
        "figures": made | {"stage": "plot_toy_figures"},
        "page": made | {"stage": "write_toy_report"},
    }
    page = Path(plan.results) / "report.html"
    return stale_chain(page, chain, report_source_digest(*report.ROOMS))
