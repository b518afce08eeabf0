"""Ctrl-C, as often as a person presses it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial

from workflow_runs import ROOT

from correct_l0.jobs.stopping import STOPPED, STOPPING

SNAKEFILE = """
from correct_l0.jobs.stopping import stop_once
stop_once(tells=workflow.is_main_process)
rule all:
    output: "never"
    shell: "trap '' INT; touch running; sleep 4"
"""
"""A job that takes a while to leave, as a training that writes its checkpoint."""


def test_only_the_first_counts(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    run = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
        # A shell's background job ignores Ctrl-C, and so would all that it starts.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    while not (tmp_path / "running").exists():
        assert run.poll() is None
        time.sleep(0.1)
    for _ in range(3):
        time.sleep(0.5)
        os.killpg(run.pid, signal.SIGINT)
    said, _ = run.communicate(timeout=600)
    assert run.returncode == 1
    assert "event loop" not in said and "Traceback" not in said
    assert said.count(STOPPING) == 2
    assert said.splitlines()[-1] == STOPPED
    assert [*tmp_path.glob(".snakemake/locks/*")] == []


def test_every_snakemake_of_a_run_does_so():
    """Those that jobs run in, too: a terminal's Ctrl-C reaches all of them."""
    rules = (ROOT / "workflow" / "rules" / "common.smk").read_text()
    assert re.search(r"^stop_once\(tells=is_main_process\(\)\)$", rules, re.M)
