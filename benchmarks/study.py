"""Hold the default study, cold, against the same study with the tools in use.

    python benchmarks/study.py [--config FILE] [--cores N]

Runs the pipeline from nothing in results/cold-study, report included, and takes the time from start
to end; the rival's is the sum of its stages, from `rival_study.py`. The row goes into the tables of
`make bench`; the c_dec of all points, theirs and ours, into study_c_dec.csv.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import collect
import readme
import result_tables as tables
import yaml
from comparison import Comparison
from rival_study import TABLE

from correct_l0.config import parse_config

TARGET = 3.0
C_DEC = "study_c_dec.csv"
C_DEC_COLUMNS = ("l0", "seed", "ours", "rival")


def no_sides() -> dict:
    """Stand for the sides, which are whole programs."""
    return {}


def comparison_of(rows: list[tables.Row], points: int, tasks: str) -> Comparison:
    """Return what the row says of both studies."""
    reduced = any(row["seconds"] != row["seconds_full"] for row in rows)
    from_less = ", extrapolated from a part" if reduced else ""
    return Comparison(
        name=collect.STUDY,
        room="study",
        workload=f"default study, cold: text to report, {points} SAEs, {tasks}",
        rival=(
            f"SAELens {collect.version('sae-lens')}, sae-probes {collect.version('sae-probes')}, "
            f"the authors' metrics, one after another{from_less}"
        ),
        prepare=no_sides,
        target=TARGET,
        unit="s",
    )


def cold_run(config: Path, folder: Path, cores: int) -> float:
    """Return the seconds that the pipeline takes from nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(collect.ROOT / "Snakefile")]
    command += ["--profile", str(collect.ROOT / "profiles" / "default"), "--cores", str(cores)]
    command += ["--directory", str(folder), "--configfile", str(config.resolve())]
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=folder)
    return time.perf_counter() - start


def c_dec_rows(ours: Path, rival: Path, points: Iterable[tuple[str, int]]) -> list[tables.Row]:
    """Return c_dec of the points that both studies have.

    Parameters
    ----------
    ours
        The study's folder, with `decoder_metrics/`.
    rival
        The rival's folder, with `saes/`.
    points
        The points of the study.
    """
    from sae_lens import SAE

    from correct_l0.decoder_metrics.cosine import mean_absolute_cosine

    rows = []
    for label, seed in points:
        theirs = rival / "saes" / f"l0_{label}_seed_{seed}" / "metrics.json"
        folder = ours / "saes" / f"l0_{label}" / f"seed_{seed}" / "sae"
        if not theirs.exists() or not folder.exists():
            continue
        found = mean_absolute_cosine(SAE.load_from_disk(str(folder)).W_dec.detach())
        values = {"ours": found, "rival": json.loads(theirs.read_text())["c_dec"]}
        shown = {side: f"{value:.6f}" for side, value in values.items()}
        rows.append({"l0": label, "seed": str(seed), **shown})
    return rows


def main() -> None:
    """Run ours, write the rows, print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=collect.ROOT / "config" / "config.yaml")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    options = parser.parse_args()
    rival_rows = tables.read(tables.RESULTS / TABLE)
    if not rival_rows:
        raise SystemExit("no rival_study.csv; run python benchmarks/rival_study.py first")
    study = parse_config(yaml.safe_load(options.config.read_text()))
    folder = collect.ROOT / "results" / "cold-study"
    ours = cold_run(options.config, folder, options.cores)
    theirs = sum(float(row["seconds_full"]) for row in rival_rows)
    tasks = "25 tasks" if study.probing.tasks == "default" else f"tasks {study.probing.tasks}"
    comparison = comparison_of(rival_rows, len(study.points()), tasks)
    stamp, order = collect.stamp(), collect.order()
    seconds = {"ours": [ours], "rival": [theirs]}
    row = tables.summary_row(comparison, seconds, {}, stamp)
    for name, columns, new in (
        (tables.ROUNDS, tables.ROUND_COLUMNS, tables.round_rows(comparison, seconds, stamp)),
        (tables.SUMMARY, tables.SUMMARY_COLUMNS, [row]),
    ):
        tables.replace(tables.RESULTS / name, columns, comparison.name, new, order)
    rival_folder = collect.ROOT / "results" / "rival-study"
    rows = c_dec_rows(folder / "results" / study.study, rival_folder, study.points())
    tables.write(tables.RESULTS / C_DEC, C_DEC_COLUMNS, rows)
    if rows:
        apart = statistics.median(abs(float(r["ours"]) / float(r["rival"]) - 1) for r in rows)
        print(f"c_dec of {len(rows)} points: {apart:.1%} apart (median)")
    readme.write()
    print(f"ours {ours:.0f} s, theirs {theirs:.0f} s: {row['ratio']} times as fast")


if __name__ == "__main__":
    main()
