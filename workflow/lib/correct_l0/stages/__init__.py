"""Each stage of a study once, as data: what it is called, what it follows, what it costs.

A stage is one Snakemake rule. Costs, provenance, `make why` and the tests read this table; a new
rule is a row here (of a source, in `of_sources`) and a `.smk` file. Imported whenever Snakemake
parses the workflow, so nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from correct_l0 import reading, saes
from correct_l0.costs import estimates, memory
from correct_l0.metrics import Metric, metrics, probing, stability
from correct_l0.saes import imported
from correct_l0.sources import OPENERS
from correct_l0.stages.of_sources import OF_SOURCES, probes
from correct_l0.stages.stage import Stage
from correct_l0.study import frozen_control, rounds, self_check, train_on
from correct_l0.study.config import Config
from correct_l0.study.plan import Plan
from correct_l0.study.report import report_settings, round_settings

if TYPE_CHECKING:
    from correct_l0.metrics.points import Asked


def _points(study: Config) -> int:
    return len(study.points())


def _of_metric(metric: Metric) -> Stage:
    """Return the stage of a metric of a point."""
    return Stage(
        metric.stage,
        "point",
        metric.title,
        metric.called,
        ("train_sae", *OPENERS),
        room=metric.room,
        job="measure_points",
        recipe=metric.recipe,
        settings=lambda plan, l0: metric.settings(plan),
        seconds=lambda study, l0: (
            estimates.measuring_s(study, metric.products(study))
            + estimates.trained_on_s(study, metric.trainings(study))
        ),
        host_bytes=lambda study, saes: (
            memory.projection_bytes(study) + memory.trained_on_bytes(study, metric.trainings(study))
        ),
        jobs=_points,
        writes="measurements",
        on_device=True,
        asked=lambda plan: metric.asked(plan.study),
    )


READ = (
    "train_sae", *(metric.stage for metric in metrics().values()), "compare_seeds", "probe_sae",
    "probe_baselines", "cache_probing_activations", *OPENERS,
)  # fmt: skip
"""What tables are gathered from."""

STAGES = (
    *OF_SOURCES,
    Stage(
        imported.STAGE, "study", "weights", "the weights", (),
        room="weights",
        recipe=imported.RECIPE,
        settings=lambda plan, l0: plan.settings_weights(),
        result="weights/manifest.json",
        seconds=lambda study, l0: estimates.fetching_s(study),
        writes="weights",
        grows=True,
        asked=lambda plan: plan.study.saes.imported,
    ),
    Stage(
        "train_sae", "point", "SAEs", "the SAE", tuple(OPENERS),
        room="saes",
        job="train_points",
        recipe=saes.RECIPE,
        settings=lambda plan, l0: plan.settings_sae(l0),
        seconds=estimates.trainings_s,
        host_bytes=memory.training_bytes,
        jobs=_points,
        writes="SAEs",
        on_device=True,
        trains=True,
        grows=True,
    ),
    *map(_of_metric, metrics().values()),
    Stage(
        "compare_seeds", "l0", "comparison of seeds", "the comparison of seeds", ("train_sae",),
        room="stability",
        recipe=stability.RECIPE,
        settings=lambda plan, l0: plan.settings_stability(),
        seconds=lambda study, l0: estimates.comparison_s(study),
        host_bytes=lambda study, saes: memory.comparison_bytes(study),
        jobs=lambda study: len(study.saes.l0),
        writes="measurements",
        on_device=True,
        asked=lambda plan: "stability" in plan.study_rooms,
    ),
    Stage(
        "probe_sae", "point", "probing", "the probing",
        ("train_sae", "cache_probing_activations"),
        room="probing",
        job="probe_points",
        recipe=probing.RECIPE,
        settings=lambda plan, l0: plan.settings_probing(),
        seconds=lambda study, l0: estimates.probing_s(study),
        host_bytes=lambda study, saes: memory.probing_bytes(study),
        jobs=_points,
        writes="measurements",
        on_device=True,
        asked=probes,
    ),
    Stage(
        "probe_baselines", "study", "probing baselines", "the baselines",
        ("cache_probing_activations",),
        room="probing baselines",
        recipe=probing.RECIPE,
        settings=lambda plan, l0: plan.settings_probing(),
        result="probing/baselines/manifest.json",
        seconds=lambda study, l0: estimates.baselines_s(study),
        asked=probes,
    ),
    Stage(
        rounds.STAGE, "round", "reading of the round", "the reading of the round", READ,
        room="rounds",
        recipe=reading.RECIPE,
        settings=lambda plan, l0: round_settings(plan),
        result="rounds/round_{round}.manifest.json",
        seconds=lambda study, l0: 3 + 0.2 * _points(study),
        asked=lambda plan: plan.rounds > 0,
    ),
    Stage(
        "gather_tables", "report", "tables", "the tables", (rounds.STAGE, *READ),
        room="tables",
        recipe=reading.RECIPE,
        settings=lambda plan, l0: report_settings(plan),
        result="tables/manifest.json",
        seconds=lambda study, l0: 1 + 0.2 * _points(study),
    ),
    Stage(
        train_on.STAGE, "report", "SAE trained on", "the trainings that start from the SAE",
        ("train_sae", *(stage for stage in OPENERS if stage != imported.STAGE)),
        room=train_on.STAGE,
        recipe=train_on.RECIPE,
        settings=lambda plan, l0: report_settings(plan),
        result="train_on/manifest.json",
        seconds=lambda study, l0: estimates.train_on_s(study),
        host_bytes=lambda study, saes: memory.train_on_bytes(study),
        writes="SAE trained on",
        on_device=True,
        grows=True,
        asked=lambda plan: plan.study.train_on is not None,
    ),
    Stage(
        "read_curves", "report", "verdict", "the verdict", ("gather_tables", train_on.STAGE),
        room="verdict",
        recipe=reading.RECIPE,
        settings=lambda plan, l0: report_settings(plan),
        result="tables/verdict.manifest.json",
        of_code=True,
        seconds=lambda study, l0: 2.0,
    ),
    Stage(
        self_check.STAGE, "report", "self-check", "the self-check",
        ("read_curves", "gather_tables", "seal_activations"),
        room="self_check",
        recipe=self_check.RECIPE,
        settings=lambda plan, l0: report_settings(plan),
        result="self_check/manifest.json",
        seconds=lambda study, l0: estimates.self_check_s(study),
        host_bytes=lambda study, saes: memory.self_check_bytes(study),
        writes="self-check",
        on_device=True,
        grows=True,
        asked=lambda plan: plan.study.self_check,
    ),
    Stage(
        frozen_control.STAGE, "report", "frozen control", "the frozen control",
        ("cache_probing_activations", "seal_activations"),
        room=frozen_control.STAGE,
        recipe=frozen_control.RECIPE,
        settings=lambda plan, l0: report_settings(plan),
        result="frozen_control/manifest.json",
        seconds=lambda study, l0: estimates.frozen_control_s(study),
        host_bytes=lambda study, saes: memory.training_bytes(study, 1),
        writes="frozen control",
        on_device=True,
        grows=True,
        asked=lambda plan: plan.study.frozen_control,
    ),
    Stage(
        "plot_figures", "report", "figures", "the figures",
        ("read_curves", "gather_tables", frozen_control.STAGE),
        room="figures",
        recipe=reading.RECIPE,
        settings=lambda plan, l0: report_settings(plan),
        result="figures/manifest.json",
        of_code=True,
        seconds=lambda study, l0: 12.0,
    ),
    Stage(
        "write_report", "report", "report", "the report",
        ("plot_figures", "read_curves", "gather_tables", frozen_control.STAGE, self_check.STAGE),
        room="page",
        recipe=reading.RECIPE,
        settings=lambda plan, l0: report_settings(plan),
        result="report.manifest.json",
        of_code=True,
        seconds=lambda study, l0: 2.0,
        writes="report",
    ),
    Stage(
        "compare_sweeps", "sweeps", "comparison of sweeps", "the comparison of sweeps",
        ("read_curves", "gather_tables"),
        room="comparison",
        recipe=reading.RECIPE,
        result="report.manifest.json",
        seconds=lambda study, l0: 4.0,
        asked=lambda plan: plan.study.sweep is not None,
    ),
)  # fmt: skip
"""Every stage, in the order in which they are made."""

BY_RULE = {stage.rule: stage for stage in STAGES}
BY_JOB: dict[str, tuple[Stage, ...]] = {
    rule: tuple(stage for stage in STAGES if stage.made_by == rule)
    for rule in dict.fromkeys(stage.made_by for stage in STAGES)
}
"""The stages that each rule makes."""
OF_POINT = tuple(stage for stage in STAGES if stage.of == "point")
OF_REPORT = tuple(stage for stage in STAGES if stage.of == "report")


def metrics_of(plan: Plan) -> list[Stage]:
    """Return what is measured of each point in one job: all that is asked but probing."""
    return [stage for stage in BY_JOB["measure_points"] if stage.asked(plan)]


def asked_of(plan: Plan, labels: Sequence[str], seed: int | str) -> dict[str, Asked]:
    """Return how `metrics_of` SAEs of a seed are asked for, by the room (`metrics.points`)."""
    return {
        stage.room: {
            "stage": stage.rule,
            "recipe": stage.recipe,
            "settings": stage.settings(plan, ""),
            "folders": plan.beside(stage.room, labels, seed),
        }
        for stage in metrics_of(plan)
    }
