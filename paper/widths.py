"""The right L0 by width, from a finished study of widths: the table of docs/width.md.

`python -m paper.widths [config/synthetic-width.yaml]`, in the repository's root.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from correct_l0.errors import InputError
from correct_l0.report.comparison.answers import cells_of
from correct_l0.report.data import StudyData, open_study
from correct_l0.study.config import parse_study
from correct_l0.study.plan import Plan

CONFIG = Path("config/synthetic-width.yaml")


def open_widths(config: Path) -> list[StudyData]:
    """Return the finished sweeps of a study, narrowest first.

    Raises
    ------
    InputError
        If one was not run to its end.
    """
    plans = [Plan(each) for each in parse_study(yaml.safe_load(config.read_text()))]
    plans.sort(key=lambda plan: plan.study.saes.d_sae)
    folders = [Path(plan.results) / "tables" for plan in plans]
    return [
        open_study(plan, folder, folder / "verdict.json")
        for plan, folder in zip(plans, folders, strict=True)
    ]


def width_table(sweeps: Sequence[StudyData]) -> pd.DataFrame:
    """Return one row for each width.

    `latents`; `named` and `interval` in words; of a world whose features are known also `best`, the
    L0 of best recovery, and `most_frequent`, how many of the `latents` most frequent features fire
    on average; `hedging`, the mean rate over all L0 and seeds, where it was measured.
    """
    rows = []
    for sweep in sweeps:
        study, cells = sweep.plan.study, cells_of(sweep)
        row = {"latents": study.saes.d_sae, "named": cells["l0"], "interval": cells["interval"]}
        if not sweep.named:
            row["named"] = f"none: {sweep.verdict['outcome']}"
        if (world := study.synthetic) is not None and world.hierarchy is None:
            rates = np.sort(world.firing.probabilities(world.features))[::-1]
            row["best"] = sweep.verdict["recovery"]["best"]
            row["most_frequent"] = float(rates[: study.saes.d_sae].sum())
        if len(table := sweep.tables["hedging"]):
            row["hedging"] = float(table["rate"].mean())
        rows.append(row)
    return pd.DataFrame(rows)


def power_law(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return the exponent of the power law through some points, and its standard error.

    Examples
    --------
    >>> power_law([1, 2, 4, 8], [3, 6, 12, 24])
    (1.0, 0.0)
    """
    log_x, log_y = np.log(x), np.log(y)
    apart = log_x - log_x.mean()
    exponent = float(apart @ log_y / (apart @ apart))
    left = log_y - log_y.mean() - exponent * apart
    error = float(np.sqrt(left @ left / (len(log_x) - 2) / (apart @ apart)))
    return round(exponent, 9), round(error, 9)


def as_markdown(table: pd.DataFrame) -> str:
    """Return the table as Markdown, numbers with two or three digits."""
    lines = [f"| {' | '.join(table.columns)} |", "|---" * len(table.columns) + "|"]
    for row in table.to_dict("records"):
        cells = [f"{x:.2g}" if isinstance(x, float) else str(x) for x in row.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Print the table, and the exponents of what is known of it; return the exit status."""
    try:
        table = width_table(open_widths(Path(arguments[0]) if arguments else CONFIG))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(as_markdown(table))
    for name in ("best", "most_frequent"):
        if name in table:
            exponent, spread = power_law(table["latents"].tolist(), table[name].tolist())
            print(f"{name} grows as latents to the {exponent:.2f} (standard error {spread:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
