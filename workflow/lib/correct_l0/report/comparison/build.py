"""From the sweeps' tables and verdicts to the page that sets them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from correct_l0.provenance.manifest import digest_of, replacing, write_manifest
from correct_l0.provenance.source_digest import report_source_digest
from correct_l0.reading import RECIPE
from correct_l0.report.comparison.answers import answers_of
from correct_l0.report.comparison.page import render_comparison, render_comparison_summary
from correct_l0.report.comparison.settings import COMPARISON, GROWTH, WIDTH, comparison_figures
from correct_l0.report.data import manifest_beside, open_study
from correct_l0.report.summary import stage_times
from correct_l0.study.plan import Plan
from correct_l0.study.report import comparison_inputs, comparison_settings


def build_comparison(plans: Sequence[Plan], report: Path) -> None:
    """Write the page of all sweeps, its summary, its figure and their manifest.

    Raises
    ------
    InputError
        If a table or a verdict of a sweep is missing or is not as it was written.
    """
    from correct_l0.report.comparison.along import growth, width
    from correct_l0.report.comparison.figure import compare
    from correct_l0.report.figures import draw_figures

    sweeps = []
    for plan in plans:
        tables = Path(plan.results) / "tables"
        sweeps.append(open_study(plan, tables, tables / "verdict.json"))
    answers = answers_of(sweeps)
    study = plans[0].study
    title = study.title or study.study
    draw = {COMPARISON: compare, GROWTH: growth, WIDTH: width}
    names = comparison_figures(plans)
    figures = draw_figures({name: draw[name] for name in names}, sweeps, report.parent / "figures")
    with replacing(report) as temporary:
        temporary.write_text(
            render_comparison(title, answers, sweeps, names, report.parent / "figures")
        )
    folders = [plans[0].source_folder, *(plan.results for plan in plans)]
    times = stage_times(*(f"{folder}/benchmarks" for folder in folders))
    summary = report.with_name("summary.txt")
    with replacing(summary) as temporary:
        temporary.write_text(render_comparison_summary(title, answers, report, times))
    inputs = comparison_inputs(plans)
    write_manifest(
        manifest_beside(report),
        stage="compare_sweeps",
        recipe=RECIPE,
        parameters=comparison_settings(plans),
        inputs={name: digest_of(path) for name, path in inputs.items()},
        outputs=[report, summary, *figures],
        code=report_source_digest("reading", "report"),
    )
