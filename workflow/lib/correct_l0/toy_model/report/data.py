"""What the toy report is made from: the gathered tables, and the verdict read from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from correct_l0.provenance.manifest import check_outputs
from correct_l0.report.data import manifest_beside
from correct_l0.toy_model.settings import ToyStudy
from correct_l0.toy_model.tables import COLUMNS

TEXT_COLUMNS = {
    "quantity", "experiment", "run", "rule", "direction", "norm", "init", "failed", "device",
    "code_version",
}  # fmt: skip


@dataclass(frozen=True)
class ToyData:
    """A gathered toy study.

    Attributes
    ----------
    study
        Its configuration.
    tables
        By name, with `claims`; `points`, `c_dec` and `s_n_dec` have a column `x`, the mean measured
        L0 of their L0 point over seeds.
    verdict
        The content of `verdict.json`.
    """

    study: ToyStudy
    tables: dict[str, pd.DataFrame]
    verdict: dict[str, Any]

    @property
    def truth(self) -> float:
        """The true L0."""
        return float(self.verdict["truth"]["l0"])

    @property
    def seeds(self) -> list[int]:
        """Seeds of the sweep."""
        return sorted(self.tables["points"]["seed"].astype(int).unique().tolist())


def open_toy_tables(folder: Path | str) -> dict[str, pd.DataFrame]:
    """Load the tables of a toy study; an experiment that was not run has a table without rows.

    Raises
    ------
    InputError
        If a table is missing or is not as it was written.
    """
    check_outputs(Path(folder) / "manifest.json", "run again")
    return {
        name: typed(pd.read_parquet(Path(folder) / f"{name}.parquet"), columns)
        for name, columns in COLUMNS.items()
    }


def typed(table: pd.DataFrame, columns: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return a table with all its columns, text as text and numbers as numbers without rows too."""
    table = table.reindex(columns=[*columns, *(c for c in table if c not in columns)])
    numbers = [str(column) for column in table if column not in TEXT_COLUMNS]
    whole = {column: pd.to_numeric(table[column]) for column in numbers}
    if not len(table):
        return table.astype({c: float if c in numbers else object for c in map(str, table)})
    return table.assign(**whole)


def open_toy_study(study: ToyStudy, tables: Path | str, verdict: Path | str) -> ToyData:
    """Load what `gather_toy_tables` and `read_toy_curves` wrote.

    Raises
    ------
    InputError
        If a table or the verdict is missing or is not as it was written.
    """
    check_outputs(manifest_beside(verdict), "run again")
    loaded = open_toy_tables(tables)
    measured = loaded["points"].groupby("l0")["l0_measured"].mean()
    for name in ("points", "c_dec", "s_n_dec"):
        loaded[name] = loaded[name].assign(x=loaded[name]["l0"].map(measured))
    loaded["claims"] = pd.read_parquet(Path(tables) / "claims.parquet")
    return ToyData(study, loaded, json.loads(Path(verdict).read_text()))
