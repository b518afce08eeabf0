"""What the check finds: a row per number, sent from a part's process to the one that prints it."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TextIO

OK, FAILED = "ok", "FAILED"
MET, BELOW = "met", "below target"
MEASURED, SKIPPED, ERROR = "", "skipped", "ERROR"
BAD = (FAILED, ERROR)
"""Verdicts after which the check as a whole has failed; a missed target of speed is none."""


OURS = ("correct_l0", "benchmarks")
"""Packages of this repository: a module of theirs that is not found is an error."""


@dataclass(frozen=True)
class Row:
    """One number of the check, or why there is none."""

    part: str
    what: str
    value: float | None = None
    unit: str = ""
    wanted: str = ""
    verdict: str = MEASURED
    note: str = ""

    def line(self) -> str:
        """Return the row as a line of the printed table.

        Examples
        --------
        >>> " ".join(Row("steps", "ours, L0 20", 4.25, "ms", "<= 5", MET).line().split())
        'ours, L0 20 4.25 ms <= 5 met'
        """
        value = "" if self.value is None else f"{self.value:.4g} {self.unit}"
        note = f"  ({self.note})" if self.note else ""
        return f"  {self.what:<62} {value:<16} {self.wanted:<14} {self.verdict}{note}".rstrip()


class Report:
    """Sends the rows of one part, each as a line of JSON, as soon as it is known.

    Parameters
    ----------
    part
        Name of the part.
    stream
        Where the lines go.
    """

    def __init__(self, part: str, stream: TextIO) -> None:
        self.part, self._stream = part, stream

    def measured(self, what: str, value: float, unit: str, note: str = "") -> None:
        """Report a number that nothing is held against."""
        self._send(Row(self.part, what, value, unit, note=note))

    def must(self, what: str, value: float, unit: str, at_most: float, note: str = "") -> None:
        """Report a number that is right up to a limit, NaN never."""
        verdict = OK if value <= at_most else FAILED
        self._send(Row(self.part, what, value, unit, f"<= {at_most:g}", verdict, note))

    def target(
        self,
        what: str,
        value: float,
        unit: str,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        note: str = "",
    ) -> None:
        """Report a number of speed or memory beside the one aimed at."""
        if at_least is not None:
            wanted, met = f">= {at_least:g}", value >= at_least
        else:
            wanted, met = f"<= {at_most:g}", at_most is not None and value <= at_most
        verdict = MET if met else BELOW
        self._send(Row(self.part, what, value, unit, wanted, verdict, note))

    def skipped(self, what: str, why: str) -> None:
        """Report what was not tried."""
        self._send(Row(self.part, what, verdict=SKIPPED, note=why))

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Within the block a missing package or an error becomes a row, and the part goes on."""
        try:
            yield
        except Exception as error:
            missing = missing_package(error)
            if missing:
                self.skipped(what, f"package {missing} is not installed")
                return
            traceback.print_exc()
            first = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            self._send(Row(self.part, what, verdict=ERROR, note=first[:200]))

    def _send(self, row: Row) -> None:
        self._stream.write(json.dumps(asdict(row)) + "\n")
        self._stream.flush()


def missing_package(error: Exception) -> str:
    """Return the package whose absence is the error; empty for other errors and modules of ours."""
    if not isinstance(error, ModuleNotFoundError):
        return ""
    name = (error.name or "").split(".")[0]
    return "" if name in OURS else name
