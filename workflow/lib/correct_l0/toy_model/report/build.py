"""The steps of the toy report, from tables to page: what the rules run one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from correct_l0.provenance.manifest import (
    check_manifest,
    digest_of,
    read_manifest,
    replacing,
    write_json,
    write_manifest,
)
from correct_l0.provenance.source_digest import report_source_digest
from correct_l0.report.data import manifest_beside
from correct_l0.report.summary import stage_times
from correct_l0.toy_model.plan import ToyPlan
from correct_l0.toy_model.report import RECIPE, ROOMS
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
    _write_manifest(
        manifest_beside(verdict),
        **_made_from(study, "read_toy_curves", tables),
        outputs=[verdict, tables / "claims.parquet", tables / "claims.csv"],
    )


def build_toy_figures(study: ToyStudy, tables: Path, verdict: Path, folder: Path) -> None:
    """Draw every figure, and write their manifest."""
    from correct_l0.report.figures import draw_figures
    from correct_l0.toy_model.report.figures import FIGURES

    files = draw_figures(FIGURES, open_toy_study(study, tables, verdict), folder)
    _write_manifest(
        folder / "manifest.json",
        **_made_from(study, "plot_toy_figures", tables, verdict=manifest_beside(verdict)),
        outputs=files,
    )


def build_toy_page(
    study: ToyStudy, tables: Path, verdict: Path, figures: Path, report: Path
) -> None:
    """Write the page, and the summary for a terminal and their manifest beside it.

    Raises
    ------
    InputError
        If a table, the verdict or a figure is missing or is not as it was written.
    """
    from correct_l0.toy_model.report.page import render_toy_page
    from correct_l0.toy_model.report.summary import render_toy_summary

    drawn_from = {"verdict": manifest_beside(verdict)}
    check_manifest(
        figures / "manifest.json", **_made_from(study, "plot_toy_figures", tables, **drawn_from)
    )
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
    drawn_from["figures"] = figures / "manifest.json"
    _write_manifest(
        manifest_beside(report),
        **_made_from(study, "write_toy_report", tables, **drawn_from),
        outputs=[report, report.with_name("summary.txt")],
    )


def _made_from(study: ToyStudy, stage: str, tables: Path, **manifests: Path) -> dict[str, Any]:
    """Return what the manifest of a part of the report has to say."""
    manifests = {"tables": tables / "manifest.json", **manifests}
    return {
        "stage": stage,
        "recipe": RECIPE,
        "parameters": ToyPlan(study).settings_tables(),
        "inputs": {name: digest_of(path) for name, path in manifests.items()},
    }


def _write_manifest(path: Path, **content: Any) -> None:
    write_manifest(path, **content, code=report_source_digest(*ROOMS))


def _provenance(data: ToyData, tables: Path) -> dict[str, Any]:
    """Return the versions of the code that made the points, and the packages it ran with."""
    packages = read_manifest(tables / "manifest.json")["packages"]
    return {
        "code_versions": sorted(data.tables["points"]["code_version"].dropna().unique()),
        "packages": {name: [version] for name, version in packages.items() if version},
    }
