"""What the jobs that would run cost: time on GPUs or cores, memory, time limits, disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from correct_l0.costs import estimates as costs
from correct_l0.costs.disk import disk_bytes
from correct_l0.costs.memory import device_of
from correct_l0.provenance.manifest import read_manifest
from correct_l0.sources.language_model.layout import Layout, job_windows
from correct_l0.stages import BY_JOB, BY_RULE, OF_POINT, STAGES, limits
from correct_l0.study.plan import Plan
from correct_l0.why.dry_run import Job
from correct_l0.why.rates import Rate, seconds
from correct_l0.why.reasons import Why

GPUS = 8
"""GPUs at once, where `--jobs` says nothing else."""


@dataclass(frozen=True)
class RuleCost:
    """The jobs of one rule."""

    rule: str
    jobs: int
    seconds: float
    mem_mb: int
    limit_min: int
    on_gpu: bool


@dataclass(frozen=True)
class Preflight:
    """What a set of jobs costs.

    Attributes
    ----------
    took
        Each job of Snakemake's, with its seconds.
    scarce
        The rules of which `at_once` jobs run at once.
    disk
        Bytes written, by part; checkpoints apart, which go when training ends.
    checkpoint_bytes
        Of the checkpoints of each job that trains.
    perhaps_less
        Jobs of which less may turn out to be left.
    together
        The most SAEs that a job trains.
    """

    rules: list[RuleCost]
    at_once: int
    took: list[tuple[Job, float]]
    scarce: set[str]
    disk: dict[str, float]
    checkpoint_bytes: list[float]
    perhaps_less: int = 0
    together: int = 1

    @property
    def wall_s(self) -> float:
        """Seconds with `at_once` jobs at once, without waiting in a queue."""
        return _wall_s(self.took, self.at_once, self.scarce)

    @property
    def checkpoints(self) -> float:
        """Bytes of the checkpoints that may be there at once."""
        return float(sum(sorted(self.checkpoint_bytes, reverse=True)[: self.at_once]))


def estimate(
    plan: Plan, whys: Sequence[Why], rates: Mapping[str, Rate], at_once: int | None = None
) -> Preflight:
    """Return what jobs cost, by the stated throughputs corrected by measured rates.

    Parameters
    ----------
    plan
        The study.
    whys
        The jobs that would run.
    rates
        Measured rates by rule.
    at_once
        GPUs, or cores without them, at work at once.
    """
    study, on_gpu = plan.study, device_of(plan.study) == "cuda"
    at_once = at_once or (GPUS if on_gpu else os.cpu_count() or 1)
    jobs = _jobs(whys)
    took = [_seconds(plan, job, parts, rates) for job, parts in jobs]
    rules = []
    for rule, made in BY_JOB.items():
        of_rule = [(job, parts, s) for (job, parts), s in zip(jobs, took, strict=True)
                   if job.rule == rule]  # fmt: skip
        if of_rule:
            limit = max(limits.runtime_min(rule, study, 1, job.l0s) for job, _, _ in of_rule)
            memory = max(limits.mem_mb(rule, study, 1, job.l0s) for job, _, _ in of_rule)
            total = sum(s for _, _, s in of_rule)
            gpu = on_gpu and any(stage.on_device for stage in made)
            rules.append(RuleCost(rule, len(of_rule), total, memory, limit, gpu))
    disk = _disk(plan, _writing(plan, whys))
    trained = [
        len(parts) for job, parts in jobs if any(stage.trains for stage in BY_JOB.get(job.rule, ()))
    ]
    each = disk_bytes(study)["one checkpoint"]
    scarce = {stage.made_by for stage in STAGES if stage.on_device or not on_gpu}
    return Preflight(
        rules,
        at_once,
        took=[(job, s) for (job, _), s in zip(jobs, took, strict=True)],
        scarce=scarce,
        disk=disk,
        checkpoint_bytes=[each * saes for saes in trained],
        perhaps_less=sum(why.perhaps_less for why in whys),
        together=max(trained, default=1),
    )


def in_all(parts: Sequence[Preflight]) -> Preflight:
    """Return what the jobs of all sweeps of a study cost, where `at_once` of any run at once."""
    rules = []
    for rule in BY_JOB:
        its = [cost for part in parts for cost in part.rules if cost.rule == rule]
        if its:
            rules.append(
                RuleCost(
                    rule,
                    jobs=sum(cost.jobs for cost in its),
                    seconds=sum(cost.seconds for cost in its),
                    mem_mb=max(cost.mem_mb for cost in its),
                    limit_min=max(cost.limit_min for cost in its),
                    on_gpu=its[0].on_gpu,
                )
            )
    disk: dict[str, float] = {}
    for part in parts:
        for name, written in part.disk.items():
            disk[name] = disk.get(name, 0.0) + written
    return replace(
        parts[0],
        rules=rules,
        took=[each for part in parts for each in part.took],
        disk=disk,
        checkpoint_bytes=[each for part in parts for each in part.checkpoint_bytes],
        perhaps_less=sum(part.perhaps_less for part in parts),
        together=max(part.together for part in parts),
    )


def _jobs(whys: Sequence[Why]) -> list[tuple[Job, list[Why]]]:
    """Return the jobs of Snakemake's, each with why its results are made."""
    jobs: dict[int, tuple[Job, list[Why]]] = {}
    for why in whys:
        job = why.job.part_of or why.job
        jobs.setdefault(id(job), (job, []))[1].append(why)
    return list(jobs.values())


