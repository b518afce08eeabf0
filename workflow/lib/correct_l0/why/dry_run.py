"""Snakemake's dry run: called, and its list of jobs read from the events that it logs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from correct_l0.errors import InputError

SNAKEFILE = Path(__file__).parents[4] / "Snakefile"
PLUGINS = Path(__file__).parent / "plugins"
"""Where Snakemake finds the plugin that writes its events."""

Event = Mapping[str, Any]
Place = tuple[str, int | None]
"""An L0 label with a seed, or with all of them."""


@dataclass(frozen=True)
class Job:
    """A job that would run.

    Attributes
    ----------
    reason
        Snakemake's.
    part_of
        The job that makes this result among others; None where it is a job of Snakemake's itself.
    """

    rule: str
    wildcards: dict[str, str] = field(default_factory=dict, hash=False)
    reason: str = ""
    part_of: Job | None = field(default=None, hash=False, repr=False)

    @property
    def place(self) -> Place | None:
        """Its L0 label, and its seed where it is about one; None where it is about no L0."""
        if "l0" not in self.wildcards:
            return None
        seed = self.wildcards.get("seed")
        return self.wildcards["l0"], None if seed is None else int(seed)

    @property
    def point(self) -> tuple[str, int] | None:
        """Its L0 label and seed, None where it belongs to no point."""
        l0, seed = self.place or (None, None)
        return None if l0 is None or seed is None else (l0, seed)

    @property
    def l0s(self) -> str | None:
        """The L0 labels of its group (`groups.Group.l0s`), or None."""
        return self.wildcards.get("l0s")


def run_dry(
    configfile: Path, directory: Path, arguments: Sequence[str] = ()
) -> tuple[list[Event], str]:
    """Return the events that `snakemake --dry-run` logs for a configuration, and what it prints.

    Raises
    ------
    InputError
        With Snakemake's own lines, where it refuses.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--dry-run"]
    command += ["--nocolor", "--directory", str(directory), "--configfile", str(configfile)]
    # The default profile names no number of cores; for a dry run any will do.
    command += ["--cores", "1", "--logger", "jsonl"]
    searched = [str(PLUGINS), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, searched))}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        command += ["--logger-jsonl-path", str(path), *arguments]
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        lines = path.read_text().splitlines() if path.exists() else []
    if run.returncode:
        said = (run.stderr + run.stdout).strip().splitlines()
        told = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
        raise InputError("\n".join(told or said[-20:]))
    return [json.loads(line) for line in lines], run.stdout + run.stderr


def read_jobs(events: Sequence[Event]) -> list[Job] | None:
    """Return the jobs of a dry run, rule `all` left out; None where they cannot be told for sure.

    They can where the jobs of each rule are as many as Snakemake counts, and each has a reason.

    Examples
    --------
    >>> counted = {"event": "run_info", "stats": {"train_points": 1, "total": 1}}
    >>> told = {"event": "job_info", "rule_name": "train_points",
    ...         "wildcards": {"l0s": "4-8", "seed": "0"}, "reason": "Forced execution"}
    >>> read_jobs([{"event": "workflow_started"}, counted, told])
    [Job(rule='train_points', wildcards={'l0s': '4-8', 'seed': '0'}, reason='Forced execution')]
    >>> read_jobs([{"event": "workflow_started"}, counted]) is None
    True
    """
    of_kind: dict[str, list[Event]] = {}
    for event in events:
        of_kind.setdefault(str(event.get("event")), []).append(event)
    told, counted = of_kind.get("job_info", []), of_kind.get("run_info", [{"stats": {}}])
    try:
        counts = {rule: n for rule, n in counted[0]["stats"].items() if rule != "total"}
        jobs = [
            Job(job["rule_name"], dict(job["wildcards"] or {}), " ".join(job["reason"].split()))
            for job in told
        ]
    except (KeyError, AttributeError, TypeError, ValueError):
        return None
    if "workflow_started" not in of_kind or Counter(job.rule for job in jobs) != counts:
        return None
    return [job for job in jobs if job.rule != "all"]
