"""Each sweep's answer in a row: the numbers that stand side by side, and how they are spoken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from correct_l0.reading.reading import READ
from correct_l0.reading.stability import NOT_REPRODUCIBLE
from correct_l0.report.comparison.settings import ABSENT, differing_settings
from correct_l0.report.data import StudyData
from correct_l0.report.names import cosines, percents
from correct_l0.report.truth_words import true_l0_in_words

COLUMNS = {
    "l0": "L0 named",
    "interval": "interval",
    "saes": "SAEs",
    "stability": "latents that come back with another seed, at the answer",
    "best_recovery": "L0 of best recovery",
    "true_l0": "true L0",
}
"""What stands in a row, and its heading."""


@dataclass(frozen=True)
class Answer:
    """What one sweep says.

    Attributes
    ----------
    sweep
        Its name.
    headline
        Of its verdict.
    settings
        Those in which it differs from another sweep, in words, by name; only what it has.
    cells
        What stands in its row in words, by a name of `COLUMNS`; a dash where there is nothing.
    drawn
        Which of `stability`, `f1` and `recovery` it has curves of.
    """

    sweep: str
    headline: str
    settings: dict[str, str] = field(default_factory=dict)
    cells: dict[str, str] = field(default_factory=dict)
    drawn: tuple[str, ...] = ()


def answers_of(sweeps: Sequence[StudyData]) -> list[Answer]:
    """Return the answer of every sweep, in the order of the configuration."""
    differing = differing_settings({name_of(x): x.plan.study.saes for x in sweeps})
    return [
        Answer(
            sweep=name_of(sweep),
            headline=sweep.verdict["headline"],
            settings={name: values[i] for name, values in differing.items() if values[i] != ABSENT},
            cells=cells_of(sweep),
            drawn=tuple(x for x in ("stability", "f1", "recovery") if sweep.verdict[x]),
        )
        for i, sweep in enumerate(sweeps)
    ]


def columns_of(answers: Sequence[Answer]) -> dict[str, str]:
    """Return the columns that some sweep has a value for, with their headings."""
    return {
        name: heading
        for name, heading in COLUMNS.items()
        if name in ("l0", "interval") or any(x.cells[name] != ABSENT for x in answers)
    }


def name_of(sweep: StudyData) -> str:
    """Return the name of a sweep."""
    return str(sweep.plan.study.sweep)


def cells_of(sweep: StudyData) -> dict[str, str]:
    """Return the row of one sweep in words; see `COLUMNS`."""
    names, decision, recovery = (
        sweep.names, sweep.verdict["decision"], sweep.verdict["recovery"],
    )  # fmt: skip
    cells = dict.fromkeys(COLUMNS, ABSENT) | {"saes": str(len(sweep.tables["points"]))}
    if sweep.named:
        hint = " (a hint)" if sweep.verdict["is_hint"] else ""
        cells["l0"] = f"{names(decision['l0'])}{hint}"
        cells["interval"] = f"{names(decision['low'])} to {names(decision['high'])}"
    named = decision["reproducibility"]
    if named and named["points"] and decision["outcome"] in (READ, NOT_REPRODUCIBLE):
        cells["stability"] = f"{percents(named['share'])} (mean cosine {cosines(named['pw_mcc'])})"
    if recovery:
        at_end = recovery["best"] in (recovery["points"][0], recovery["points"][-1])
        top = max(recovery["mcc"])
        cells["best_recovery"] = (
            f"{names(recovery['best'])}{', an end of the grid' if at_end else ''} "
            f"(mean cosine {top:.2f})"
        )
    if (true_l0 := sweep.truth.get("true_l0")) is not None:
        cells["true_l0"] = true_l0_in_words(true_l0)
    return cells
