"""What figures and page are made from: a study's tables, its verdict, and a few arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from correct_l0.provenance.checks import check_outputs
from correct_l0.provenance.manifest import read_or_empty
from correct_l0.reading.reading import READ
from correct_l0.reading.self_check import Check
from correct_l0.reading.stability import NOT_REPRODUCIBLE
from correct_l0.report.gather import load_tables
from correct_l0.report.names import Names
from correct_l0.report.saturated import one_of_each
from correct_l0.report.silent import drop_silent
from correct_l0.study.frozen_control import Control
from correct_l0.study.plan import Plan


@dataclass(frozen=True)
class StudyData:
    """A gathered study.

    Attributes
    ----------
    plan
        The study's configuration.
    tables
        As `gather` makes them; every table with rows per point has a column `x`, the mean measured
        L0 of its L0 point over seeds.
    verdict
        The content of `verdict.json`.
    cosines
        Matrix of decoder cosines by target L0, of the first seed, for the points to draw.
    model_name
        What the language model is called, where its source knows.
    checks
        What the self-check found, where there is one.
    control
        What SAEs of a random decoder reach, where the study has some.
    every_coefficient
        The table `points` with those coefficients too whose L0 another one has already.
    """

    plan: Plan
    tables: dict[str, pd.DataFrame]
    verdict: dict[str, Any]
    cosines: dict[float, Float[np.ndarray, "d_sae d_sae"]] = field(default_factory=dict)
    model_name: str = ""
    checks: tuple[Check, ...] = ()
    control: Control | None = None
    every_coefficient: pd.DataFrame | None = None

    @property
    def l0(self) -> list[float]:
        """Target L0 of the points that stand, lowest first."""
        return sorted(self.tables["points"]["l0"].unique())

    @property
    def seeds(self) -> list[int]:
        """Seeds of the points that stand."""
        return sorted(self.tables["points"]["seed"].unique().tolist())

    @property
    def named(self) -> dict[str, Any] | None:
        """The decision of a study that names an L0; nothing of one that refuses to."""
        decision: dict[str, Any] = self.verdict["decision"]
        return decision if self.verdict["outcome"] == READ and decision["l0"] is not None else None

    @property
    def refused_by(self) -> list[float]:
        """Measured L0 of the points that a refusal rests on: where seeds differ, those that do."""
        decision = self.verdict["decision"]
        alike = decision.get("reproducibility")
        if self.verdict["outcome"] == NOT_REPRODUCIBLE and alike:
            return list(alike["differing"])
        return list(decision.get("leaning", ()))

    @property
    def truth(self) -> dict[str, float]:
        """L0 that are known to be true: `best` recovery and `true_l0`, of those that are known."""
        best = (self.verdict["recovery"] or {}).get("best")
        known = {"best": best, "true_l0": self.verdict["true_l0"]}
        return {name: value for name, value in known.items() if value is not None}

    @property
    def names(self) -> Names:
        """How measured L0 values of the points are spoken."""
        points = self.tables["points"]
        return Names(dict(zip(points["x"], points["l0"], strict=True)))

    @property
    def swept(self) -> str:
        """What the values of `l0` are: the target L0, the coefficient of a penalty, ..."""
        saes = self.plan.study.saes
        target = "announced L0" if saes.imported else "target L0"
        return {"l0": target, "number": "number"}.get(saes.swept, "coefficient")

    def l0_of(self, l0: float) -> float:
        """Return the mean measured L0 of a point, given by its value of `l0`."""
        points = self.tables["points"]
        return float(points.loc[points["l0"] == l0, "x"].iloc[0])

    def name_of(self, l0: float) -> str:
        """Return the measured L0 of a point in words, given by its value of `l0`."""
        return self.names(self.l0_of(l0))

    @property
    def drawn_l0(self) -> list[float]:
        """The L0 whose histograms and cosines are drawn, of those that stand."""
        chosen = [x for x in self.plan.study.decoder_metrics.histogram_l0 if x in self.l0]
        if chosen or not self.l0:
            return chosen
        return sorted({self.l0[0], self.l0[len(self.l0) // 2], self.l0[-1]})


def manifest_beside(file: Path | str) -> Path:
    """Return the manifest of a file: `verdict.manifest.json` beside `verdict.json`."""
    return Path(file).with_suffix(".manifest.json")


def open_study(
    plan: Plan,
    tables: Path | str,
    verdict: Path | str,
    with_cosines: bool = False,
    control: Path | None = None,
    self_check: Path | None = None,
) -> StudyData:
    """Load what `gather_tables` and `read_curves` wrote, and cosine matrices where asked for.

    `control` and `self_check` are the manifests of these, where there are any.

    Raises
    ------
    InputError
        If a table or the verdict is missing or is not as it was written.
    """
    check_outputs(manifest_beside(verdict), f"delete {verdict} and run again")
    loaded, _ = drop_silent(load_tables(tables))
    every = loaded["points"]
    loaded, _ = one_of_each(loaded, plan.study.saes.swept)
    mean_l0 = loaded["points"].groupby("l0")["l0_measured"].mean()
    placed = {
        name: table.assign(x=table["l0"].map(mean_l0)) if "l0_measured" in table else table
        for name, table in loaded.items()
    }
    checks: tuple[Check, ...] = ()
    if self_check is not None:
        check_outputs(self_check, f"delete {self_check} and run again")
        found = json.loads(self_check.with_name("self_check.json").read_text())
        checks = tuple(Check(**each) for each in found["checks"])
    study = StudyData(
        plan,
        placed,
        json.loads(Path(verdict).read_text()),
        model_name=_model_name(plan),
        checks=checks,
        control=None if control is None else _control(control),
        every_coefficient=every,
    )
    if with_cosines:
        study.cosines.update(_cosines(study))
    return study


def _model_name(plan: Plan) -> str:
    """Return what the model is called that was read; empty where none was."""
    record = Path(plan.source)
    if plan.study.stored is not None:
        record = record.with_name("cache.json")
    return str(read_or_empty(record).get("model_name", ""))


def _control(manifest: Path) -> Control:
    check_outputs(manifest, f"delete {manifest} and run again")
    return Control(**json.loads(manifest.with_name("control.json").read_text()))


def _cosines(study: StudyData) -> dict[float, Float[np.ndarray, "d_sae d_sae"]]:
    found = {}
    for label, seed in study.plan.points:
        folder = Path(study.plan.point_folder("decoder_metrics", label, seed))
        path = folder / "cosine_heatmap.npz"
        if float(label) in study.drawn_l0 and float(label) not in found and path.exists():
            with np.load(path) as file:
                found[float(label)] = file["cosines"].astype(np.float32)
    return found
