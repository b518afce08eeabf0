"""Are the metrics of both studies' SAEs the same? c_dec and s_n^dec, ours and theirs, seed by seed.

    python benchmarks/study_metrics.py --ours results/minilm-layer-3 [--rival results/rival-study]

prints how far apart they are; `study.py` also writes the tables. The unit is the spread over seeds:
the standard deviation, the root of the mean of both sides' variances.

s_n^dec is in training units on both sides: raw activations less b_dec, times the scale that the SAE
was trained with, on decoder rows of norm 1; the mean over the same batches of held-out rows.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import result_tables as tables

C_DEC, S_N_DEC = "study_c_dec.csv", "study_s_n_dec.csv"
C_DEC_COLUMNS = ("l0", "seed", "ours", "rival")
S_N_DEC_COLUMNS = ("l0", "n", "seed", "ours", "rival")


@dataclass(frozen=True)
class Apart:
    """A metric at one point, over seeds.

    Examples
    --------
    Means 2 and 4, standard deviations 1 and 1:

    >>> Apart((1.0, 2.0, 3.0), (3.0, 4.0, 5.0)).spreads
    -2.0
    """

    ours: tuple[float, ...]
    rival: tuple[float, ...]

    @property
    def spreads(self) -> float:
        """How many spreads ours lies above theirs; not a number where there is no spread."""
        if min(len(self.ours), len(self.rival)) < 2:
            return math.nan
        variances = [statistics.variance(self.ours), statistics.variance(self.rival)]
        spread = math.sqrt(statistics.mean(variances))
        above = statistics.mean(self.ours) - statistics.mean(self.rival)
        return above / spread if spread else math.nan

    @property
    def limit(self) -> float:
        """The spreads that two samples of one normal distribution exceed one time in twenty."""
        from scipy.stats import t

        count = len(self.ours)
        return float(t.ppf(0.975, 2 * (count - 1))) * math.sqrt(2 / count)


def metric_rows(ours: Path, rival: Path) -> tuple[list[tables.Row], list[tables.Row]]:
    """Return c_dec and s_n^dec of the points that both studies have.

    Parameters
    ----------
    ours
        The study's folder, with `decoder_metrics/`.
    rival
        The rival's folder, with `saes/`.
    """
    c_dec, s_n_dec = [], []
    for path in rival.glob("saes/*/metrics.json"):
        theirs = json.loads(path.read_text())
        point = {"l0": theirs["l0"], "seed": str(theirs["seed"])}
        folder = ours / "decoder_metrics" / f"l0_{point['l0']}" / f"seed_{point['seed']}"
        for row in tables.read(folder / "c_dec.csv"):
            c_dec.append({**point, **_both(row["c_dec"], theirs["c_dec"])})
        for row in tables.read(folder / "s_n_dec.csv"):
            if row["statistic"] == "batch_mean" and row["n"] in theirs["s_n_dec"]:
                values = _both(row["value"], theirs["s_n_dec"][row["n"]])
                s_n_dec.append({**point, "n": row["n"], **values})
    return sorted(c_dec, key=_place), sorted(s_n_dec, key=_place)


def apart(rows: Iterable[tables.Row], keys: Sequence[str]) -> dict[tuple[str, ...], Apart]:
    """Return how far apart both sides are, for each value of the keys."""
    found: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for row in rows:
        key = tuple(row[name] for name in keys)
        found.setdefault(key, []).append((float(row["ours"]), float(row["rival"])))
    return {key: Apart(*zip(*pairs, strict=True)) for key, pairs in found.items()}


def section(c_dec: Sequence[tables.Row], s_n_dec: Sequence[tables.Row]) -> list[str]:
    """Return the lines of a table of both metrics, and what it comes to; none without rows."""
    if not c_dec:
        return []
    by_n = apart(s_n_dec, ("l0", "n"))
    points = apart(c_dec, ("l0",))
    lines = [
        "| L0 | c_dec, ours | c_dec, theirs | c_dec apart | s_n^dec apart: median over n (range) |",
        "|---|---|---|---|---|",
    ]
    medians = []
    for (l0,), point in points.items():
        spreads = [other.spreads for (at, _), other in by_n.items() if at == l0]
        words = ""
        if spreads:
            medians.append(statistics.median(spreads))
            words = f"{medians[-1]:+.1f} ({min(spreads):+.1f} to {max(spreads):+.1f})"
        sides = [_with_spread(side) for side in (point.ours, point.rival)]
        lines.append(f"| {l0} | {sides[0]} | {sides[1]} | {point.spreads:+.1f} | {words} |")
    first = next(iter(points.values()))
    if len(first.ours) < 2:
        return [*lines, "", "One seed: there is no spread."]
    beyond = sum(abs(point.spreads) > point.limit for point in points.values())
    beyond_s_n = sum(abs(median) > first.limit for median in medians)
    words = (
        f"Mean ± standard deviation over {len(first.ours)} seeds; apart: ours less theirs, in units"
        " of that standard deviation. Trainers that do the same are more than"
        f" {first.limit:.1f} apart at one point in twenty; here c_dec is at {beyond} of"
        f" {len(points)}, the median of s_n^dec at {beyond_s_n} of {len(medians)}."
    )
    return [*lines, "", words]


def written() -> list[str]:
    """Return the section of the tables in benchmarks/results."""
    return section(*(tables.read(tables.RESULTS / name) for name in (C_DEC, S_N_DEC)))


def write(c_dec: Sequence[tables.Row], s_n_dec: Sequence[tables.Row]) -> None:
    """Write the tables."""
    tables.write(tables.RESULTS / C_DEC, C_DEC_COLUMNS, c_dec)
    tables.write(tables.RESULTS / S_N_DEC, S_N_DEC_COLUMNS, s_n_dec)


def _both(ours: str, rival: float) -> tables.Row:
    return {"ours": f"{float(ours):.6f}", "rival": f"{rival:.6f}"}


def _place(row: tables.Row) -> tuple[float, int, int]:
    return float(row["l0"]), int(row.get("n", 0)), int(row["seed"])


def _with_spread(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.5f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.5f}{spread}"


def main() -> None:
    """Print the section for two folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", type=Path, required=True)
    parser.add_argument("--rival", type=Path, default=Path("results/rival-study"))
    options = parser.parse_args()
    found = section(*metric_rows(options.ours, options.rival))
    if not found:
        raise SystemExit(f"{options.ours} and {options.rival} have no point in common")
    print("\n".join(found))


if __name__ == "__main__":
    main()
