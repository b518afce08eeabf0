"""One finished tiny study, shared by the tests of the workflow."""

from __future__ import annotations

from pathlib import Path

import pytest
from workflow_runs import run_snakemake


@pytest.fixture(scope="session")
def tiny_study(tmp_path_factory) -> Path:
    """The folder in which the tiny study has run to its end."""
    folder = tmp_path_factory.mktemp("study")
    run = run_snakemake(folder)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-15000:]
    return folder
