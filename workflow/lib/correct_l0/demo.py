"""Run the embedded default study and end with its verdict: `make demo`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from correct_l0.plan import RESULTS

CONFIG = Path("config/config.yaml")


def main(arguments: Sequence[str]) -> int:
    """Run Snakemake with the given arguments, print the summary, return the exit status."""
    start = time.monotonic()
    status = subprocess.run([sys.executable, "-m", "snakemake", *arguments], check=False).returncode
    if status:
        return status
    study = yaml.safe_load(CONFIG.read_text())["study"]
    print(f"\n{(RESULTS / study / 'summary.txt').read_text().rstrip()}")
    print(f"This run took {(time.monotonic() - start) / 60:.1f} min.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
