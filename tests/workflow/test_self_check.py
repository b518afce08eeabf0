"""A study that checks its own answer: the job, its place before the page, and its being kept."""

from __future__ import annotations

import html
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from workflow_runs import ROOT, planned_jobs, run_snakemake, stale_lines

from correct_l0.sources.language_model.places import Places, by_content
from semi_synthetic_toy import write_random

RESULTS = Path("results/tiny")
PAGE = {"self_check": 1, "write_report": 1}


def known_by_content(activations):
    """Return settings as a study knows them whose paths lead from here."""
    return by_content(activations, Places.of(activations, Path.cwd()), Path("digests.json"))


def write_study(folder: Path) -> dict:
    """Write a sealed cache and what it was made from; return a study of it."""
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"n_layer": 2, "n_embd": 16, "n_positions": 16}))
    (model / "model.safetensors").write_bytes(b"weights")
    # Named as the study names them, which is read in this folder.
    here = os.getcwd()
    os.chdir(folder)
    try:
        named = {"model": {"source": "model"}, "text": {"source": "files", "files": ["toy.jsonl"]}}
        write_random(".", known=known_by_content, **named)
    finally:
        os.chdir(here)
    sealed = json.loads((folder / "results/activations/toy/manifest.json").read_text())
    return {
        "study": "tiny",
        "device": "cpu",
        "self_check": True,
        "activations": {
            **json.loads(sealed["parameters"]), **named, "cache": "toy", "shards_per_job": 2,
        },
        "saes": {
            "d_sae": 24, "l0": [2, 4, 8], "seeds": [0, 1], "points_per_job": 3,
            "training": {"training_tokens": 16_384, "batch_tokens": 256, "lr": 3e-3},
        },
        "decoder_metrics": {"n": [12], "batch_tokens": 512},
    }  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[Path, dict]:
    """The folder and the configuration of a study that has run to its end."""
    folder = tmp_path_factory.mktemp("checked")
    config = write_study(folder)
    run = run_snakemake(folder, config=config)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-9000:]
    return folder, config


def test_the_report_has_the_check_beside_the_answer(study):
    folder, config = study
    page = (folder / RESULTS / "report.html").read_text()
    assert page.index('id="answer"') < page.index('id="self-check"') < page.index('id="words"')
    assert "Checked on data that" in (folder / RESULTS / "summary.txt").read_text()
    checks = json.loads((folder / RESULTS / "self_check/self_check.json").read_text())["checks"]
    assert page.count('<td class="text">found</td>') == [c["result"] for c in checks].count("found")
    assert all(check["why"] in html.unescape(page) for check in checks)
    assert planned_jobs(run_snakemake(folder, "--dry-run", config=config)) == {}


def test_a_check_that_is_lost_is_made_again_from_what_is_kept(study):
    folder, config = study
    path = folder / RESULTS / "self_check/self_check.json"
    before, trained = path.read_bytes(), sorted(path.parent.glob("l0_*/saes/*/*/manifest.json"))
    times = [each.stat().st_mtime_ns for each in trained]
    path.write_text("{}")
    dry = run_snakemake(folder, "--dry-run", config=config)
    assert planned_jobs(dry) == PAGE
    assert stale_lines(dry)[0].startswith("self_check: self_check.json 2 bytes, not ")
    target = str(RESULTS / "self_check/manifest.json")
    run = run_snakemake(folder, target, config=config)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-9000:]
    assert path.read_bytes() == before
    assert len(trained) >= 6
    assert [each.stat().st_mtime_ns for each in trained] == times


def test_why_tells_it(tmp_path):
    config = write_study(tmp_path)
    (tmp_path / "why.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    run = subprocess.run(
        [Path(sys.executable).with_name("correct-l0"), "why", "--configfile", "why.yaml"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "lib")},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "tables, verdict, self-check, figures, report: follows from the results above" in (
        " ".join(run.stdout.split())
    )
    assert any(line.split()[:2] == ["self_check", "1"] for line in run.stdout.splitlines())
