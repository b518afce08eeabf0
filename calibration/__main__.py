"""Sweep the worlds of the suite, and say how often each way of reading them is right.

`python -m calibration [--quick] [--cores N] [--judge-only] [--show NUMBER]`, in the repository's
root. What is done is kept: started again, it goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import yaml

from calibration.measure import measure_quietly
from calibration.worlds import world

WHOLE, QUICK = 64, 8
RESULTS = Path("results/calibration")


def sweep(worlds: int, cores: int, folder: Path) -> None:
    """Sweep the first worlds of the suite, one on each core, short ones first."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(cores) as pool:
        started = [
            pool.submit(measure_quietly, number, str(folder.resolve()))
            for number in sorted(range(worlds), key=lambda number: world(number).size)
        ]
        for done, future in enumerate(as_completed(started), start=1):
            print(f"world {future.result()}: swept ({done} of {worlds})", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Sweep and judge; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m calibration", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} worlds, not {WHOLE}")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="worlds at once")
    parser.add_argument(
        "--judge-only", action="store_true", help="sweep nothing, judge what stands"
    )
    parser.add_argument("--show", type=int, metavar="NUMBER", help="print a world as a study")
    options = parser.parse_args(arguments)
    if options.show is not None:
        print(yaml.safe_dump(world(options.show).config, sort_keys=False), end="")
        return 0
    if not options.judge_only:
        sweep(QUICK if options.quick else WHOLE, options.cores, RESULTS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
