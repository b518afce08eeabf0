"""Sweep the worlds of the suite, and say how often each way of reading them is right.

`python -m calibration [--quick] [--missing] [--cores N] [--search] [--between] [--single]
[--third-seed] [--judge-only] [--show NUMBER]`, in the repository's root. What is done is kept:
started again, it goes on. The semi-synthetic worlds are made of the default study's activations:
`make demo` caches them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import pandas as pd
import yaml

from calibration.between import BETWEEN, between_quietly
from calibration.judge import judge
from calibration.measure import make_generators, measure_quietly
from calibration.search import MEASURED, SEARCHED, search_quietly
from calibration.single import SINGLE, answered, judge_single, single_quietly
from calibration.third_seed import THIRD_SEED, judge_third_seed, third_quietly, worlds_of
from calibration.words import page, page_of_single, page_of_third_seed
from calibration.worlds import QUICK, WHOLE, world
from correct_l0.errors import InputError
from correct_l0.provenance.manifest import replacing

RESULTS = Path("results/calibration")
POINTS = {
    "search": (search_quietly, SEARCHED, Path("results/calibration-search")),
    "between": (between_quietly, BETWEEN, Path("results/calibration-between")),
}
"""Points beside the grids', by option: how they are trained, where they are kept, and where they
are worked on; a semi-synthetic world finds its generator two folders up."""
Told = Callable[..., str]
"""From what is found in this way, the grids' tables and further points of them to Markdown."""

BESIDE: dict[str, tuple[Callable[[int, str], int], Callable[..., Iterable[int]], Path, Told]] = {
    "single": (
        single_quietly, answered, SINGLE, lambda *tables: page_of_single(judge_single(*tables)),
    ),
    "third_seed": (
        third_quietly, worlds_of, THIRD_SEED,
        lambda *tables: page_of_third_seed(judge_third_seed(*tables)),
    ),
}  # fmt: skip
"""What is trained beside the grids, by its option: how, in which worlds, where it is kept, and what
is said of it."""


def each_world(
    do: Callable[[int, str], int], worlds: Sequence[int], cores: int, folder: Path
) -> None:
    """Sweep or search worlds of the suite, one on each core, short ones first.

    Raises
    ------
    InputError
        If the cache that semi-synthetic worlds are made of is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    make_generators(worlds)
    with ProcessPoolExecutor(cores) as pool:
        started = [
            pool.submit(do, number, str(folder.resolve()))
            for number in sorted(worlds, key=lambda number: world(number).size)
        ]
        for done, future in enumerate(as_completed(started), start=1):
            print(f"world {future.result()}: done ({done} of {len(worlds)})", flush=True)


def gather(
    worlds: Iterable[int], folder: Path, file: Path, kept: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Write what is kept and the tables of worlds into one file; return them."""
    files = [folder / world(i).file for i in worlds]
    found = pd.concat(
        [kept, *(pd.read_parquet(file) for file in files if file.exists())], ignore_index=True
    )
    with replacing(file) as path:
        found.to_parquet(path, index=False, compression="zstd")
    return found


def _beside(name: str, tables: Sequence[pd.DataFrame], cores: int, judge_only: bool) -> str:
    """Train what is asked for beside the grids, unless it is only judged; return what it says."""
    do, of, file, told = BESIDE[name]
    if not judge_only:
        worlds = [*of(tables[0])]
        each_world(do, worlds, cores, RESULTS / name)
        gather(worlds, RESULTS / name, file)
    return told(pd.read_parquet(file), *tables)


def main(arguments: Sequence[str] | None = None) -> int:
    """Sweep and judge; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m calibration", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{len(QUICK)} worlds of {WHOLE}")
    parser.add_argument(
        "--missing",
        action="store_true",
        help=f"sweep or search only what {MEASURED}, {SEARCHED} or {BETWEEN} lacks; "
        f"all goes to {RESULTS}",
    )
    parser.add_argument("--cores", default="all", help="worlds at once, or all cores")
    parser.add_argument("--search", action="store_true", help=f"search the worlds of {MEASURED}")
    parser.add_argument(
        "--between",
        action="store_true",
        help=f"train SAEs between the best of a world of {MEASURED} and its neighbours",
    )
    parser.add_argument(
        "--single",
        action="store_true",
        help=f"train single SAEs of the worlds of {MEASURED} on, and judge what is said of them",
    )
    parser.add_argument(
        "--third-seed",
        action="store_true",
        help=f"sweep the worlds to choose on of {MEASURED} with a third seed, and judge it",
    )
    parser.add_argument(
        "--judge-only", action="store_true", help=f"sweep nothing, judge {MEASURED}"
    )
    parser.add_argument("--show", type=int, metavar="NUMBER", help="print a world as a study")
    options = parser.parse_args(arguments)
    if options.missing and (options.judge_only or any(getattr(options, x) for x in BESIDE)):
        parser.error("--missing goes with the grids, with --search or with --between")
    if options.show is not None:
        print(yaml.safe_dump(world(options.show).config, sort_keys=False), end="")
        return 0
    worlds = QUICK if options.quick else range(WHOLE)
    try:
        cores = os.cpu_count() or 1 if options.cores == "all" else int(options.cores)
        measured = pd.read_parquet(MEASURED)
        points = {name: pd.read_parquet(file) for name, (_, file, _) in POINTS.items()}
        if beside := next((name for name in BESIDE if getattr(options, name)), None):
            print(_beside(beside, [measured, *points.values()], cores, options.judge_only))
            return 0
        if way := next((name for name in POINTS if getattr(options, name)), None):
            (do, file, folder), known, old = POINTS[way], set(measured["world"]), points[way]
            kept = old if options.missing else old[~old["world"].isin(worlds)]
            asked = [i for i in worlds if i in known and i not in set(kept["world"])]
            each_world(do, asked, cores, folder)
            points[way] = gather(asked, folder, RESULTS / file.name, kept)
        elif not options.judge_only:
            kept = measured if options.missing else measured.iloc[:0]
            asked = [i for i in worlds if i not in set(kept["world"])]
            each_world(measure_quietly, asked, cores, RESULTS)
            measured = gather(asked, RESULTS, RESULTS / MEASURED.name, kept)
        known_ones = (found[found["world"].isin(measured["world"])] for found in points.values())
        judged = judge(measured, *known_ones)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, table in judged.tables.items():
        with replacing(RESULTS / f"{name}.csv") as path:
            table.to_csv(path, index=False)
    print(page(judged))
    return 0


if __name__ == "__main__":
    sys.exit(main())
