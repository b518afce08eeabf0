"""The steps of the report, from results to page: what the rules run one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from correct_l0.provenance.checks import check_manifest, check_outputs
from correct_l0.provenance.manifest import (
    digest_of,
    read_manifest,
    replacing,
    write_json,
    write_manifest,
)
from correct_l0.provenance.source_digest import report_source_digest
from correct_l0.report.data import manifest_beside, open_study
from correct_l0.report.gather import gather, load_tables, save_tables
from correct_l0.report.rounds import gathered_rounds, next_of_search, verdict_of
from correct_l0.report.self_check_words import self_check_line
from correct_l0.report.summary import render_summary, stage_times
from correct_l0.stages import BY_RULE
from correct_l0.study.frozen_control import STAGE as STAGE_OF_CONTROL
from correct_l0.study.plan import Plan
from correct_l0.study.self_check import STAGE as STAGE_OF_CHECK
from correct_l0.study.train_on import STAGE as STAGE_OF_TRAINED_ON
from correct_l0.study.train_on import TABLE as TRAINED_ON


def _made_by(rule: str, plan: Plan) -> dict[str, Any]:
    """Return what a manifest says of how a stage of the report was made."""
    stage = BY_RULE[rule]
    return {"stage": rule, "recipe": stage.recipe, "parameters": stage.settings(plan, "")}


def build_tables(plan: Plan, folder: Path, allow_gaps: bool = False) -> None:
    """Gather the tables of a study and write them with their manifest."""
    gathered = gather(plan, allow_gaps)
    rounds, read = gathered_rounds(plan)
    files = save_tables(gathered.tables | ({"rounds": rounds} if len(rounds) else {}), folder)
    write_manifest(
        folder / "manifest.json",
        **_made_by("gather_tables", plan),
        inputs=gathered.inputs | read,
        outputs=files,
        provenance=gathered.provenance,
    )


def build_verdict(plan: Plan, tables: Path, path: Path, trained_on: Path | None = None) -> None:
    """Read the curves of a study; write the verdict, and its manifest beside it.

    `trained_on` is the manifest of the trainings that start from its one SAE, where there are any.
    """
    loaded, inputs = load_tables(tables), {"tables": digest_of(tables / "manifest.json")}
    if trained_on is not None:
        check_outputs(trained_on, f"delete {trained_on} and run again")
        loaded["trained_on"] = pd.read_parquet(trained_on.with_name(TRAINED_ON))
        inputs[STAGE_OF_TRAINED_ON] = digest_of(trained_on)
    verdict = verdict_of(plan, loaded)
    if plan.rounds:
        verdict["next"] = next_of_search(plan, verdict)
    write_json(path, verdict)
    write_manifest(
        manifest_beside(path),
        **_made_by("read_curves", plan),
        inputs=inputs,
        outputs=[path],
        code=report_source_digest("reading", "report"),
    )


def build_figures(
    plan: Plan, tables: Path, verdict: Path, folder: Path, control: Path | None = None
) -> None:
    """Draw every figure, and write their manifest; see `build_page`."""
    from correct_l0.report.figures import draw_all

    study = open_study(plan, tables, verdict, with_cosines=True, control=control)
    files = draw_all(study, folder)
    write_manifest(
        folder / "manifest.json",
        **_drawn_from(plan, tables, verdict, control),
        outputs=files,
        code=report_source_digest("reading", "report"),
    )


def _drawn_from(plan: Plan, tables: Path, verdict: Path, control: Path | None) -> dict[str, Any]:
    """Return what the manifest of the figures has to say."""
    digests = {"tables": tables / "manifest.json", "verdict": manifest_beside(verdict)}
    if control is not None:
        digests[STAGE_OF_CONTROL] = control
    inputs = {name: digest_of(path) for name, path in digests.items()}
    return {**_made_by("plot_figures", plan), "inputs": inputs}


def build_page(
    plan: Plan,
    tables: Path,
    verdict: Path,
    figures: Path,
    report: Path,
    control: Path | None = None,
    self_check: Path | None = None,
) -> None:
    """Write the page, the summary for a terminal and their manifest beside it.

    Parameters
    ----------
    plan
        The study.
    tables, verdict, figures
        What the page is made from.
    report
        The page.
    control, self_check
        The manifest of the frozen control and of the self-check, where there are any.

    Raises
    ------
    InputError
        If a table, the verdict or a figure is missing or is not as it was written.
    """
    from correct_l0.report.page import render_page

    drawn_from = _drawn_from(plan, tables, verdict, control)
    check_manifest(figures / "manifest.json", **drawn_from)
    study = open_study(plan, tables, verdict, control=control, self_check=self_check)
    provenance = read_manifest(tables / "manifest.json")["provenance"]
    with replacing(report) as temporary:
        temporary.write_text(render_page(study, figures, provenance))
    times = stage_times(f"{plan.source_folder}/benchmarks", f"{plan.results}/benchmarks")
    title = plan.study.title or plan.study.study
    summary = report.with_name("summary.txt")
    with replacing(summary) as temporary:
        checked = self_check_line(study.checks) if study.checks else None
        temporary.write_text(render_summary(study.verdict, report, title, times, checked))
    drawn = {"figures": digest_of(figures / "manifest.json")}
    if self_check is not None:
        drawn[STAGE_OF_CHECK] = digest_of(self_check)
    write_manifest(
        manifest_beside(report),
        **_made_by("write_report", plan),
        inputs=drawn_from["inputs"] | drawn,
        outputs=[report, summary],
        code=report_source_digest("reading", "report"),
    )
