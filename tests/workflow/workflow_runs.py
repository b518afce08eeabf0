"""How the workflow's tests run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.yaml")
TINY_L0 = (4, 10.5, 32)
TINY_SEEDS = (0, 1)


def tiny_config() -> dict[str, Any]:
    """Return the tiny study's configuration as read from its file."""
    return yaml.safe_load(TINY.read_text())


def run_snakemake(
    folder: Path, *arguments: str, config: dict[str, Any] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the workflow in a folder on a configuration (default: the tiny study)."""
    configfile = folder / "study.yaml"
    configfile.write_text(yaml.safe_dump(config or tiny_config()))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(configfile)]
    command += ["--cores", "2", *arguments]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
