"""Snakemake's dry run: called, and its list of jobs read."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from correct_l0.errors import InputError
from correct_l0.study.groups import split_labels

SNAKEFILE = Path(__file__).parents[4] / "Snakefile"
NOTHING = "Nothing to be done"
HEADING = re.compile(r"(?:local)?(?:rule|checkpoint) (\w+):$")
FIELD = re.compile(r"    (\w+): ?(.*)$")
COUNT = re.compile(r"(\w+) +(\d+)$")


@dataclass(frozen=True)
class Job:
    """A job that would run.

    Attributes
    ----------
    reason
        Snakemake's.
    """

    rule: str
    wildcards: dict[str, str] = field(default_factory=dict, hash=False)
    reason: str = ""

    @property
    def point(self) -> tuple[str, int] | None:
        """Its L0 label and seed, None where it belongs to no point."""
        if "l0" not in self.wildcards:
            return None
        return self.wildcards["l0"], int(self.wildcards["seed"])

    @property
    def l0(self) -> str | None:
        """The L0 label of its point, those of its group (`groups.Group.l0s`), or None."""
        return self.wildcards.get("l0") or self.wildcards.get("l0s")

    @property
    def trains(self) -> list[tuple[str, int]]:
        """The points that it trains together, where it is a group's."""
        if self.rule != "train_points":
            return []
        return [(l0, int(self.wildcards["seed"])) for l0 in split_labels(self.wildcards["l0s"])]


def run_dry(configfile: Path, directory: Path, arguments: Sequence[str] = ()) -> str:
    """Return what `snakemake --dry-run` prints for a configuration.

    Raises
    ------
    InputError
        With Snakemake's own lines, where it refuses.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--dry-run"]
    command += ["--nocolor", "--directory", str(directory), "--configfile", str(configfile)]
    # The default profile names no number of cores; for a dry run any will do.
    command += ["--cores", "1", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        lines = (run.stderr + run.stdout).strip().splitlines()
        told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        raise InputError("\n".join(told or lines[-20:]))
    return run.stdout + run.stderr


def parse_jobs(text: str) -> list[Job] | None:
    """Return the jobs of a dry run, rule `all` left out; None where they cannot be told for sure.

    They can where the blocks of each rule are as many as the table of job counts says, and every
    block has a reason.

    Examples
    --------
    >>> parse_jobs('''Job stats:
    ... job      count
    ... -------  -----
    ... train_sae    1
    ... total        1
    ...
    ... rule train_sae:
    ...     reason: Missing output files: manifest.json
    ...     wildcards: l0=4, seed=0
    ... ''')
    [Job(rule='train_sae', wildcards={'l0': '4', 'seed': '0'},
         reason='Missing output files: manifest.json')]
    """
    counts = _job_counts(text)
    if not counts:
        return [] if NOTHING in text else None
    blocks = list(_blocks(text))
    if Counter(rule for rule, _ in blocks) != counts:
        return None
    if any("reason" not in fields for _, fields in blocks):
        return None
    try:
        return [
            Job(rule, _wildcards(fields.get("wildcards", "")), fields["reason"].strip())
            for rule, fields in blocks
            if rule != "all"
        ]
    except ValueError:
        return None


def _job_counts(text: str) -> Counter[str]:
    _, found, rest = text.partition("Job stats:\n")
    if not found:
        return Counter()
    table = rest.split("\n\n", 1)[0].splitlines()
    rows = (COUNT.match(line.strip()) for line in table)
    counts = Counter({row[1]: int(row[2]) for row in rows if row})
    total = counts.pop("total", 0)
    return counts if total == counts.total() else Counter()


def _blocks(text: str) -> list[tuple[str, dict[str, str]]]:
    """Return rule and fields of each job's block; a field may go on over several lines."""
    blocks: list[tuple[str, dict[str, str]]] = []
    fields: dict[str, str] | None = None
    name = ""
    for line in text.splitlines():
        if heading := HEADING.match(line):
            fields = {}
            blocks.append((heading[1], fields))
        elif fields is not None and (entry := FIELD.match(line)):
            name = entry[1]
            fields[name] = entry[2]
        elif fields and line.startswith("     "):
            fields[name] += " " + line.strip()
        else:
            fields = None
    return blocks


def _wildcards(text: str) -> dict[str, str]:
    """Return wildcards from `l0=4, seed=0`.

    Raises
    ------
    ValueError
        If it is of another form.
    """
    if not text.strip():
        return {}
    pairs = [part.split("=", 1) for part in text.strip().split(", ")]
    return {name: value for name, value in pairs}
