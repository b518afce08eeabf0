"""Hold the default study, cold, against the same study with the tools in use.

    python benchmarks/study.py [--config FILE] [--cores N]

Runs the pipeline from nothing in results/cold-study, report included, and takes the time from start
to end; the rival's is the sum of its stages, from `rival_study.py`. The row goes into the tables of
`make bench`; the metrics of all points, theirs and ours, into tables of their own.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import collect
import readme
import result_tables as tables
import study_metrics
import yaml
from comparison import Comparison
from rival_stages import STAGES
from rival_study import TABLE, sizes

from correct_l0.study.config import Config, parse_config

TARGET = 3.0


def no_sides() -> dict:
    """Stand for the sides, which are whole programs."""
    return {}


def comparison_of(rows: list[tables.Row], points: int, tasks: str) -> Comparison:
    """Return what the row says of both studies."""
    from_less = ", extrapolated from a part" if is_reduced(rows) else ""
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


def is_reduced(rows: Sequence[tables.Row]) -> bool:
    """Return whether the rival did a part of the study, whose seconds are extrapolated."""
    return any(row["seconds"] != row["seconds_full"] for row in rows)


def check_rival(
    rows: Sequence[tables.Row], study: Config, stamp: Mapping[str, str], again: str
) -> None:
    """Stop unless the rival's table is whole, from here, and of this study.

    Parameters
    ----------
    rows
        Of `rival_study.csv`.
    study
        That ours does.
    stamp
        Where and with what this is.
    again
        The command that makes the table.

    Raises
    ------
    SystemExit
        With what is wrong and the command.
    """

    def stop(wrong: str) -> NoReturn:
        raise SystemExit(f"{TABLE}: {wrong}; run {again}")

    stages = [row["stage"] for row in rows]
    if missing := [stage for stage in STAGES if stage not in stages]:
        stop(f"no row of {', '.join(missing)}")
    if odd := [stage for stage in stages if stages.count(stage) > 1 or stage not in STAGES]:
        stop(f"rows of no or of two stages: {', '.join(dict.fromkeys(odd))}")
    rivals = [f"{name} {collect.version(name)}" for name in ("sae-lens", "sae-probes")]
    wanted = sizes(study)
    for row in rows:
        for key in ("machine", "cores"):
            if row[key] != stamp[key]:
                stop(f"{row['stage']} was measured with {key} {row[key]}, here: {stamp[key]}")
        for rival in rivals:
            if rival not in row["versions"].split("; "):
                stop(f"{row['stage']} was not measured with {rival}, which is installed")
        if any(row[key] != rows[0][key] for key in wanted):
            stop(f"{row['stage']} is of another study than {rows[0]['stage']}")
    for key, value in wanted.items():
        found = int(rows[0][key])
        if found > int(value) or (found < int(value) and not is_reduced(rows)):
            stop(f"{key} is {found}, in the study {value}")


def main() -> None:
    """Run ours, write the rows, print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=collect.ROOT / "config" / "config.yaml")
    parser.add_argument("--cores", type=int, default=collect.cores())
    options = parser.parse_args()
    study = parse_config(yaml.safe_load(options.config.read_text()))
    rival_rows = tables.read(tables.RESULTS / TABLE)
    again = f"python benchmarks/rival_study.py --config {options.config}"
    check_rival(rival_rows, study, {**collect.stamp(), "cores": str(options.cores)}, again)
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
    # A rival that did a part has not all SAEs to compare: the tables of the last whole one stay.
    if not is_reduced(rival_rows):
        rival_folder = collect.ROOT / "results" / "rival-study"
        c_dec, s_n_dec = study_metrics.metric_rows(folder / "results" / study.study, rival_folder)
        study_metrics.write(c_dec, s_n_dec)
        print("\n".join(study_metrics.section(c_dec, s_n_dec)))
    readme.write()
    print(f"ours {ours:.0f} s, theirs {theirs:.0f} s: {row['ratio']} times as fast")


if __name__ == "__main__":
    main()
