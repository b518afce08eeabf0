"""How the workflow's tests run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from snakemake_forks import Forks

from correct_l0.study.groups import Group, group_named

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.yaml")
TINY_L0 = (4, 10.5, 32)
TINY_SEEDS = (0, 1)
FORKS = Forks()


def tiny_config() -> dict[str, Any]:
    """Return the tiny study's configuration as read from its file."""
    return yaml.safe_load(TINY.read_text())


def snakemake_command(
    folder: Path, *arguments: str, config: dict[str, Any] | None = None, code: Path = ROOT
) -> list[str]:
    """Return the command that runs the workflow in a folder; see `run_snakemake`."""
    # Two workers of pytest may ask about one folder at once.
    configfile = folder / f"study_{os.getpid()}.yaml"
    configfile.write_text(yaml.safe_dump(config or tiny_config(), sort_keys=False))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(code / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(configfile)]
    return [*command, "--cores", "2", *arguments]


def run_snakemake(
    folder: Path, *arguments: str, config: dict[str, Any] | None = None, code: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run the workflow in a folder on a configuration (default: the tiny study).

    `code` holds the Snakefile, where it is not the repository's. There is no network.
    """
    command = snakemake_command(folder, *arguments, config=config, code=code)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
    return FORKS.run(command[3:], folder, environment)


def planned_jobs(run: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Return how many jobs of each rule a dry run lists."""
    said = run.stdout + run.stderr
    assert run.returncode == 0, said[-6000:]
    if "Nothing to be done" in said:
        return {}
    table = said.split("Job stats:")[1].split("\n\n")[0]
    counts = dict(line.split() for line in table.splitlines() if line[-1:].isdigit())
    return {rule: int(n) for rule, n in counts.items() if rule not in ("all", "total")}


def trainings(run: subprocess.CompletedProcess[str]) -> list[Group]:
    """Return the groups that a dry run would train."""
    assert run.returncode == 0, (run.stdout + run.stderr)[-6000:]
    records = re.findall(r"output: (\S+/saes/groups/\S+\.json)", run.stdout + run.stderr)
    groups = [group_named(record) for record in records]
    return sorted(groups, key=lambda group: (group.seed, float(group.labels[0])))


def trained(run: subprocess.CompletedProcess[str]) -> list[tuple[str, int]]:
    """Return the points that a dry run would train."""
    return [point for group in trainings(run) for point in group.points]


def stale_lines(run: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what a run says of results that do not stand."""
    said = (run.stdout + run.stderr).splitlines()
    return sorted(line.removeprefix("Stale: ") for line in said if line.startswith("Stale: "))


def why(folder: Path, config: dict, *arguments: str) -> str:
    """Return what `correct-l0 why` prints about a configuration in a folder."""
    (folder / "why.yaml").write_text(yaml.safe_dump(config))
    run = subprocess.run(
        [
            Path(sys.executable).with_name("correct-l0"),
            "why",
            "--configfile",
            "why.yaml",
            *arguments,
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "lib"), "HF_HUB_OFFLINE": "1"},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout
