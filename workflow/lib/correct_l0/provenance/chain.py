"""Holding a study's manifests against the configuration and against each other.

Gathering and `stale` judge by the same findings. Nothing heavy is imported here, because the
workflow asks for them whenever its jobs are worked out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from correct_l0 import saes
from correct_l0.errors import InputError
from correct_l0.metrics import decoder as decoder_metrics
from correct_l0.metrics import probing
from correct_l0.provenance.differences import describe_difference
from correct_l0.provenance.findings import Finding, examine
from correct_l0.provenance.manifest import Disagreement, digest_of, digest_of_content, read_manifest
from correct_l0.sources.sae_probes import resolve_tasks
from correct_l0.study.groups import split_labels
from correct_l0.study.plan import Plan

ROOMS = ("saes", "decoder_metrics", "probing")
BASELINES = "probing baselines"

STAGES = {
    "saes": ("train_sae", saes.RECIPE),
    "decoder_metrics": ("project_decoder", decoder_metrics.RECIPE),
    "probing": ("probe_sae", probing.RECIPE),
    BASELINES: ("probe_baselines", probing.RECIPE),
}
"""Stage and recipe of each room's manifests."""


@dataclass(frozen=True)
class Gap:
    """A point that a room lacks, and why."""

    l0: str
    seed: int
    room: str
    reason: str


@dataclass(frozen=True)
class PointFiles:
    """Folders and manifests of one point, by room; a room without an entry is a gap."""

    l0: str
    seed: int
    folders: dict[str, Path]
    manifests: dict[str, dict[str, Any]]


def check_activations(plan: Plan) -> str:
    """Return the digest of the activation cache that the configuration names.

    Raises
    ------
    InputError
        If it is not sealed or was made with other settings.
    """
    path = Path(plan.cache_folder) / "manifest.json"
    found, wanted = str(read_manifest(path).get("parameters")), plan.settings_activations()
    if found != wanted:
        raise InputError(
            f"{path}: made with other settings ({describe_difference(found, wanted)}); "
            "name another cache or change the settings back"
        )
    return digest_of(path)


def task_manifests(plan: Plan) -> dict[str, Path]:
    """Return the manifest of each task's activations."""
    folder = Path(plan.cache_folder) / "probing" / "tasks"
    return {task: folder / f"{task}.json" for task in resolve_tasks(plan.study.probing.tasks)}


def task_digests(plan: Plan) -> dict[str, str]:
    """Return the digest of each task's activations, empty where they are missing."""
    return {
        task: digest_of(path) if path.exists() else ""
        for task, path in task_manifests(plan).items()
    }


def examine_point(
    plan: Plan,
    l0: str,
    seed: int,
    activations: str | None,
    tasks: Mapping[str, str | None],
    quick: bool = False,
) -> list[Finding]:
    """Return what is found of one point's chain: SAE, decoder metrics, probing.

    Behind an SAE that does not stand nothing is looked at.

    Parameters
    ----------
    plan
        The study.
    l0, seed
        The point.
    activations
        Digest of the activation cache.
    tasks
        Digest of each task's activations; empty where they are missing, None not to compare.
    quick
        As in `examine`.
    """
    parameters = {
        "saes": lambda: plan.settings_sae(l0),
        "decoder_metrics": plan.settings_decoder_metrics,
        "probing": plan.settings_probing,
    }
    inputs: dict[str, dict[str, str | None]] = {"saes": {"activations": activations}}
    findings: list[Finding] = []
    for room in ROOMS:
        stage, recipe = STAGES[room]
        path = Path(plan.point_folder(room, l0, seed)) / "manifest.json"
        finding = examine(
            room,
            path,
            stage=stage,
            recipe=recipe,
            parameters=parameters[room](),
            inputs=inputs[room],
            l0=l0,
            seed=seed,
            quick=quick,
        )
        findings.append(finding)
        if room == "saes":
            if finding.wrong:
                break
            sae = digest_of_content(finding.manifest or {})
            inputs["decoder_metrics"] = {"sae": sae, "activations": activations}
            inputs["probing"] = {"sae": sae, **_known(tasks)}
        if room == "probing":
            findings[-1] = _with_lost_task(plan, finding, tasks)
    return findings


def examine_baselines(plan: Plan, tasks: Mapping[str, str | None], quick: bool = False) -> Finding:
    """Return what is found of the probing baselines."""
    stage, recipe = STAGES[BASELINES]
    finding = examine(
        BASELINES,
        Path(plan.results) / "probing" / "baselines" / "manifest.json",
        stage=stage,
        recipe=recipe,
        parameters=plan.settings_probing(),
        inputs=_known(tasks),
        quick=quick,
    )
    return _with_lost_task(plan, finding, tasks)


def _known(tasks: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the digests to compare: not those of activations that are missing."""
    return {task: digest or None for task, digest in tasks.items()}


def _with_lost_task(plan: Plan, finding: Finding, tasks: Mapping[str, str | None]) -> Finding:
    """Return a finding that does not stand where activations that it was made from are missing."""
    missing = [path for task, path in task_manifests(plan).items() if tasks.get(task) == ""]
    if finding.wrong or not missing:
        return finding
    return replace(finding, wrong=Disagreement(missing[0], "missing"))


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


def result_key(room: str, l0: str, seed: int) -> str:
    """Return the name of one point's result among the inputs of the tables."""
    return f"{room}/l0_{l0}/seed_{seed}"


def _refusal(folder: Path, wrong: Disagreement) -> str:
    if not wrong.path.is_relative_to(folder):
        return f"{wrong.path}: {wrong.words}; run again"
    return f"{wrong.path}: {wrong.words}; delete {folder} and run again"


def _log(plan: Plan, room: str, l0: str, seed: int) -> Path:
    """Return the log of a point's job; of an SAE without one, that of its last group, if any."""
    logs = Path(plan.results) / "logs"
    own = logs / STAGES[room][0] / f"l0_{l0}" / f"seed_{seed}.log"
    if room != "saes" or own.exists():
        return own
    groups = (logs / "train_points" / f"seed_{seed}").glob("l0_*.log")
    its = [path for path in groups if l0 in split_labels(path.stem.removeprefix("l0_"))]
    return max(its, key=lambda path: path.stat().st_mtime, default=own)


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
