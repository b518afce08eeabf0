"""Run a study and end with its summary: `make demo`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from correct_l0.study.plan import RESULTS

CONFIG = Path("config/config.yaml")


def study_of(arguments: Sequence[str]) -> str:
    """Return the name of the study that Snakemake runs with these arguments.

    Examples
    --------
    >>> study_of(["--cores", "2", "--configfile", "config/synthsaebench-16k.yaml"])
    'synthsaebench-16k'
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", type=Path, default=CONFIG)
    config = parser.parse_known_args(arguments)[0].configfile
    return yaml.safe_load(config.read_text())["study"]


def main(arguments: Sequence[str]) -> int:
    """Run Snakemake with the given arguments, print the summary, return the exit status."""
    start = time.monotonic()
    status = subprocess.run([sys.executable, "-m", "snakemake", *arguments], check=False).returncode
    if status:
        return status
    summary = RESULTS / study_of(arguments) / "summary.txt"
    print(f"\n{summary.read_text().rstrip()}")
    print(f"This run took {(time.monotonic() - start) / 60:.1f} min.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
