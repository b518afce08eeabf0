"""Do a study with SAELens, sae-probes and the authors' metric code, and time each stage.

    python benchmarks/rival_study.py [--points N] [--seeds N] [--tasks N] [--tokens N]
                                     [--config FILE] [--work FOLDER] [--again]

The stages run one after another on all cores. Whether a stage is faster as one process with all
threads or as one process per core is tried on a small piece where both may be (model, training);
sorting and scikit-learn use one thread, so these stages get a process per core. The numbers reduce
the study; seconds of the full one are then extrapolated, in proportion to tokens, SAEs and tasks;
the processes' imports count once.
A stage that is done is not done again, unless `--again`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import collect
import result_tables as tables
import yaml
from rival_stages import IMPORTS, STAGES, Part

from correct_l0.sources.sae_probes import resolve_tasks
from correct_l0.study.config import Config, parse_config

TABLE = "rival_study.csv"
COLUMNS = (
    *("stage", "seconds", "seconds_full", "cpu_seconds", "workers", "threads"),
    *("points", "seeds", "tasks", "training_tokens", *tables.STAMP),
)
PILOTED, ONE_PROCESS = ("activations", "saes"), ("text",)


def reduced(full: Config, points: int, seeds: int, tasks: int, tokens: int) -> Config:
    """Return a study with so many L0 points (spread over the grid), seeds, tasks and tokens."""
    raw = full.model_dump(mode="json")
    l0, a = sorted(full.saes.l0), full.activations
    count = min(points, len(l0))
    last = len(l0) - 1
    raw["saes"]["l0"] = [l0[round(i * last / max(count - 1, 1))] for i in range(count)]
    raw["saes"]["seeds"] = list(full.saes.seeds[:seeds])
    raw["probing"]["tasks"] = list(resolve_tasks(full.probing.tasks)[:tasks])
    share = min(1.0, tokens / a.training_tokens)
    raw["activations"]["training_tokens"] = min(tokens, a.training_tokens)
    raw["activations"]["held_out_tokens"] = max(
        full.decoder_metrics.batch_tokens, round(share * a.held_out_tokens)
    )
    training = raw["saes"]["training"]
    training["training_tokens"] = round(share * training["training_tokens"])
    raw["saes"]["overrides"] = {}
    return parse_config(raw)


def sizes(study: Config) -> tables.Row:
    """Return how large a study is, as the table says it."""
    return {
        "points": str(len(study.saes.l0)),
        "seeds": str(len(study.saes.seeds)),
        "tasks": str(len(resolve_tasks(study.probing.tasks))),
        "training_tokens": str(study.activations.training_tokens),
    }


def scale_of(stage: str, full: Config, study: Config) -> float:
    """Return how much more of a stage's work the full study has."""
    saes = len(full.points()) / len(study.points())
    tasks = len(resolve_tasks(full.probing.tasks)) / len(resolve_tasks(study.probing.tasks))
    rows = [c.activations.training_tokens + c.activations.held_out_tokens for c in (full, study)]
    steps = [
        sum(c.training(float(label)).training_tokens for label, _ in c.points())
        for c in (full, study)
    ]
    size = full.decoder_metrics.batch_tokens
    batches = [
        min(c.decoder_metrics.batches, c.activations.held_out_tokens // size) for c in (full, study)
    ]
    return {
        "text": 1.0,
        "activations": rows[0] / rows[1],
        "probing_activations": tasks,
        "saes": steps[0] / steps[1],
        "decoder_metrics": saes * batches[0] / batches[1],
        "probing": saes * tasks,
    }[stage]


def run(
    stage: str, study: Path, work: Path, workers: int, threads: int, pilot: bool
) -> tuple[float, float]:
    """Run a stage in so many processes at once.

    Returns
    -------
    float
        Seconds from start to end.
    float
        Seconds of these that grow with the study: without the processes' imports.
    """
    counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = {
        **os.environ,
        **dict.fromkeys(counts, str(threads)),
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "disabled",
    }
    start = time.perf_counter()
    processes = []
    for number in range(workers):
        command = [sys.executable, __file__, "--worker", stage, str(study), str(work)]
        command += [str(number), str(workers), str(int(pilot))]
        with open(work / f"{stage}.{number}.log", "w") as log:
            processes.append(
                subprocess.Popen(command, env=environment, cwd=collect.ROOT, stdout=log, stderr=log)
            )
    if any([process.wait() for process in processes]):
        raise SystemExit(f"stage {stage} failed; see {work}/{stage}.*.log")
    seconds = time.perf_counter() - start
    inner = [float((work / f"{stage}.{n}.seconds").read_text()) for n in range(workers)]
    return seconds, min(seconds, max(inner))


def cpu_seconds() -> float:
    """Return the CPU time of the processes that have ended: it tells whether cores were shared."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def layout(stage: str, study: Path, work: Path, cores: int) -> tuple[int, int]:
    """Return the number of processes and of threads of each, the faster on a small piece."""
    if cores == 1 or stage in ONE_PROCESS:
        return 1, cores
    if stage not in PILOTED:
        return cores, 1
    # A pilot's work grows with the processes: each does as much as one alone.
    _, together = run(stage, study, work, 1, cores, pilot=True)
    apart = run(stage, study, work, cores, 1, pilot=True)[1] / cores
    print(f"{stage}: pilot, 1 process {together:.1f} s, {cores} processes {apart:.1f} s a piece")
    return (1, cores) if together <= apart else (cores, 1)


def worker(stage: str, study: str, work: str, number: str, workers: str, pilot: str) -> None:
    """Do one worker's part of a stage."""
    config = parse_config(json.loads(Path(study).read_text()))
    for module in IMPORTS[stage]:
        importlib.import_module(module)
    start = time.perf_counter()
    STAGES[stage](config, Path(work), Part(int(number), int(workers), pilot == "1"))
    seconds = time.perf_counter() - start
    (Path(work) / f"{stage}.{number}.seconds").write_text(f"{seconds:.3f}")


def main() -> None:
    """Run the stages that are not done, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("points", "seeds", "tasks", "tokens"):
        parser.add_argument(f"--{name}", type=int, default=10**12)
    parser.add_argument("--config", type=Path, default=collect.ROOT / "config" / "config.yaml")
    parser.add_argument("--work", type=Path, default=collect.ROOT / "results" / "rival-study")
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    full = parse_config(yaml.safe_load(options.config.read_text()))
    study = reduced(full, options.points, options.seeds, options.tasks, options.tokens)
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    path, text = work / "study.json", study.model_dump_json()
    done_path = work / "stages.json"
    same = path.exists() and path.read_text() == text and not options.again
    done: dict[str, tables.Row] = json.loads(done_path.read_text()) if same else {}
    path.write_text(text)
    cores = collect.cores()
    for stage in STAGES:
        if stage not in done:
            workers, threads = layout(stage, path, work, cores)
            before = cpu_seconds()
            seconds, inner = run(stage, path, work, workers, threads, pilot=False)
            whole = seconds - inner + inner * scale_of(stage, full, study)
            done[stage] = {
                "stage": stage,
                "seconds": f"{seconds:.1f}",
                "seconds_full": f"{whole:.1f}",
                "cpu_seconds": f"{cpu_seconds() - before:.1f}",
                "workers": str(workers),
                "threads": str(threads),
                **sizes(study),
                **collect.stamp(),
            }
            done_path.write_text(json.dumps(done))
            tables.write(tables.RESULTS / TABLE, COLUMNS, done.values())
        print(f"{stage}: {done[stage]['seconds']} s, full {done[stage]['seconds_full']} s")
    total = sum(float(row["seconds_full"]) for row in done.values())
    print(f"the full study: {total:.0f} s = {total / 60:.1f} min")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:])
    else:
        main()