def _seconds(plan: Plan, job: Job, parts: Sequence[Why], rates: Mapping[str, Rate]) -> float:
    first = parts[0]
    if first.job.part_of is None:
        return seconds(job.rule, plan.study, None, rates.get(job.rule, Rate()), first.left)
    work = (
        _work_s(plan, why.job, len(parts)) * rates.get(why.job.rule, Rate()).factor * why.left
        for why in parts
    )
    return limits.start_s(job.rule, plan.study) + sum(work)


def _work_s(plan: Plan, part: Job, together: int) -> float:
    """Return the estimated seconds of one result of a job that makes so many."""
    stage = BY_RULE[part.rule]
    if stage.trains:
        return costs.train_s(plan.study, float(part.wildcards["l0"]), together)
    return stage.seconds(plan.study, ())


def _wall_s(took: Sequence[tuple[Job, float]], at_once: int, scarce: Container[str]) -> float:
    """Return the wall time where `at_once` jobs of the `scarce` rules run at once.

    Of the others there is room for all: the last begins once the scarce ones are through.
    """
    total = 0.0
    for phase in phases():
        chains: dict[object, float] = {}
        after = 0.0
        for number, (job, s) in enumerate(took):
            if job.rule in phase and job.rule in scarce:
                group = tuple(map(job.wildcards.get, ("results", "seed", "l0s")))
                key = group if job.l0s else number
                chains[key] = chains.get(key, 0.0) + s
            elif job.rule in phase:
                after = max(after, s)
        total += makespan(list(chains.values()), at_once) + after
    return total


def phases() -> list[set[str]]:
    """Return the rules that run at the same time, phase by phase.

    What runs on the study's device runs as soon as it can, the rest as late as it may; the jobs of
    a group of points, and those of their L0, follow one another within one phase.
    """
    at: dict[str, int] = {}
    for stage in STAGES:
        together = [at[other.rule] for other in OF_POINT if other.rule in at]
        first = 1 + max((at[rule] for rule in stage.after), default=-1)
        at[stage.rule] = together[0] if stage.of in ("point", "l0") and together else first
    for stage in reversed(STAGES):
        followers = [at[other.rule] for other in STAGES if stage.rule in other.after]
        if followers and not stage.on_device and stage.of not in ("point", "l0"):
            at[stage.rule] = min(followers) - 1
    return [
        {name for rule in at if at[rule] == phase for name in (rule, BY_RULE[rule].made_by)}
        for phase in range(max(at.values()) + 1)
    ]


def makespan(seconds: Sequence[float], at_once: int) -> float:
    """Return when the last of some jobs ends, the longest begun first.

    Examples
    --------
    >>> makespan([3, 3, 2, 2, 2], 2), makespan([], 2)
    (7.0, 0.0)
    """
    busy = [0.0] * at_once
    for each in sorted(seconds, reverse=True):
        first = busy.index(min(busy))
        busy[first] += each
    return max(busy)


def _writing(plan: Plan, whys: Sequence[Why]) -> dict[str, float]:
    """Return how many jobs of each rule write; a job that finds part of its work counts in part."""
    jobs: dict[str, float] = {}
    for why in whys:
        rule = why.job.rule
        share = 1.0
        if rule == "cache_activations":
            share = _shards_left(plan, int(why.job.wildcards["job"]))
        elif rule == "cache_probing_activations":
            share = why.left
        jobs[rule] = jobs.get(rule, 0.0) + share
    return jobs


def _shards_left(plan: Plan, job: int) -> float:
    """Return the part of a caching job's shards that have no record yet."""
    a, cache = plan.study.language_model, Path(plan.source_folder)
    staged = cache / "cache.json"
    per_job = a.shards_per_job
    if staged.exists():
        per_job = int(read_manifest(staged)["shards_per_job"])
    layout = Layout.of(a)
    shards = [
        f"{window.split}_{shard:06d}.json"
        for window in job_windows(layout, per_job)[job]
        for shard in layout.window_shard_range(window)
    ]
    return sum(not (cache / "records" / name).exists() for name in shards) / len(shards)


def _disk(plan: Plan, jobs: Mapping[str, float]) -> dict[str, float]:
    """Return the bytes that jobs write, by part."""
    parts, share = disk_bytes(plan.study), dict[str, float]()
    for stage in STAGES:
        if stage.writes and (of_these := jobs.get(stage.rule, 0)):
            of_it = of_these / stage.jobs(plan.study)
            share[stage.writes] = min(1.0, max(of_it, share.get(stage.writes, 0.0)))
    return {part: parts[part] * of_it for part, of_it in share.items()}


def free_bytes(folder: Path | str) -> int:
    """Return the free bytes of the disk that a folder is on, or will be."""
    path = Path(folder).absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
