"""Gathering a study's points into tidy tables, one row per observation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from correct_l0.errors import InputError
from correct_l0.metrics import metrics
from correct_l0.metrics.probing.settings import CONTROLS
from correct_l0.metrics.stability import ALONG
from correct_l0.provenance.checks import check_outputs
from correct_l0.provenance.manifest import digest_of, read_manifest, replacing
from correct_l0.report.point_files import FACTS, readers
from correct_l0.saes.imported.published import COLUMN, SCORES
from correct_l0.saes.imported.settings import ImportedSweep
from correct_l0.standing.chain import BASELINES, check_activations, result_key, task_digests
from correct_l0.standing.gaps import Gap, PointFiles, check_baselines, check_point, check_stability
from correct_l0.study.plan import Plan

_OF_PAIR = (
    "seed_a", "seed_b", "pw_mcc", "chance_pw_mcc", "share_above", "chance_share_above",
    "number_above", "reproduced_share", "chance_reproduced_share", "subspace_agreement",
)  # fmt: skip

COLUMNS: dict[str, tuple[str, ...]] = {
    "points": ("l0", "l0_measured", "seed", *FACTS),
    "probing": (
        "l0", "l0_measured", "seed", "task", "probe_k", "f1", "accuracy", "auc", *CONTROLS,
    ),
    "baselines": ("baseline", "task", "f1", "accuracy", "auc"),
    "loss": ("l0", "l0_measured", "seed", "step", "tokens", "mse_loss", "loss"),
    "c_dec_training": (
        "l0", "l0_measured", "seed", "step", "tokens", "c_dec", "init_cosine_median",
    ),
    "init_cosines": ("l0", "l0_measured", "seed", "quantile", "cosine"),
    "stability": ("l0", "l0_measured", *_OF_PAIR),
    "stability_training": ("l0", "l0_measured", "step", "tokens", *_OF_PAIR),
    "gaps": ("l0", "seed", "room", "reason"),
    "rounds": (
        "round", "trained", "tokens", "trainings", "training_s", "outcome", "low", "high", "add_l0",
        "why", "setting",
    ),
}  # fmt: skip
"""Columns that every table has, whatever else its files bring."""
for _metric in metrics().values():
    COLUMNS |= {name: ("l0", "l0_measured", "seed", *own) for name, own in _metric.tables.items()}


@dataclass(frozen=True)
class Gathered:
    """What a study's points hold.

    Attributes
    ----------
    tables
        The tidy tables by name.
    inputs
        Digest of every point's results, by room and point.
    provenance
        Code versions and packages that the points were made with.
    """

    tables: dict[str, pd.DataFrame]
    inputs: dict[str, str]
    provenance: dict[str, Any]


def gather(plan: Plan, allow_gaps: bool = False) -> Gathered:
    """Return a study's tables, and what they were made from.

    Parameters
    ----------
    plan
        The study.
    allow_gaps
        Make a row of `gaps` of every point that is missing, failed or disagrees, instead of
        refusing: for the report after a failed run.

    Raises
    ------
    InputError
        Unless gaps are allowed: if a point is missing or disagrees with the configuration, naming
        it.
    """
    points, gaps = _checked_points(plan)
    stability, missing = check_stability(plan, points)
    gaps += missing
    baselines = None
    if "probing" in plan.rooms:
        try:
            baselines = check_baselines(plan, task_digests(plan))
        except InputError as error:
            gaps.append(Gap("nan", None, BASELINES, str(error)))
    if gaps and not allow_gaps:
        first = gaps[0]
        of_seed = "" if first.seed is None else f" seed {first.seed}"
        where = "" if first.l0 == "nan" else f"L0 {first.l0}{of_seed}, "
        raise InputError(f"{where}{first.room}: {first.reason}")

    tables = {name: _collect(points, room, read) for name, (room, read) in readers().items()}
    tables["points"] = _with_published(plan, tables["points"])
    tables["stability"] = _read_stability(stability, tables["points"], "stability.csv")
    tables["stability_training"] = _read_stability(stability, tables["points"], ALONG)
    if baselines:
        tables["baselines"] = pd.read_csv(baselines / "scores.csv")
    tables["gaps"] = pd.DataFrame([vars(gap) for gap in gaps]).astype({"l0": float}) if gaps else (
        pd.DataFrame()
    )  # fmt: skip
    whole = {name: _with_columns(tables.get(name), name) for name in COLUMNS}
    return Gathered(whole, _digests(points, stability, baselines), _provenance(points))


def save_tables(tables: Mapping[str, pd.DataFrame], folder: Path | str) -> list[Path]:
    """Write each table as Parquet and CSV; return the files."""
    files = []
    for name, table in tables.items():
        for suffix, write in (
            ("parquet", lambda path, table=table: table.to_parquet(path, index=False)),
            ("csv", lambda path, table=table: table.to_csv(path, index=False)),
        ):
            path = Path(folder) / f"{name}.{suffix}"
            with replacing(path) as temporary:
                write(temporary)
            files.append(path)
    return files


def load_tables(folder: Path | str) -> dict[str, pd.DataFrame]:
    """Return the tables that `save_tables` wrote, held against the manifest beside them.

    Raises
    ------
    InputError
        If a table is missing or is not as it was written.
    """
    check_outputs(Path(folder) / "manifest.json", f"delete {folder} and run again")
    return {name: pd.read_parquet(Path(folder) / f"{name}.parquet") for name in COLUMNS}


def _provenance(points: list[PointFiles]) -> dict[str, Any]:
    """Return the code versions and packages that the points were made with."""
    manifests = [m for point in points for m in point.manifests.values()]
    packages: dict[str, set[str]] = {}
    for manifest in manifests:
        for name, version in (manifest.get("packages") or {}).items():
            packages.setdefault(name, set()).add(str(version))
    return {
        "code_versions": sorted({str(m.get("code_version")) for m in manifests}),
        "packages": {name: sorted(found) for name, found in sorted(packages.items())},
    }


def _digests(
    points: list[PointFiles], stability: Mapping[str, Path], baselines: Path | None
) -> dict[str, str]:
    """Return the digest of every result that stands, by its key."""
    folders = {
        result_key(room, point.l0, point.seed): folder
        for point in points
        for room, folder in point.folders.items()
    }
    folders |= {result_key("stability", l0): folder for l0, folder in stability.items()}
    if baselines:
        folders[BASELINES] = baselines
    return {key: digest_of(folder / "manifest.json") for key, folder in folders.items()}


def _checked_points(plan: Plan) -> tuple[list[PointFiles], list[Gap]]:
    try:
        activations = check_activations(plan)
    except InputError as error:
        return [], [Gap(l0, seed, "activations", str(error)) for l0, seed in plan.points]
    tasks = task_digests(plan)
    checked = [check_point(plan, l0, seed, activations, tasks) for l0, seed in plan.points]
    return [point for point, _ in checked], [gap for _, gaps in checked for gap in gaps]


def _collect(
    points: list[PointFiles], room: str, read: Callable[[PointFiles], pd.DataFrame]
) -> pd.DataFrame:
    frames = []
    for point in points:
        if room not in point.folders:
            continue
        frame = read(point)
        key = {
            "l0": float(point.l0),
            "l0_measured": float(point.manifests["saes"]["l0_measured"]),
            "seed": point.seed,
        }
        for position, (name, value) in enumerate(key.items()):
            if name in frame:
                frame = frame.drop(columns=name)
            frame.insert(position, name, value)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _read_stability(folders: Mapping[str, Path], points: pd.DataFrame, file: str) -> pd.DataFrame:
    """Return the rows of a table of pairs of seeds, of the comparisons that have it, by L0.

    The measured L0 is the mean over all seeds.
    """
    frames = []
    for l0, folder in folders.items():
        if file not in read_manifest(folder / "manifest.json")["outputs"]:
            continue
        measured = points.loc[points["l0"] == float(l0), "l0_measured"].mean()
        frame = pd.read_csv(folder / file)
        frames.append(frame.assign(l0=float(l0), l0_measured=measured))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _with_published(plan: Plan, points: pd.DataFrame) -> pd.DataFrame:
    """Return the facts of points with the scores that others published of imported SAEs."""
    saes = plan.study.saes
    if not isinstance(saes, ImportedSweep) or not saes.published or not len(points):
        return points
    names = {(sae.l0, sae.seed): sae.name for sae in saes.saes}
    scores = [
        saes.published.get(names[l0, seed], {})
        for l0, seed in zip(points["l0"], points["seed"], strict=True)
    ]
    there = [name for name in SCORES if any(name in each for each in scores)]
    return points.assign(
        **{f"{COLUMN}{name}": [each.get(name, np.nan) for each in scores] for name in there}
    )


def _with_columns(table: pd.DataFrame | None, name: str) -> pd.DataFrame:
    """Return a table that has at least its columns, those first; an empty one has just them."""
    table = pd.DataFrame() if table is None else table
    missing = [column for column in COLUMNS[name] if column not in table]
    table = table.assign(**{column: np.nan for column in missing})
    rest = [column for column in table if column not in COLUMNS[name]]
    return table[[*COLUMNS[name], *rest]]
