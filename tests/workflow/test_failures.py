"""Whatever ends a job, the last line on the screen says what it was."""

from __future__ import annotations

import json
import shutil

import pytest
from workflow_runs import ROOT, run_snakemake, tiny_config

TEXT = "results/activations/tiny/text/manifest.json"
LOG = "results/activations/tiny/logs/stage_text.log"


def staged(folder, code=ROOT, lines=('{"text": "a word"}',) * 4000):
    """Stage a text of the given lines; return the last line on the screen, and the run."""
    (folder / "text.jsonl").write_text("\n".join(lines))
    config = tiny_config()
    config["activations"]["text"] = {"source": "files", "files": [str(folder / "text.jsonl")]}
    run = run_snakemake(folder, TEXT, config=config, code=code)
    assert run.returncode != 0
    return run.stderr.splitlines()[-1], run


def test_an_input_error_ends_what_is_printed(tmp_path):
    last, _ = staged(tmp_path, lines=[json.dumps({"text": "a word"}), "[" * 100_000])
    file = tmp_path / "text.jsonl"
    assert last.startswith(f"error: text file '{file}' line 2 is not JSON")
    assert (tmp_path / LOG).read_text().splitlines() == [last]


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("raise KeyError('means')", f"error: KeyError: 'means' (log: {LOG})"),
        ("import os; os.abort()", f"stage_text: ended without a word, killed or .* (log: {LOG})"),
    ],
    ids=["exception", "killed"],
)
def test_what_nobody_thought_of_ends_what_is_printed(tmp_path, statement, line):
    code = tmp_path / "code"
    for name in ("workflow", "config", "envs"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "Snakefile", code)
    script = code / "workflow/scripts/stage_text.py"
    script.write_text(
        script.read_text().replace("    from pathlib", f"    {statement}\n    from pathlib")
    )
    last, run = staged(tmp_path, code)
    head, _, tail = line.partition(".*")
    assert head in last and last.endswith(tail), run.stderr
    assert ("Traceback" in (tmp_path / LOG).read_text()) == ("KeyError" in line)
    assert "Traceback" not in run.stderr
