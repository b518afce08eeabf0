"""Run a study, which ends with its answer, and say how long that took: `make demo`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run Snakemake with the given arguments, print the time it took, return the exit status."""
    start = time.monotonic()
    status = subprocess.run([sys.executable, "-m", "snakemake", *arguments], check=False).returncode
    if status == 0:
        print(f"This run took {(time.monotonic() - start) / 60:.1f} min.")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
