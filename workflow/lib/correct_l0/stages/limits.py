"""Seconds, memory and limits of a stage's jobs: what is given to a cluster and told by `make why`.

Imported whenever Snakemake parses the workflow, so nothing heavy is imported here.
"""

from __future__ import annotations

import math

from correct_l0.costs import throughputs as stated
from correct_l0.costs.estimates import train_s
from correct_l0.costs.memory import MIB, device_of, points_per_job
from correct_l0.stages import BY_JOB
from correct_l0.stages.stage import Stage
from correct_l0.study.config import Config
from correct_l0.study.groups import MEASURED_TOGETHER, split_labels
from correct_l0.study.plan import Plan


def _made(rule: str, study: Config) -> list[Stage]:
    """Return the stages that a rule's jobs make in a study."""
    plan = Plan(study)
    return [stage for stage in BY_JOB[rule] if stage.asked(plan)] or list(BY_JOB[rule])


def _device(rule: str, study: Config) -> str:
    """Return where a rule's jobs run: the study's device, or a core."""
    return device_of(study) if any(stage.on_device for stage in BY_JOB[rule]) else "cpu"


def start_s(rule: str, study: Config) -> float:
    """Return the seconds until a job begins its work."""
    return stated.THROUGHPUT[_device(rule, study)].start_s


def work_s(rule: str, study: Config, l0: float | str | None = None) -> float:
    """Return the estimated seconds of one job's work; see `seconds`."""
    stages = _made(rule, study)
    if stages[0].trains:
        if l0 is None:
            longest = max(study.saes.l0, key=lambda each: train_s(study, each))
            points: tuple[float, ...] = (longest,) * members(rule, study)
        else:
            points = tuple(map(float, split_labels(str(l0))))
        return stages[0].seconds(study, points)
    return members(rule, study, l0) * sum(stage.seconds(study, ()) for stage in stages)


def seconds(rule: str, study: Config, l0: float | str | None = None) -> float:
    """Return the estimated seconds of one job, its start included.

    Parameters
    ----------
    rule
        Name of the Snakemake rule.
    study
        The configuration.
    l0
        Target L0 of the points of the group (`groups.Group.l0s`); unset: what takes longest.
    """
    return start_s(rule, study) + work_s(rule, study, l0)


def members(rule: str, study: Config, l0: float | str | None = None) -> int:
    """Return how many results of each kind a job makes, for a group unnamed the most it may."""
    if l0 is not None:
        return len(split_labels(str(l0)))
    first = BY_JOB[rule][0]
    if first.of == "l0":
        return len(study.saes.l0)
    if first.trains:
        return points_per_job(study)
    return min(MEASURED_TOGETHER, len(study.saes.l0)) if first.job else 1


def runtime_min(rule: str, study: Config, attempt: int = 1, l0: float | str | None = None) -> int:
    """Return the time limit of a job in minutes: `RUNTIME_SAFETY` times the estimate or a floor."""
    floor = stated.FLOOR_MIN if BY_JOB[rule][0].grows else stated.SMALL_FLOOR_MIN
    takes = stated.RUNTIME_SAFETY * seconds(rule, study, l0) / 60
    return math.ceil(attempt * max(floor, takes))


def mem_mb(rule: str, study: Config, attempt: int = 1, l0: str | None = None) -> int:
    """Return the host memory of a job in MB; it grows by half with each attempt."""
    saes = members(rule, study, l0)
    held = max(stage.host_bytes(study, saes) for stage in _made(rule, study)) / MIB
    libraries = stated.LIBRARIES_MB[_device(rule, study)]
    return math.ceil((libraries + held) * stated.MEMORY_GROWTH ** (attempt - 1))
