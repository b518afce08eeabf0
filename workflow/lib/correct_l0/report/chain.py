"""Holding every point's manifests against the configuration and against each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from correct_l0 import decoder_metrics, probing, saes
from correct_l0.errors import InputError
from correct_l0.manifest import check_manifest, describe_difference, digest_of, read_manifest
from correct_l0.plan import Plan
from correct_l0.probing.tasks import resolve_tasks

ROOMS = ("saes", "decoder_metrics", "probing")


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


def task_digests(plan: Plan) -> dict[str, str]:
    """Return the digest of each task's activations, empty where they are missing."""
    paths = {
        task: Path(plan.cache_folder) / "probing" / "tasks" / f"{task}.json"
        for task in resolve_tasks(plan.study.probing.tasks)
    }
    return {task: digest_of(path) if path.exists() else "" for task, path in paths.items()}


def check_point(
    plan: Plan, l0: str, seed: int, activations: str, tasks: dict[str, str]
) -> tuple[PointFiles, list[Gap]]:
    """Check one point's chain: cache, SAE, decoder metrics, probing.

    Parameters
    ----------
    plan
        The study.
    l0, seed
        The point.
    activations
        Digest of the activation cache.
    tasks
        Digest of each task's activations.

    Returns
    -------
    PointFiles
        What stands.
    list of Gap
        Why the rest does not. Behind a missing SAE, only the SAE is named.
    """
    point = PointFiles(l0, seed, {}, {})
    gaps: list[Gap] = []
    needed = {"saes": {"activations": activations}}
    for room in ROOMS:
        folder = Path(plan.point_folder(room, l0, seed))
        try:
            manifest = _check_room(plan, room, l0, seed, folder, needed[room])
        except InputError as error:
            gaps.append(Gap(l0, seed, room, _reason(folder, str(error))))
            if room == "saes":
                break
            continue
        point.folders[room] = folder
        point.manifests[room] = manifest
        if room == "saes":
            sae = digest_of(folder / "manifest.json")
            needed["decoder_metrics"] = {"sae": sae, "activations": activations}
            needed["probing"] = {"sae": sae, **tasks}
    return point, gaps


def check_baselines(plan: Plan, tasks: dict[str, str]) -> Path:
    """Return the folder of the probing baselines.

    Raises
    ------
    InputError
        If they are missing or were made with other settings.
    """
    folder = Path(plan.results) / "probing" / "baselines"
    check_manifest(
        folder / "manifest.json",
        stage="probe_baselines",
        recipe=probing.RECIPE,
        parameters=plan.settings_probing(),
        inputs=tasks,
    )
    return folder


def _check_room(
    plan: Plan, room: str, l0: str, seed: int, folder: Path, needed: dict[str, str]
) -> dict[str, Any]:
    stage, recipe, parameters = {
        "saes": ("train_sae", saes.RECIPE, plan.settings_sae(l0)),
        "decoder_metrics": (
            "project_decoder",
            decoder_metrics.RECIPE,
            plan.settings_decoder_metrics(),
        ),
        "probing": ("probe_sae", probing.RECIPE, plan.settings_probing()),
    }[room]
    path = folder / "manifest.json"
    manifest = check_manifest(
        path,
        stage=stage,
        recipe=recipe,
        parameters=parameters,
        inputs=needed,
        # They can be gigabytes, and were checked by the jobs that read them.
        without_checksum={"sae/sae_weights.safetensors"},
    )
    for fact, value in (("seed", seed), ("l0", float(l0))):
        if manifest.get(fact, value) != value:
            raise InputError(
                f"{path}: {fact} is {manifest[fact]}, not {value}; delete {folder} and run again"
            )
    return manifest


def _reason(folder: Path, error: str) -> str:
    """Return why a point is missing: the failure it left behind, else what is wrong with it."""
    failure = folder / "failure.json"
    if failure.exists():
        return str(read_manifest(failure).get("reason", "failed without a reason"))
    if not (folder / "manifest.json").exists():
        return "not made; see its log" if folder.exists() else "not run"
    return error
