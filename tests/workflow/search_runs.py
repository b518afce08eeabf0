"""How the tests run a search for the L0."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import yaml
from workflow_runs import planned_jobs, run_snakemake, snakemake_command, why

CONFIG = yaml.safe_load(Path(__file__).with_name("tiny-search.yaml").read_text())
FIRST = [1.3, 2.2, 3.7, 6.2]
"""Gaps of 8^(1/4) = 1.68, from half a one above 1."""


def rounds(folder: Path) -> list[dict]:
    """Return the records of a search, without how long its trainings took."""
    paths = sorted((folder / "results" / "tiny-search" / "rounds").glob("round_?.json"))
    records = [json.loads(path.read_text()) for path in paths]
    return [{name: x for name, x in r.items() if name != "training_s"} for r in records]


def finish_search(folder: Path) -> None:
    """Search in a folder: one command is killed after the first round, and the next one goes on."""
    command = snakemake_command(folder, config=CONFIG)
    with open(folder / "killed.txt", "w") as said:
        run = subprocess.Popen(
            command, cwd=folder, stdout=said, stderr=said, start_new_session=True
        )
        end = time.monotonic() + 900
        while "l0_" not in " ".join(trained_in_second(folder)) and time.monotonic() < end:
            assert run.poll() is None, (folder / "killed.txt").read_text()[-5000:]
            time.sleep(0.2)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert len(rounds(folder)) == 1
    subprocess.run([*command, "--unlock"], cwd=folder, check=True, capture_output=True)
    (folder / "planned.txt").write_text(json.dumps(planned(folder)))
    (folder / "why.txt").write_text(why(folder, CONFIG))
    again = run_snakemake(folder, config=CONFIG)
    assert again.returncode == 0, again.stdout[-3000:] + again.stderr[-9000:]
    (folder / "again.txt").write_text(again.stdout + again.stderr)


def trained_in_second(folder: Path) -> list[str]:
    """Return the folders of SAEs that the first round does not have."""
    saes = folder / "results" / "tiny-search" / "saes"
    first = {f"l0_{x:g}" for x in FIRST} | {"groups"}
    return [path.name for path in saes.glob("*") if path.name not in first]


def planned(folder: Path, config: dict = CONFIG, *arguments: str) -> dict[str, int]:
    return planned_jobs(run_snakemake(folder, "--dry-run", *arguments, config=config))
