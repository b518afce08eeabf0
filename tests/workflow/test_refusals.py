"""Bad input is refused in one line while the workflow is read, before any job starts."""

from __future__ import annotations

import os
import shlex
import subprocess

import pytest
import yaml
from workflow_runs import (
    FORKS,
    ROOT,
    planned_jobs,
    run_snakemake,
    snakemake_command,
    tiny_config,
    trained,
)

from correct_l0.study.config import parse_study
from correct_l0.study.plan import Plan

SEARCHED = {"d_sae": 128, "training": {"training_tokens": 65_536, "batch_tokens": 512}}


def refused(folder, path, value):
    config = tiny_config()
    section = config
    *parents, last = path.split(".")
    for parent in parents:
        section = section[parent]
    section[last] = value
    run = run_snakemake(folder, "--dry-run", config=config)
    assert run.returncode != 0
    lines = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in run.stderr
    assert len(lines) == 1, run.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("saes.l00", [4], ["saes.l00", "did you mean 'l0'"]),
        ("saes.l0", [4, 500], ["l0 500", "d_sae 128"]),
        ("saes", {**SEARCHED, "l0": {"from": 40, "to": 4, "until": 2}}, ["from 40", "to 4"]),
        ("probing.tasks", ["5_hist_fig_ismal"], ["5_hist_fig_ismal", "5_hist_fig_ismale"]),
        ("activations.model.source", "no/such/folder/here", ["no/such/folder/here"]),
        ("activations.hook_name", "blocks.9.hook_resid_post", ["blocks.9.hook_resid_post", "6"]),
        ("activations.text", {"source": "files", "files": ["absent.txt"]}, ["absent.txt"]),
    ],
)
def test_a_wrong_value_is_one_line(tmp_path, path, value, words):
    line = refused(tmp_path, path, value)
    assert all(word in line for word in words), line


def test_a_model_folder_without_weights(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"num_hidden_layers": 6}')
    assert "weights" in refused(tmp_path, "activations.model.source", str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "empty"), (b"na\xefve", "UTF-8")], ids=["empty", "latin-1"]
)
def test_a_text_file_that_cannot_be_read(tmp_path, content, words):
    (tmp_path / "text.txt").write_bytes(content)
    text = {"source": "files", "files": [str(tmp_path / "text.txt")]}
    assert words in refused(tmp_path, "activations.text", text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"study: s\nsaes:\n\td_sae: 3\n",
            r", line 3: not YAML (found character '\t' that cannot start any token); "
            "indent with spaces, not tabs",
        ),
        (
            b"study: abc\xe9\n",
            ": not UTF-8 (invalid continuation byte at byte 10); save it as UTF-8",
        ),
        (b"", ": empty; name a study's configuration, such as config/config.yaml"),
    ],
    ids=["a tab", "Latin-1", "empty"],
)
def test_a_configuration_that_cannot_be_read(tmp_path, content, words):
    """Snakemake reads it before the Snakefile, and says neither where nor in which file."""
    (tmp_path / "mine.yaml").write_bytes(content)
    command = ["--snakefile", str(ROOT / "Snakefile"), "--dry-run", "--configfile", "mine.yaml"]
    run = FORKS.run(command, tmp_path, os.environ)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == f"error: mine.yaml{words}"


def test_a_cache_dated_in_the_future(tmp_path):
    manifest = tmp_path / "results/activations/tiny/manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    os.utime(manifest, (1893499200, 1893499200))
    line = refused(tmp_path, "study", "tiny")
    assert line.endswith("where the clock is right: touch results/activations/tiny/manifest.json")


def test_damaged_records_of_snakemakes(tmp_path):
    """Snakemake itself ends in a traceback: UnicodeDecodeError, or pydantic's ValidationError."""
    records = tmp_path / ".snakemake/metadata"
    records.mkdir(parents=True)
    (records / "a torn one").write_bytes(b"\xff\x00{")
    (records / "list").write_text("[1]")
    line = refused(tmp_path, "study", "tiny")
    assert "metadata/a torn one and 1 more: a record of Snakemake's that is damaged" in line
    subprocess.run(line.rpartition(": ")[2], shell=True, check=True, cwd=tmp_path)
    assert run_snakemake(tmp_path, "--dry-run").returncode == 0


@pytest.mark.parametrize(
    ("read_only", "begun", "message"),
    [
        ("results", False, "error: results: read-only here, so that"),
        (".", True, "error: .snakemake: read-only here, and even -n"),
        (".", False, "error: .snakemake: read-only here, and even -n"),
    ],
)
def test_results_that_are_read_only(tmp_path, read_only, begun, message):
    """On a disk that is mounted so, where even root may not write; a dry run may go on."""
    (tmp_path / "results/activations/tiny").mkdir(parents=True)
    if begun:
        run_snakemake(tmp_path, "--dry-run")
    here = tmp_path / read_only
    mount = f"mount --bind {here} {here} && mount -o remount,ro,bind {here} && cd {tmp_path} &&"
    for options, status in (([], 1), (["--dry-run"], int(".snakemake" in message))):
        command = shlex.join(snakemake_command(tmp_path, *options))
        run = subprocess.run(
            ["unshare", "--mount", "sh", "-c", f"{mount} {command}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert run.returncode == status, run.stderr
        assert "Traceback" not in run.stderr
        errors = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == status
        assert all(line.startswith(message) for line in errors)


@pytest.mark.parametrize("study", sorted(p.name for p in (ROOT / "config").glob("*layer*.yaml")))
def test_the_papers_studies_pass_a_dry_run(tmp_path, study):
    config = yaml.safe_load((ROOT / "config" / study).read_text())
    run = run_snakemake(tmp_path, "--dry-run", config=config)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert len(trained(run)) == sum(len(Plan(sweep).points) for sweep in parse_study(config))


@pytest.mark.parametrize("file", sorted((ROOT / "config" / "imported").glob("*.yaml")))
def test_the_studies_of_published_saes_pass_a_dry_run_without_a_hub(tmp_path, file):
    config = yaml.safe_load(file.read_text())
    run = run_snakemake(tmp_path, "--dry-run", config=config)
    assert planned_jobs(run)["fetch_weights"] == len(config["sweeps"])


@pytest.mark.parametrize(
    "target",
    [
        "saes/groups/seed_0/l0_99.json",
        "saes/groups/seed_0/l0_04.json",
        "saes/groups/seed_7/l0_4.json",
        "measured/seed_0/l0_4-99.json",
        "measured/seed_7/l0_4.json",
    ],
)
def test_a_target_that_is_no_point_of_the_study(tmp_path, target):
    run = run_snakemake(tmp_path, "--dry-run", f"results/tiny/{target}")
    assert run.returncode != 0
    assert "MissingRuleException" in run.stdout + run.stderr
