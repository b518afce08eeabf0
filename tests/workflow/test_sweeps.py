"""A study of two sweeps: which jobs there are, and the page that sets them side by side."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from workflow_runs import ROOT, planned_jobs, run_snakemake, stale_lines, trainings

from correct_l0.study.groups import Group

CONFIG = yaml.safe_load(Path(__file__).with_name("tiny-synthetic.yaml").read_text())
PAGE = "results/tiny/report.html"
POINTS = {"train_points": 2, "measure_points": 2}


def changed(sweep: str, **saes) -> dict:
    """Return the configuration with some settings of one sweep changed."""
    config = copy.deepcopy(CONFIG)
    config["sweeps"][sweep] |= saes
    return config


def jobs(folder: Path, config: dict, *targets: str) -> dict[str, int]:
    return planned_jobs(run_snakemake(folder, "--dry-run", *targets, config=config))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder in which both sweeps are read and compared; their own reports are not written."""
    folder = tmp_path_factory.mktemp("sweeps")
    run = run_snakemake(folder, PAGE, config=CONFIG)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-9000:]
    return folder


def test_all_makes_the_source_once_a_report_per_sweep_and_one_page_of_both(tmp_path):
    planned = jobs(tmp_path, CONFIG)
    assert planned["make_world"] == 1
    assert {rule: planned[rule] for rule in POINTS} == POINTS
    for rule in ("gather_tables", "read_curves", "plot_figures", "write_report"):
        assert planned[rule] == 2, rule
    assert planned["compare_sweeps"] == 1


def test_a_study_of_one_sweep_without_a_name_has_no_such_page(tmp_path):
    config = copy.deepcopy(CONFIG)
    config["saes"] = config.pop("sweeps")["narrow"]
    planned = jobs(tmp_path, config)
    assert "compare_sweeps" not in planned
    assert planned["write_report"] == 1


@pytest.mark.parametrize(("sweep", "l0"), [("narrow", 8), ("third", 2)])
def test_a_target_that_is_no_point_of_a_sweep_is_refused(tmp_path, sweep, l0):
    target = f"results/tiny/{sweep}/saes/groups/seed_0/l0_{l0}.json"
    run = run_snakemake(tmp_path, "--dry-run", target, config=CONFIG)
    assert run.returncode != 0
    assert "MissingRuleException" in run.stdout + run.stderr


def test_the_page_and_its_summary(finished):
    results = finished / "results" / "tiny"
    page = (results / "report.html").read_text()
    assert page.index('href="narrow/report.html"') < page.index('href="wide/report.html"')
    assert "d_sae 16" in page
    assert "d_sae 24" in page
    headlines = re.findall(r'class="headline">([^<]*)<', page)
    assert len(headlines) == 2
    assert all("at least 3 L0 values are needed" in line for line in headlines)
    summary = (results / "summary.txt").read_text()
    assert summary.startswith("Tiny sweeps\n\nnarrow: ")
    assert f"Report: {PAGE}" in summary
    manifest = json.loads((results / "report.manifest.json").read_text())
    assert manifest["stage"] == "compare_sweeps"
    assert jobs(finished, CONFIG, PAGE) == {}


def test_an_l0_more_in_one_sweep_trains_that_point_alone(finished):
    planned = jobs(finished, changed("wide", l0=[2, 4, 6]), PAGE)
    assert planned == {
        "train_points": 1,
        "measure_points": 1,
        "gather_tables": 1,
        "read_curves": 1,
        "compare_sweeps": 1,
    }


def why(folder: Path, config: dict) -> list[str]:
    """Return the reasons that `make why` prints, by line."""
    (folder / "why.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    run = subprocess.run(
        [Path(sys.executable).with_name("correct-l0"), "why", "--configfile", "why.yaml"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "lib")},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout.splitlines()


def test_why_tells_the_source_once_and_each_sweep_under_its_name(tmp_path):
    printed = why(tmp_path, CONFIG)
    of_a_sweep = [
        "  SAEs, decoder metrics, recovery",
        "    all 2 points: not made yet",
        "  tables, verdict, figures, report: follows from the results above",
    ]
    # A world, twice a group, its metrics and four of the report; and the page.
    assert printed[: printed.index("COST")] == [
        "Study tiny (why.yaml): 14 jobs would run.",
        "Warning: only 2 L0 points: no curve can be read of fewer than 3; add to saes.l0.",
        "Warning: one seed: the answer is where two seeds agree, and of one there is only",
        "  a hint; add to saes.seeds.",
        "",
        "WHY",
        "  synthetic world: not made yet",
        "Sweep narrow",
        *of_a_sweep,
        "Sweep wide",
        *of_a_sweep,
        "All sweeps",
        "  comparison of sweeps: follows from the results above",
        "",
    ]
    costs = {line.split()[0]: line.split()[1] for line in printed if line.count("core") == 1}
    assert (costs["make_world"], costs["train_points"], costs["compare_sweeps"]) == ("1", "2", "1")
    assert any("In all 14 jobs" in line for line in printed)
    assert max(map(len, printed)) <= 80


def test_why_of_a_finished_study_that_has_an_l0_more(finished):
    printed = why(finished, changed("wide", l0=[2, 4, 6]))
    told = printed[printed.index("Sweep wide") : printed.index("COST")]
    assert "    l0 6 seed 0: not made yet" in told
    assert not [line for line in told if "l0 2" in line or "l0 4" in line]
    assert "  synthetic world: not made yet" not in printed
    of_narrow = printed[printed.index("Sweep narrow") + 1 : printed.index("Sweep wide")]
    # Only the page of both was asked for when this study was run.
    assert of_narrow == ["  figures, report: not made yet"]


def test_another_setting_of_one_sweep_is_told_with_its_name(finished):
    training = {**CONFIG["sweeps"]["wide"]["training"], "lr": 1e-3}
    run = run_snakemake(finished, "--dry-run", PAGE, config=changed("wide", training=training))
    assert "wide: saes l0 2 seed 0, l0 4 seed 0: lr 0.003 -> 0.001" in stale_lines(run)
    assert not [line for line in stale_lines(run) if line.startswith(("narrow", "comparison"))]
    assert trainings(run) == [Group(0, ("2", "4"))]


def test_another_order_of_the_sweeps_rewrites_the_page_alone(finished):
    config = copy.deepcopy(CONFIG)
    config["sweeps"] = {name: config["sweeps"][name] for name in ("wide", "narrow")}
    run = run_snakemake(finished, "--dry-run", PAGE, config=config)
    assert planned_jobs(run) == {"compare_sweeps": 1}
    assert stale_lines(run) == ["comparison: sweeps in another order"]


def test_a_page_that_was_written_over_is_made_again(finished):
    path = finished / "results" / "tiny" / "summary.txt"
    kept = path.read_bytes()
    try:
        path.write_text("nothing")
        run = run_snakemake(finished, "--dry-run", PAGE, config=CONFIG)
        assert planned_jobs(run) == {"compare_sweeps": 1}
        assert stale_lines(run)[0].startswith("comparison: summary.txt 7 bytes")
    finally:
        path.write_bytes(kept)
