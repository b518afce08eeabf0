"""The self-check of an answer: small sweeps of data that the study's own SAEs generate."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from correct_l0.errors import InputError
from correct_l0.provenance.checks import check_manifest
from correct_l0.provenance.manifest import digest_of, write_json, write_manifest
from correct_l0.reading.self_check import Check, checked, generators_of
from correct_l0.report.data import manifest_beside
from correct_l0.report.gather import load_tables
from correct_l0.report.rounds import verdict_of
from correct_l0.report.silent import drop_silent
from correct_l0.report.study import plain
from correct_l0.saes.saved import load_saved_sae
from correct_l0.sources.semi_synthetic import RECIPE as SOURCE_RECIPE
from correct_l0.sources.semi_synthetic import STAGE as SOURCE_STAGE
from correct_l0.sources.semi_synthetic.store import make, sae_digest
from correct_l0.study.plan import Plan
from correct_l0.study.report import report_settings
from correct_l0.study.self_check import RECIPE, STAGE, check_plan
from correct_l0.trial import run_study


def run_self_check(
    plan: Plan,
    tables: Path,
    verdict: Path,
    folder: Path,
    *,
    device: str = "cpu",
    threads: int = 1,
    checkpoint_s: float = 600.0,
) -> list[Check]:
    """Check a study's answer; write `self_check.json` and its manifest.

    Each small study has a folder of its own beside them. What stands of an earlier call is taken
    over, trainings that were cut off go on.

    Parameters
    ----------
    plan
        The study.
    tables, verdict
        Its tables and its answer.
    folder
        Where to.
    device, threads, checkpoint_s
        As in `run_study`.

    Raises
    ------
    InputError
        If the activations or an SAE are missing or damaged, or no SAE of a sweep can be trained.
    """
    loaded, _ = drop_silent(load_tables(tables))
    means = loaded["points"].groupby("l0")["l0_measured"].mean()
    measured = dict(zip(means.index.astype(float), means.astype(float), strict=True))
    answer = json.loads(verdict.read_text())
    checks = []
    for l0, why in generators_of(answer, measured).items():
        small = check_plan(plan, l0)
        print(f"{small.study_folder}: L0 {l0:g}, {why}", flush=True)
        found = _read(small, device=device, threads=threads, checkpoint_s=checkpoint_s)
        checks.append(checked(measured[l0], why, found))
    write_json(folder / "self_check.json", plain({"checks": [asdict(each) for each in checks]}))
    write_manifest(
        folder / "manifest.json",
        stage=STAGE,
        recipe=RECIPE,
        parameters=report_settings(plan),
        inputs={
            "tables": digest_of(tables / "manifest.json"),
            "verdict": digest_of(manifest_beside(verdict)),
        },
        outputs=[folder / "self_check.json"],
    )
    return checks


def _read(plan: Plan, *, device: str, threads: int, checkpoint_s: float) -> dict[str, object]:
    """Make the source of a small study, train and measure it; return its verdict."""
    _make_source(plan)
    tables = run_study(plan, device=device, threads=threads, checkpoint_s=checkpoint_s)
    return verdict_of(plan, tables)


def _make_source(plan: Plan) -> None:
    """Make the source of a small study, unless it stands."""
    source, settings = plan.study.semi_synthetic, plan.settings_source()
    assert source is not None, "a small study's source is an SAE"
    try:
        check_manifest(
            plan.source,
            stage=SOURCE_STAGE,
            recipe=SOURCE_RECIPE,
            parameters=settings,
            inputs={
                "activations": digest_of(source.activations),
                "sae": sae_digest(source.sae),
            },
        )
    except InputError:
        make(plan.source_folder, settings, load_saved_sae)
