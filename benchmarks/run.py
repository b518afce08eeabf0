"""Run the comparisons, each in a process of its own, and write tables and figures.

    python benchmarks/run.py [--only REGEX] [--quick] [--list]

`make bench` does the same. Results are in benchmarks/results and are written after each comparison:
a run that is stopped loses one. `--only` measures those whose name or room matches and keeps the
rows of the others; `start_up` is a name too. `--quick` times three rounds at most and no memory;
that of a row stays where the commit is the same. `--memory` measures that alone, which needs no
quiet machine, and leaves the times.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import collect
import readme
import result_tables as tables
from comparison import Comparison

HERE = Path(__file__).parent

QUICK_ROUNDS = 3

MEMORY_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
"""Tensors are pages of their own then, resident from first use until they are freed: otherwise new
ones may lie where freed ones were, and be resident before."""


class Failed(Exception):
    """A measurement ended with an error; its last line is the message."""


def measure(arguments: Sequence[str], threads: int) -> object:
    """Return what `measuring.py` found, run as a process with so many threads."""
    counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = {
        **os.environ,
        **dict.fromkeys(counts, str(threads)),
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "disabled",
        **(MEMORY_ENVIRONMENT if arguments[0] == "memory" else {}),
    }
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        done = subprocess.run(
            [sys.executable, str(HERE / "measuring.py"), *arguments, str(out)],
            env=environment,
            cwd=collect.ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode or not out.exists():
            lines = done.stderr.strip().splitlines()
            raise Failed(lines[-1] if lines else f"ended with status {done.returncode}")
        return json.loads(out.read_text())


def memories(module: str, comparison: Comparison) -> dict[str, float]:
    """Return the growth of each side's memory; both at once, as nothing is timed."""

    def of(side: str) -> float:
        return float(str(measure(["memory", module, comparison.name, side], comparison.threads)))

    sides = ("ours", "rival")
    with ThreadPoolExecutor(len(sides)) as pool:
        return dict(zip(sides, pool.map(of, sides), strict=True))


def row_there(comparison: Comparison) -> tables.Row | None:
    """Return the row that a comparison has."""
    rows = tables.read(tables.RESULTS / tables.SUMMARY)
    return next((row for row in rows if row["name"] == comparison.name), None)


def memory_there(comparison: Comparison, stamp: tables.Row) -> dict[str, float]:
    """Return what a run of the same commit measured on this machine, for one that does not."""
    old = row_there(comparison)
    return {} if old is None else tables.memory_of_same_code(old, stamp)


def memory_alone(module: str, comparison: Comparison, order: Sequence[str]) -> str:
    """Measure a comparison's memory, put it beside its times, and return it in a line.

    Raises
    ------
    Failed
        If a side fails, or where no times of this machine and these versions are there.
    """
    stamp, old = collect.stamp(), row_there(comparison)
    if old is None or old["error"] or not tables.same_place(old, stamp):
        raise Failed("no times of this machine and these versions; run without --memory")
    found = memories(module, comparison)
    commit = "" if stamp["commit"] == old["commit"] else stamp["commit"]
    row = {**old, **tables.memory_columns(comparison, found, commit)}
    path = tables.RESULTS / tables.SUMMARY
    tables.replace(path, tables.SUMMARY_COLUMNS, comparison.name, [row], order)
    return f"{row['memory_mb_ours']} and {row['memory_mb_rival']} MB"


def compare(module: str, comparison: Comparison, quick: bool, order: Sequence[str]) -> str:
    """Measure a comparison, write its rows, and return it in a line.

    Raises
    ------
    Failed
        If a side fails; the table of summaries then says so.
    """
    stamp = collect.stamp()
    rounds = min(QUICK_ROUNDS, comparison.rounds) if quick else comparison.rounds
    rows: list[tables.Row] = []
    failure = None
    try:
        seconds = measure(["time", module, comparison.name, str(rounds)], comparison.threads)
        assert isinstance(seconds, dict)
        memory: dict[str, float] = {}
        if quick:
            memory = memory_there(comparison, stamp)
        elif comparison.measures_memory:
            memory = memories(module, comparison)
        rows = tables.round_rows(comparison, seconds, stamp)
        row = tables.summary_row(comparison, seconds, memory, stamp)
    except Failed as error:
        failure = error
        row = tables.failed_row(comparison, str(error), stamp)
    folder, name = tables.RESULTS, comparison.name
    tables.replace(folder / tables.ROUNDS, tables.ROUND_COLUMNS, name, rows, order)
    tables.replace(folder / tables.SUMMARY, tables.SUMMARY_COLUMNS, name, [row], order)
    if failure:
        raise failure
    words = f"{row['ratio']} ({row['smallest']} to {row['largest']})"
    if row["met"] == "no":
        words += f", below the target of {row['target']}"
    if memory:
        words += f"; {row['memory_mb_ours']} and {row['memory_mb_rival']} MB"
    return words


def start_up() -> str:
    """Measure the start-up times, write them, and return them in a line."""
    stamp = collect.stamp()
    found = measure(["start_up"], threads=1)
    assert isinstance(found, list)
    rows = tables.start_up_rows(found, stamp)
    tables.write(tables.RESULTS / tables.START_UP, tables.START_UP_COLUMNS, rows)
    return "; ".join(f"{row['what']} {row['seconds']} s" for row in rows)


def pattern(text: str) -> re.Pattern[str]:
    """Return a regular expression from the command line."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None


def main() -> int:
    """Run what is asked for; return 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=pattern, default=re.compile(""), metavar="REGEX")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quick", action="store_true")
    how.add_argument("--memory", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    known = list(collect.everything())
    order = collect.order()
    start_up_too = bool(options.only.search("start_up")) and not options.memory
    chosen = [
        (module, comparison)
        for module, comparison in known
        if options.only.search(comparison.name) or options.only.search(comparison.room)
        if comparison.measures_memory or not options.memory
    ]
    if not chosen and not start_up_too:
        parser.error(f"no comparison matches {options.only.pattern!r}; --list names them")
    if options.list:
        for _, comparison in chosen:
            print(f"{comparison.name:36} {comparison.workload}, against {comparison.rival}")
        if start_up_too:
            print(f"{'start_up':36} imports, plans and commands, against their limits")
        return 0

    def job_of(module: str, comparison: Comparison) -> str:
        if options.memory:
            return memory_alone(module, comparison, order)
        return compare(module, comparison, options.quick, order)

    jobs = [(each[1].name, partial(job_of, *each)) for each in chosen]
    if start_up_too:
        jobs.append(("start_up", start_up))
    failed = []
    begin = time.monotonic()
    for number, (name, job) in enumerate(jobs, start=1):
        start = time.monotonic()
        try:
            words = job()
        except Failed as error:
            failed.append(name)
            words = f"FAILED: {error}"
        readme.write()
        print(
            f"[{number}/{len(jobs)}] {name}: {words} [{time.monotonic() - start:.0f} s]", flush=True
        )
    subprocess.run([sys.executable, str(HERE / "figures.py")], cwd=collect.ROOT, check=True)
    print(f"{len(jobs) - len(failed)} of {len(jobs)}, {(time.monotonic() - begin) / 60:.1f} min")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
