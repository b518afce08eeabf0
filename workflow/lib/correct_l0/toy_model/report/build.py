"""The steps of the toy report, from tables to page: what the rules run one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from correct_l0.manifest import read_manifest, replacing, write_json
from correct_l0.report.summary import stage_times
from correct_l0.toy_model.report.claims.table import judge_claims
from correct_l0.toy_model.report.claims.theory import theory_table
from correct_l0.toy_model.report.data import ToyData, open_toy_study, open_toy_tables
from correct_l0.toy_model.report.truth import read_toy_curves
from correct_l0.toy_model.settings import ToyStudy


def build_toy_verdict(study: ToyStudy, tables: Path, verdict: Path) -> None:
    """Read the curves, judge the claims; write the verdict, and `claims` beside the tables."""
    loaded = open_toy_tables(tables)
    claims = judge_claims(loaded | {"theory": theory_table()})
    with replacing(tables / "claims.parquet") as temporary:
        claims.to_parquet(temporary, index=False)
    with replacing(tables / "claims.csv") as temporary:
        claims.to_csv(temporary, index=False)
    write_json(verdict, read_toy_curves(loaded, study.saes.d_sae))


def build_toy_figures(study: ToyStudy, tables: Path, verdict: Path, folder: Path) -> None:
    """Draw every figure."""
    from correct_l0.report.figures import draw_figures
    from correct_l0.toy_model.report.figures import FIGURES

    draw_figures(FIGURES, open_toy_study(study, tables, verdict), folder)


def build_toy_page(
    study: ToyStudy, tables: Path, verdict: Path, figures: Path, report: Path
) -> None:
    """Write the page, and the summary for a terminal beside it."""
    from correct_l0.toy_model.report.page import render_toy_page
    from correct_l0.toy_model.report.summary import render_toy_summary

    data = open_toy_study(study, tables, verdict)
    provenance = _provenance(data, tables)
    with replacing(report) as temporary:
        temporary.write_text(render_toy_page(data, figures, provenance))
    summary = render_toy_summary(
        data.verdict,
        data.tables["claims"],
        report,
        study.title or study.study,
        stage_times(report.parent / "benchmarks"),
    )
    with replacing(report.with_name("summary.txt")) as temporary:
        temporary.write_text(summary)


def _provenance(data: ToyData, tables: Path) -> dict[str, Any]:
    """Return the versions of the code that made the points, and the packages it ran with."""
    packages = read_manifest(tables / "manifest.json")["packages"]
    return {
        "code_versions": sorted(data.tables["points"]["code_version"].dropna().unique()),
        "packages": {name: [version] for name, version in packages.items() if version},
    }
