"""Run a study, which ends with its answer, and say how long that took: `make demo`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from correct_l0.jobs.child import status_of


def main(arguments: Sequence[str]) -> int:
    """Run Snakemake with the given arguments, print the time it took, return the exit status."""
    start = time.monotonic()
    status = status_of([sys.executable, "-m", "snakemake", *arguments])
    if status == 0:
        print(f"This run took {(time.monotonic() - start) / 60:.1f} min.")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
