"""How far a job is: a line now and then in its log, a file beside it for who watches the run."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

LINE_S = 60.0
"""Least seconds between two lines in a log; they are at least a percent apart, too."""

FILE_S = 2.0
"""Least seconds between two writings of the file."""

WRITTEN = re.compile(
    r"(?P<percent>\d+)% done, (?P<left>[\d:]+|\d+ days?, [\d:]+) left: (?P<words>.*)"
)

_file: Path | None = None


@dataclass(frozen=True)
class HowFar:
    """What a job says of itself: percent done, seconds left, and in words what it is at."""

    percent: int
    left_s: float
    words: str

    def __str__(self) -> str:
        left = timedelta(seconds=round(self.left_s))
        return f"{self.percent}% done, {left} left: {self.words}"


def parse(line: str) -> HowFar | None:
    """Return what a line says; None of any other line.

    Examples
    --------
    >>> parse("42% done, 0:03:20 left: step 420 of 1,000")
    HowFar(percent=42, left_s=200.0, words='step 420 of 1,000')
    >>> parse("42% done")
    """
    found = WRITTEN.fullmatch(line.strip())
    if found is None:
        return None
    days, _, clock = found["left"].rpartition(", ")
    hours, minutes, seconds = map(int, clock.split(":"))
    left = timedelta(int(days.split()[0]) if days else 0, seconds, 0, 0, minutes, hours)
    return HowFar(int(found["percent"]), left.total_seconds(), found["words"])


def file_beside(log: Path | str) -> Path:
    """Return where a job with this log says how far it is, while it runs."""
    return Path(f"{log}.progress")


def read_beside(log: Path | str) -> HowFar | None:
    """Return what a running job says; None where it says nothing, or is just writing it."""
    try:
        return parse(file_beside(log).read_text(errors="replace"))
    except OSError:
        return None


def say_beside(log: Path | str | None) -> None:
    """Have this process say how far it is beside a log, from now on; None: no more."""
    global _file
    before, _file = _file, None if log is None else file_beside(log)
    for left_behind in (before, _file):
        if left_behind is not None:
            with suppress(OSError):
                left_behind.unlink(missing_ok=True)


class Progress:
    """Counts what a job has done of what it has to do, and says so.

    To say nothing costs less than a microsecond.

    Parameters
    ----------
    total
        Units to do.
    unit
        What is counted, in the plural.

    Attributes
    ----------
    done : int
        Units done, those that were there included.
    per_s : float
        Units a second so far, those that were there apart.

    Examples
    --------
    100 tokens of 400 took 50 s:

    >>> times = iter([0.0, 50.0, 61.0])
    >>> progress = Progress(400, "tokens", clock=lambda: next(times))
    >>> progress.add(100)
    >>> progress.add(22)
    30% done, 0:02:19 left: 122 of 400 tokens, 2 a second
    """

    def __init__(self, total: int, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.unit, self._clock = total, unit, clock
        self.done = self._kept = self._percent = 0
        self._started = self._lined = clock()
        self._filed = self._started - FILE_S
        self._now = self._started

    @property
    def per_s(self) -> float:
        """Units a second since the start."""
        return (self.done - self._kept) / max(self._now - self._started, 1e-9)

    def keep(self, units: int) -> None:
        """Count units that need no work: those of an earlier run, or that cannot be done."""
        self.done += units
        self._kept += units

    def add(self, units: int, words: Callable[[], str] | None = None) -> None:
        """Count units just done; `words` say what the job is at, instead of the count."""
        self.done += units
        self._now = now = self._clock()
        if now - self._filed < FILE_S:
            return
        # The first unit takes longer than others: by it alone half an hour looked like 14 hours.
        own = self.done - self._kept
        if now - self._started < LINE_S and 100 * own < self.total - self._kept:
            return
        percent = 100 * self.done // max(self.total, 1)
        line_due = now - self._lined >= LINE_S and percent > self._percent
        if not line_due and _file is None:
            return
        left_s = (self.total - self.done) / max(self.per_s, 1e-9)
        said = str(HowFar(percent, left_s, self._count() if words is None else words()))
        self._filed = now
        if _file is not None:
            # Whoever watches can wait, and a disk that is full stops the work elsewhere.
            with suppress(OSError):
                _file.write_text(said)
        if line_due:
            self._lined, self._percent = now, percent
            print(said, flush=True)

    def _count(self) -> str:
        return f"{self.done:,} of {self.total:,} {self.unit}, {self.per_s:,.4g} a second"
