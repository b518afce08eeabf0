"""What the suite of worlds says, as the tables of docs/calibration.md."""

from __future__ import annotations

import math

import pandas as pd

from calibration.estimators import READING
from calibration.judge import UNSEEN, WRONG, Judged, scores
from calibration.reports import READ_BY, SAYING, counted, of_kind
from calibration.single import OFF, asked_by, scores_of_single
from calibration.third_seed import scores_of_third_seed
from correct_l0.reading.calibrated import DROP, NOMINAL
from correct_l0.reading.reading import READ
from correct_l0.report.names import percents

HALVES = {
    "report": "The half to report",
    UNSEEN: "Of it, the worlds whose reading has not changed since they were first looked at",
    "choose": "The half to choose on",
}


def page(judged: Judged) -> str:
    """Return the tables in Markdown."""
    parts = [_scores(judged.scores, half, title) for half, title in HALVES.items()]
    needed = (
        f"Drop of stability that holds the right L0 in {NOMINAL:.0%} of the first half's answered "
        f"worlds: {judged.drop:.4f}; the reading has {DROP:g}."
    )
    beside = [*_searches(judged.searches), _reports(judged.reports)]
    return "\n\n".join([*parts, needed, *beside, _worlds(judged.worlds)])


def _scores(scores: pd.DataFrame, half: str, title: str) -> str:
    lines = [
        f"**{title}**",
        "",
        "| reading | worlds with an answer | answered | interval holds the right L0 | median "
        f"width | median error | too low by {WRONG} | too high by {WRONG} | worlds without | "
        "refused |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in scores[scores["half"] == half].to_dict("records"):
        cells = [
            row["estimator"], row["worlds_with_answer"], _share(row["answered"]),
            _share(row["covered"]), _factor(row["median_width"]), _factor(row["median_error"]),
            _share(row["too_low"]), _share(row["too_high"]), row["worlds_without"],
            _share(row["refused"]),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _searches(rows: pd.DataFrame) -> list[str]:
    """Return what searches came to beside the fixed grid, as `HALVES` has it, on those searched."""
    return [
        _of_half(rows[rows["half"] == half], title.lower())
        for half, title in HALVES.items()
        if (rows["half"] == half).any()
    ]


def _of_half(rows: pd.DataFrame, title: str) -> str:
    lines = [
        f"**The search beside the fixed grid**: {title}, {rows['world'].nunique()} searched",
        "",
        "| points | worlds with an answer | answered | interval holds the right L0 | median "
        "width | median error | worlds without | refused | trainings |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    trained = rows.groupby("estimator")["trained"].mean()
    for row in scores(rows).to_dict("records"):
        cells = [
            row["estimator"], row["worlds_with_answer"], _share(row["answered"]),
            _share(row["covered"]), _factor(row["median_width"]), _factor(row["median_error"]),
            row["worlds_without"], _share(row["refused"]), _share(trained[row["estimator"]]),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _reports(rows: pd.DataFrame) -> str:
    """Return what whole reports say, and how often it is so."""
    lines = [
        "**What a report says**, of all worlds, those without an answer too",
        "",
        f"| read | reports | name an L0 | and hold it | too low by {WRONG} | too high by {WRONG} "
        "| say it is above | right | say it is below | right | say nothing |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (seeds, with_s_n_dec), read in READ_BY.items():
        said = of_kind(rows, seeds, with_s_n_dec)
        named, above, below = counted(said).values()
        off = said.loc[said["outcome"] == READ, "off"]
        cells = [
            read, len(said), named[1], named[0], (off * WRONG < 1).sum(), (off > WRONG).sum(),
            above[1], above[0], below[1], below[0], (~said["outcome"].isin(SAYING)).sum(),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _worlds(rows: pd.DataFrame) -> str:
    """Return what the reading says of each world."""
    lines = [
        "| world | kind | half | true L0 | right L0 | features found there | answer |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows[rows["estimator"] == READING].sort_values("world").to_dict("records"):
        right = f"{row['right']:.3g}" if row["has_answer"] else "none"
        answer = "refused"
        if not pd.isna(row["l0"]):
            answer = f"{row['l0']:.2g} ({row['low']:.2g} to {row['high']:.2g})"
        lines.append(
            f"| {row['world']} | {row['kind']} | {row['half']} | {row['true_l0']:.3g} | {right} | "
            f"{_share(row['found'])} | {answer} |"
        )
    return "\n".join(lines)


def page_of_single(judged: pd.DataFrame) -> str:
    """Return what is said of single SAEs that are trained on, in Markdown."""
    lines = [
        f"| worlds | number | SAEs off by {OFF} or more | answered | of these the direction right "
        "| SAEs about right | called so | called too low or too high |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in scores_of_single(judged).to_dict("records"):
        cells = [
            row["worlds"], row["number"], row["off"], _share(row["answered"]),
            _share(row["direction_right"]), row["near"], _share(row["near_said"]),
            _share(row["near_wrong"]),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    asked = "; ".join(f"{said}: {share:.2f}" for said, share in asked_by(judged).items())
    lines += ["", f"Confidence by those unseen: {asked}.", ""]
    lines += [
        "| world | kind | | L0 / right L0: pull, what is said |",
        "|---|---|---|---|",
    ]
    for number, each in judged.sort_values(["world", "times"]).groupby("world"):
        said = "; ".join(
            f"{row.times:.2g}: {row.pull:+.2f}, {row.said}" for row in each.itertuples()
        )
        lines.append(f"| {number} | {each['kind'].iloc[0]} | {each['worlds'].iloc[0]} | {said} |")
    return "\n".join(lines)


def page_of_third_seed(judged: pd.DataFrame) -> str:
    """Return what a third seed changes, in Markdown."""
    lines = [
        "| seeds | readings of worlds with an answer | answered | interval holds | median width | "
        "median factor off | refused of those without |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in scores_of_third_seed(judged).to_dict("records"):
        cells = [
            "any two" if row["seeds"] == 2 else "all three", row["readings"],
            _share(row["answered"]), _share(row["holds"]), _factor(row["width"]),
            _factor(row["off"]), _share(row["refused"]),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += [
        "",
        "| world | kind | right L0 | seeds: L0 named (interval) |",
        "|---|---|---|---|",
    ]
    for number, each in judged.groupby("world"):
        first = each.iloc[0]
        said = "; ".join(
            f"{', '.join(map(str, row['seeds']))}: "
            + ("none" if pd.isna(row["l0"]) else _named(row["l0"], row["low"], row["high"]))
            for row in each.to_dict("records")
        )
        right = f"{first['right']:.3g}" if first["has_answer"] else "none"
        lines.append(f"| {number} | {first['kind']} | {right} | {said} |")
    return "\n".join(lines)


def _named(l0: float, low: float, high: float) -> str:
    return f"{l0:.3g} ({low:.3g} to {high:.3g})"


def _share(share: float) -> str:
    return "" if pd.isna(share) else percents([share])


def _factor(factor: float) -> str:
    return "" if pd.isna(factor) else "no limit" if math.isinf(factor) else f"{factor:.2f}"
