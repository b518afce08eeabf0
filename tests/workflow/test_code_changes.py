"""What is computed again after a change of the code: dry runs of a copy of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from workflow_runs import ROOT, planned_jobs, run_snakemake

CODE = ("Snakefile", "workflow", "profiles", "config")
LIBRARY = Path("workflow/lib/correct_l0")
TEXT_AND_FIGURES = {"read_curves": 1, "plot_figures": 1, "write_report": 1}
EVERYTHING = {
    "train_points": 6, "measure_points": 6, "probe_points": 6, "compare_seeds": 1,
    "gather_tables": 1, **TEXT_AND_FIGURES,
}  # fmt: skip


@pytest.fixture
def code(tmp_path) -> Path:
    """A copy of the code that a test may change."""
    folder = tmp_path / "code"
    folder.mkdir()
    for name in CODE:
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignore)
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


def dry_run(study: Path, code: Path) -> dict[str, int]:
    return planned_jobs(run_snakemake(study, "--dry-run", code=code))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{path}: {old!r} is there {text.count(old)} times"
    path.write_text(text.replace(old, new))


def git(code: Path, *arguments: str) -> None:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    subprocess.run(["git", "-C", str(code), *who, *arguments], check=True, capture_output=True)


def test_what_changes_no_number_and_no_text_computes_nothing(tiny_study, code, tmp_path):
    """Comments, formatting, a branch and back, a touch of every file, results moved elsewhere."""
    scripts = [code / "workflow/scripts/train_points.py", code / "workflow/scripts/plot_figures.py"]
    modules = [
        code / LIBRARY / "saes/training/train.py",
        code / LIBRARY / "report/figures/style.py",
    ]
    rules = [code / "workflow/rules/saes.smk", code / "workflow/rules/report.smk"]
    for file in scripts + modules + rules:
        file.write_text(file.read_text() + "\n\n# A remark.\n")
    replace(modules[0], '"""A point in training: its', '"""A point as it is trained: its')
    replace(rules[0], "SAEs of one seed in one reading", "One reading for the SAEs of a seed")
    replace(modules[1], "DPI = 160\n", "DPI = (\n    160\n)\n")
    git(code, "init", "--quiet", "--initial-branch", "main")
    git(code, "add", ".")
    git(code, "commit", "--quiet", "--message", "one")
    git(code, "checkout", "--quiet", "-b", "other")
    changed = [path for path in code.rglob("*.*") if path.suffix in (".py", ".smk")]
    for path in changed:
        path.write_text(
            re.sub(r"^RECIPE = \d+", "RECIPE = 99", path.read_text(), flags=re.M) + "#\n"
        )
    git(code, "commit", "--quiet", "--all", "--message", "two")
    assert "RECIPE = 99" in (code / LIBRARY / "saes/__init__.py").read_text()
    git(code, "checkout", "--quiet", "main")
    moved = tmp_path / "elsewhere" / "study"
    shutil.copytree(tiny_study, moved)
    for path in code.rglob("*"):
        os.utime(path)
    assert dry_run(moved, code) == {}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("captions.py", "What sparse probing says", "What sparse probing tells"),
        ("words.py", "Extend the grid.", "Widen the grid."),
        ("templates/report.css", "--accent: #0072b2", "--accent: #0072b3"),
    ],
    ids=["a caption", "a sentence", "a colour"],
)
def test_a_change_of_the_report_rewrites_the_report(tiny_study, code, file, old, new):
    replace(code / LIBRARY / "report" / file, old, new)
    assert dry_run(tiny_study, code) == TEXT_AND_FIGURES


def test_another_training_recipe_trains_every_point(tiny_study, code):
    replace(code / LIBRARY / "saes/__init__.py", "RECIPE = ", "RECIPE = 1000 + ")
    assert dry_run(tiny_study, code) == EVERYTHING
