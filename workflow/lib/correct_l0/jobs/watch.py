"""A run of the workflow as one watches it: what runs, how far, and when all will have ended.

Fed with Snakemake's events; how far a job is stands beside its log (`progress`), on a cluster too.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from correct_l0.jobs.progress import HowFar, read_beside

MOST_WRONG = 4.0
"""How far measured times may move the estimates of rules that no job was seen of."""


@dataclass
class Running:
    """A job that was handed out.

    Attributes
    ----------
    rule, wildcards
        What it is.
    log
        Its log, if it has one.
    since
        When it was handed out; of a job in a queue, when its log began. Seconds since the epoch.
    waiting
        Whether it is in a queue.
    log_before
        When its log was last written before; 0 where it had none.
    """

    rule: str
    wildcards: Mapping[str, str]
    log: Path | None
    since: float
    waiting: bool
    log_before: float

    @property
    def name(self) -> str:
        """The rule, the sweep where a study has several, and what the job is about."""
        about = [f"{key} {value}" for key, value in self.wildcards.items() if key != "results"]
        sweep = Path(self.wildcards.get("results", "")).parts[2:]
        return " ".join([self.rule, *sweep, *about])

    def look(self) -> HowFar | None:
        """Return how far it is, where it says so."""
        if self.log is None:
            return None
        if self.waiting:
            begun = _written(self.log)
            # Not held against a clock: a node's may be another.
            if begun == self.log_before:
                return None
            self.waiting, self.since = False, begun
        return read_beside(self.log)


class Watched:
    """What is known of a run.

    Attributes
    ----------
    done, total : int
        Jobs.
    running : dict of int to Running
        By Snakemake's number of the job.
    estimated_s : dict of str to float
        Seconds of one job of a rule, as estimated before the run.

    Examples
    --------
    Four trainings, two at once; one took 30 s where 60 were estimated, so the two that are left
    take 30 s too, and so does what the one that runs has left:

    >>> run = Watched()
    >>> run.observe("run_info", {"stats": {"train_points": 4, "total": 4}}, now=0)
    >>> run.estimated_s = {"train_points": 60.0}
    >>> for job in (1, 2):
    ...     told = {"jobid": job, "rule_name": "train_points", "wildcards": {"seed": str(job)}}
    ...     run.observe("job_info", told, now=0)
    >>> run.observe("job_finished", {"job_id": 1}, now=30)
    'train_points seed 1 (30 s)'
    >>> run.ends_in_s(now=30)
    30.0
    >>> run.headline(now=30).partition(" (")[0]
    '1 of 4 jobs done, 1 running, ends in about 30 s'
    """

    def __init__(self) -> None:
        self.done = self.total = 0
        self.running: dict[int, Running] = {}
        self.estimated_s: dict[str, float] = {}
        self._to_come: Counter[str] = Counter()
        self._seen: set[int] = set()
        self._took: dict[str, list[float]] = {}
        self._at_once = 1

    def observe(self, event: str, told: Mapping[str, Any], now: float | None = None) -> str | None:
        """Take up an event of Snakemake's; of a job that ended, return the line to show."""
        now = time.time() if now is None else now
        if event == "run_info":
            self._to_come = Counter({k: n for k, n in told["stats"].items() if k != "total"})
            self.total = sum(self._to_come.values())
        elif event == "job_info":
            self._start(told, now)
        elif event == "job_finished" and told["job_id"] in self.running:
            job = self.running.pop(told["job_id"])
            self.done += 1
            self._took.setdefault(job.rule, []).append(now - job.since)
            return f"{job.name} ({spoken(now - job.since)})"
        elif event == "job_error":
            self.running.pop(told["jobid"], None)
        return None

    def _start(self, told: Mapping[str, Any], now: float) -> None:
        number, rule, logs = told["jobid"], told["rule_name"], told.get("log") or []
        if number not in self._seen:
            self._to_come[rule] -= 1
            self._seen.add(number)
        log = Path(logs[0]) if logs else None
        in_queue = log is not None and not told.get("local", True)
        wildcards = {k: str(v) for k, v in (told.get("wildcards") or {}).items()}
        before = _written(log) if log is not None else 0.0
        self.running[number] = Running(rule, wildcards, log, now, in_queue, before)
        self._at_once = max(self._at_once, len(self.running))

    @property
    def at_work(self) -> list[Running]:
        """The jobs handed out; a list, as another thread may watch."""
        return list(self.running.values())

    def _each_s(self, rule: str) -> float:
        """Return the seconds of a job: as measured in this run, else as estimated, set right."""
        if took := self._took.get(rule):
            return sum(took) / len(took)
        known = [r for r in self._took if r in self.estimated_s]
        measured = sum(sum(self._took[r]) for r in known)
        estimated = sum(len(self._took[r]) * self.estimated_s[r] for r in known)
        slower = min(max(measured / estimated, 1 / MOST_WRONG), MOST_WRONG) if estimated else 1.0
        return self.estimated_s.get(rule, 0.0) * slower

    def left_s(self, job: Running, far: HowFar | None, now: float) -> float:
        """Return the seconds that a running job has left."""
        if far is not None:
            return far.left_s
        gone = 0.0 if job.waiting else now - job.since
        return max(self._each_s(job.rule) - gone, 0.0)

    def ends_in_s(self, now: float | None = None) -> float:
        """Return in how many seconds all will have ended, about, with as many jobs at once."""
        now = time.time() if now is None else now
        lefts = [self.left_s(job, job.look(), now) for job in self.at_work]
        to_come = sum(n * self._each_s(rule) for rule, n in [*self._to_come.items()] if n > 0)
        return max([(sum(lefts) + to_come) / self._at_once, *lefts])

    def headline(self, now: float | None = None) -> str:
        """Return the state of the run in a line."""
        now = time.time() if now is None else now
        waiting = sum(job.waiting for job in self.at_work)
        ends = self.ends_in_s(now)
        parts = [f"{self.done} of {self.total} jobs done", f"{len(self.at_work) - waiting} running"]
        if waiting:
            parts.append(f"{waiting} waiting")
        at = datetime.fromtimestamp(now) + timedelta(seconds=ends)
        day = "" if at.date() == datetime.fromtimestamp(now).date() else f"{at:%Y-%m-%d} "
        return f"{', '.join(parts)}, ends in about {spoken(ends)} ({day}{at:%H:%M})"

    def rows(self) -> list[tuple[Running, HowFar | None]]:
        """Return the jobs at work, those that say how far they are first, then those in a queue."""
        looked = [(job, job.look()) for job in self.at_work]
        return sorted(looked, key=lambda row: (row[0].waiting, row[1] is None))

    def line(self) -> str:
        """Return what one reads where there is no terminal."""
        told = [f"{job.name} {far}" for job, far in self.rows() if far is not None]
        return "; ".join([self.headline(), *first(told, 3)])


def _written(path: Path) -> float:
    """Return when a file was last written; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def first(lines: Sequence[str], most: int) -> list[str]:
    """Return so many lines, and how many are left out.

    Examples
    --------
    >>> first(["a", "b", "c"], 2)
    ['a', 'b', 'and 1 more']
    """
    left_out = len(lines) - most
    return [*lines[:most], *([f"and {left_out} more"] if left_out > 0 else [])]


def spoken(seconds: float) -> str:
    """Return a time in words.

    Examples
    --------
    >>> spoken(42.3), spoken(600), spoken(9000), spoken(200_000)
    ('42 s', '10 min', '2.5 h', '2.3 days')
    """
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
