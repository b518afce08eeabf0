"""What the self-check says of a study's answer, in words."""

from __future__ import annotations

from collections.abc import Sequence

from correct_l0.reading.self_check import FOUND, MISSED, SILENT, Check
from correct_l0.report.names import join, percents
from correct_l0.settings.base import format_l0


def self_check_line(checks: Sequence[Check]) -> str:
    """Return in one sentence whether the procedure finds back what generated the data.

    Examples
    --------
    >>> found = Check(16, "the L0 named", 15.8, 16, False, 0.8, "read", 17, 12, 24, FOUND)
    >>> print(self_check_line([found]))
    Checked on data that an SAE of this study generates, so that the truth is known: the interval
    holds the right L0 where the true one is 15.8.
    """
    many = len(checks) > 1
    of = {
        result: join([_l0(c.true_l0) for c in checks if c.result == result])
        for result in (FOUND, MISSED, SILENT)
        if any(c.result == result for c in checks)
    }
    said = {
        FOUND: "the interval holds the right L0 where the true one is {}",
        MISSED: "another is named where the true one is {}",
        SILENT: "none is named where the true one is {}",
    }
    verbs = join([said[result].format(l0) for result, l0 in of.items()])
    who = "SAEs of this study generate" if many else "an SAE of this study generates"
    return f"Checked on data that {who}, so that the truth is known: {verbs}."


def self_check_rows(checks: Sequence[Check]) -> list[dict[str, str]]:
    """Return the rows of the table of checks."""
    return [
        {
            "generator": f"{_l0(check.generator)}, {check.why}",
            "true_l0": _l0(check.true_l0),
            "best": (
                f"{_l0(check.best)} ({percents([check.recovered])} of the latents"
                f"{'; an end of its grid' if check.best_at_end else ''})"
            ),
            "said": _said(check),
            "result": check.result,
        }
        for check in checks
    ]


def _said(check: Check) -> str:
    if check.l0 is None or check.low is None or check.high is None:
        return check.outcome
    return f"L0 {_l0(check.l0)} ({_l0(check.low)} to {_l0(check.high)})"


def _l0(value: float) -> str:
    return format_l0(float(f"{value:.3g}"))
