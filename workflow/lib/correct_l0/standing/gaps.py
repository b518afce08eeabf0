"""What of the results that tables are made from is missing, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from correct_l0.errors import InputError
from correct_l0.provenance.checks import Disagreement
from correct_l0.provenance.manifest import digest_of_content, read_manifest
from correct_l0.stages import OF_POINT
from correct_l0.standing.chain import examine_baselines, examine_point, examine_stability
from correct_l0.study.groups import split_labels
from correct_l0.study.plan import Plan


@dataclass(frozen=True)
class Gap:
    """A point, or an L0 with all its seeds, that a room lacks, and why."""

    l0: str
    seed: int | None
    room: str
    reason: str


@dataclass(frozen=True)
class PointFiles:
    """Folders and manifests of one point, by room; a room without an entry is a gap."""

    l0: str
    seed: int
    folders: dict[str, Path]
    manifests: dict[str, dict[str, Any]]


def check_point(
    plan: Plan, l0: str, seed: int, activations: str, tasks: Mapping[str, str | None]
) -> tuple[PointFiles, list[Gap]]:
    """Return what stands of one point, and why the rest does not; see `examine_point`."""
    point = PointFiles(l0, seed, {}, {})
    gaps: list[Gap] = []
    for finding in examine_point(plan, l0, seed, activations, tasks):
        folder = finding.path.parent
        if finding.wrong:
            log = _log(plan, finding.room, l0, seed)
            gaps.append(Gap(l0, seed, finding.room, _reason(folder, finding.wrong, log)))
        elif finding.manifest is not None:
            point.folders[finding.room] = folder
            point.manifests[finding.room] = finding.manifest
    return point, gaps


def check_stability(plan: Plan, points: Sequence[PointFiles]) -> tuple[dict[str, Path], list[Gap]]:
    """Return the folder of each comparison of seeds that stands by L0, and the gaps.

    Where an SAE does not stand, that is the gap.
    """
    saes = {
        (point.l0, point.seed): digest_of_content(point.manifests["saes"])
        for point in points
        if "saes" in point.manifests
    }
    folders: dict[str, Path] = {}
    gaps: list[Gap] = []
    for finding in examine_stability(plan, saes):
        folder, l0 = finding.path.parent, str(finding.l0)
        if finding.wrong:
            log = Path(plan.results) / "logs" / "compare_seeds.log"
            gaps.append(Gap(l0, None, "stability", _reason(folder, finding.wrong, log)))
        else:
            folders[l0] = folder
    return folders, gaps


def check_baselines(plan: Plan, tasks: Mapping[str, str | None]) -> Path:
    """Return the folder of the probing baselines.

    Raises
    ------
    InputError
        If they are missing or were made with other settings.
    """
    finding = examine_baselines(plan, tasks)
    if finding.wrong:
        raise InputError(_refusal(finding.path.parent, finding.wrong))
    return finding.path.parent


def _refusal(folder: Path, wrong: Disagreement) -> str:
    if not wrong.path.is_relative_to(folder):
        return f"{wrong.path}: {wrong.words}; run again"
    return f"{wrong.path}: {wrong.words}; delete {folder} and run again"


def _log(plan: Plan, room: str, l0: str, seed: int) -> Path:
    """Return the log of the last job that was to make a result, or where there would be one."""
    stage = next(stage for stage in OF_POINT if stage.room == room)
    logs = Path(plan.results) / "logs" / stage.made_by / f"seed_{seed}"
    its = [p for p in logs.glob("l0_*.log") if l0 in split_labels(p.stem.removeprefix("l0_"))]
    return max(its, key=lambda path: path.stat().st_mtime, default=logs / f"l0_{l0}.log")


def _reason(folder: Path, wrong: Disagreement, log: Path) -> str:
    """Return why a point is missing: the failure it left behind, else what is wrong with it."""
    failure = folder / "failure.json"
    if failure.exists():
        return str(read_manifest(failure).get("reason", "failed without a reason"))
    if (folder / "manifest.json").exists():
        return _refusal(folder, wrong)
    if not log.exists():
        return "not run"
    lines = log.read_text(errors="replace").splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return errors[-1] if errors else f"not made; see {log}"
