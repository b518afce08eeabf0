"""Measure one comparison in a process of its own; `run.py` starts it.

python benchmarks/measuring.py time MODULE NAME ROUNDS OUT
python benchmarks/measuring.py memory MODULE NAME SIDE OUT
python benchmarks/measuring.py start_up OUT
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import collect
from comparison import Comparison, Sides

LONG_S = 5.0
"""A call longer than this is not repeated for its memory."""


def timed(call: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    gc.collect()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def rounds_of(sides: Sides, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each side in each round, after a round that is not kept.

    Sides take turns, and every other round begins with the last one, so that what changes slowly
    (a machine that warms up, a neighbour) favours none.
    """
    for call in sides.values():
        call()
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            seconds[side].append(timed(sides[side]))
    return seconds


def memory_of(call: Callable[[], object]) -> float:
    """Return by how many MB the resident memory grows at most, over one call or two.

    Linux lets a process set its peak back, so that a peak in `prepare` hides nothing; elsewhere the
    growth beyond that peak is returned.
    """
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    before = peak_mb()
    if timed(call) < LONG_S:
        timed(call)
    return peak_mb() - before


def peak_mb() -> float:
    """Return the peak of this process's resident memory."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text().split()
        return int(status[status.index("VmHWM:") + 1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def prepared(module: str, name: str) -> Sides:
    """Return the sides of a comparison, ready to be called."""
    comparison: Comparison = collect.named(module, name)
    sides = comparison.prepare()
    if missing := {"ours", "rival"} - set(sides):
        raise KeyError(f"{name}: no side {', '.join(sorted(missing))}")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(comparison.threads)
    return sides


def main(arguments: list[str]) -> None:
    """Measure what the arguments say and write it as JSON."""
    what, *others, out = arguments
    found: object
    if what == "time":
        module, name, rounds = others
        found = rounds_of(prepared(module, name), int(rounds))
    elif what == "memory":
        module, name, side = others
        found = memory_of(prepared(module, name)[side])
    else:
        found = importlib.import_module("start_up").rows()
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
