"""What starting costs: a dry run of the paper's study, the package, and the imports of each job.

`python benchmarks/start_up.py` prints the table. Other work on the machine only adds to a start, so
each figure is the least of several.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "config" / "gemma-2-2b-layer-12.yaml"
TINY = ROOT / "tests" / "workflow" / "tiny.yaml"
SEEDS = [0, 1, 2]
ROUNDS = 3
DRY_RUN_LIMIT, PACKAGE_LIMIT, JOB_LIMIT = 5.0, 0.3, 5.0
IMPORTED = re.compile(r"^import time: +(\d+) \|", re.MULTILINE)
"""A module's own time in microseconds, as Python's `-X importtime` writes it."""

Row = dict[str, str | float]


def rows() -> list[Row]:
    """Return what was measured: `what`, its `seconds`, and the `limit` it should keep."""
    with tempfile.TemporaryDirectory() as folder:
        return [_dry_run(Path(folder)), _package(), *_jobs(Path(folder))]


def _dry_run(folder: Path) -> Row:
    study = yaml.safe_load(PAPER.read_text())
    study["saes"]["seeds"] = SEEDS
    seconds = min(_seconds(_snakemake(folder, study, "--dry-run")) for _ in range(ROUNDS))
    what = f"`snakemake -n`, {len(study['saes']['l0'])} L0 points, {len(SEEDS)} seeds"
    return {"what": what, "seconds": seconds, "limit": DRY_RUN_LIMIT}


def _package() -> Row:
    def once() -> float:
        return _seconds([sys.executable, "-c", "import correct_l0"])

    def empty() -> float:
        return _seconds([sys.executable, "-c", ""])

    seconds = min(once() for _ in range(3 * ROUNDS)) - min(empty() for _ in range(3 * ROUNDS))
    return {"what": "`import correct_l0`", "seconds": max(seconds, 0.0), "limit": PACKAGE_LIMIT}


def _jobs(folder: Path) -> list[Row]:
    """Return the imports of each rule's job, late ones included, in a run of a tiny study."""
    study = yaml.safe_load(TINY.read_text())
    study["device"] = "cpu"
    study["saes"].update(l0=[4, 32], seeds=[0, 1], points_per_job=2)
    _seconds(_snakemake(folder, study, "--quiet", "all"), PYTHONPROFILEIMPORTTIME="1")
    seconds: dict[str, list[float]] = {}
    for results in (folder / "results" / study["study"], folder / "results" / "activations"):
        for log in sorted(results.rglob("logs/**/*.log")):
            place = log.relative_to(next(p for p in log.parents if p.name == "logs"))
            took = sum(map(int, IMPORTED.findall(log.read_text()))) / 1e6
            seconds.setdefault(place.parts[0].removesuffix(".log"), []).append(took)
    return [
        {"what": f"imports of `{rule}`", "seconds": min(took), "limit": JOB_LIMIT}
        for rule, took in sorted(seconds.items())
    ]


def _snakemake(folder: Path, study: dict, *arguments: str) -> list[str]:
    configfile = folder / "study.yaml"
    configfile.write_text(yaml.safe_dump(study))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(configfile), "--cores", "1"]
    return [*command, *arguments]


def _seconds(command: Sequence[str], **environment: str) -> float:
    """Run a command and return its seconds.

    Raises
    ------
    RuntimeError
        If it fails, with the end of what it printed.
    """
    library = str(ROOT / "workflow" / "lib")
    more = {"PYTHONPATH": library, "HF_HUB_OFFLINE": "1", **environment}
    started = time.perf_counter()
    run = subprocess.run(
        command, env={**os.environ, **more}, capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - started
    if run.returncode:
        raise RuntimeError((run.stdout + run.stderr)[-2000:])
    return took


def main() -> None:
    """Print the table."""
    for row in rows():
        print(f"{row['what']:<50} {row['seconds']:6.2f} s, limit {row['limit']} s")


if __name__ == "__main__":
    main()
