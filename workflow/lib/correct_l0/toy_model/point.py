"""The points of the sweep: trained in parts, several on one stream of samples, saved one by one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import check_manifest, write_manifest
from correct_l0.saes.saved import SavedSae, write_saved_sae
from correct_l0.saes.training.checkpoint import Checkpoints, Interruption
from correct_l0.settings.base import format_l0
from correct_l0.settings.canonical import canonical
from correct_l0.toy_model import RECIPE, SAE_STAGE
from correct_l0.toy_model.experiment_settings import ToyTraining
from correct_l0.toy_model.features import Features, build_features
from correct_l0.toy_model.generator import Stream
from correct_l0.toy_model.group import train_group
from correct_l0.toy_model.measure import CALIBRATION_SAMPLES, inference_sae
from correct_l0.toy_model.sae import ToySae, random_weights
from correct_l0.toy_model.schedules import Fixed
from correct_l0.toy_model.settings import ToyModel
from correct_l0.toy_model.step import Workspace


@dataclass(frozen=True)
class PointSettings:
    """What the SAEs of a sweep have in common."""

    toy_model: ToyModel
    d_sae: int
    training: ToyTraining

    @classmethod
    def parse(cls, text: str) -> PointSettings:
        """Return the settings from their canonical JSON string (`ToyPlan.settings_saes`)."""
        values = json.loads(text)
        return cls(
            ToyModel.model_validate(values["toy_model"]),
            int(values["d_sae"]),
            ToyTraining.model_validate(values["training"]),
        )


def point_parameters(settings_json: str, l0: float) -> str:
    """Return the settings string of one point: those of the sweep, and its L0."""
    return canonical({**json.loads(settings_json), "l0": l0})


def train_part(
    settings_json: str, l0: Sequence[float], seed: int, folder: Path | str, checkpoint_s: float
) -> list[Path]:
    """Train the points of one part that are not there yet; return the manifests of all.

    Points that are there with the same settings stay: adding an L0 trains that one alone.

    Parameters
    ----------
    settings_json
        Canonical settings of the sweep.
    l0
        Target L0 of each point.
    seed
        Seed of the initialisation and of the samples.
    folder
        Folder of the sweep; a point's is `l0_<l0>/seed_<seed>` below it.
    checkpoint_s
        Seconds between checkpoints.

    Raises
    ------
    InputError
        If a training diverges.
    SystemExit
        If a signal asked to stop; the state is saved first.
    """
    folder = Path(folder)
    manifests = [folder / f"l0_{format_l0(x)}" / f"seed_{seed}" / "manifest.json" for x in l0]
    missing = [
        (x, path)
        for x, path in zip(l0, manifests, strict=True)
        if not _is_there(path, point_parameters(settings_json, x))
    ]
    if missing:
        _train(settings_json, missing, seed, folder, checkpoint_s)
    return manifests


def check_point(path: Path | str, parameters: str) -> dict[str, Any]:
    """Return a point's manifest after holding it against the settings and its files.

    Raises
    ------
    InputError
        Naming the first disagreement.
    """
    return check_manifest(path, stage=SAE_STAGE, recipe=RECIPE, parameters=parameters, inputs={})


def _is_there(path: Path, parameters: str) -> bool:
    if not path.exists():
        return False
    try:
        check_point(path, parameters)
    except InputError as error:
        print(f"trained again: {error}")
        return False
    return True


def _train(
    settings_json: str,
    points: Sequence[tuple[float, Path]],
    seed: int,
    folder: Path,
    checkpoint_s: float,
) -> None:
    settings = PointSettings.parse(settings_json)
    features = build_features(settings.toy_model)
    training, d_sae = settings.training, settings.d_sae
    labels = [format_l0(l0) for l0, _ in points]
    members = [
        ToySae(
            random_weights(features.d_in, d_sae, seed), training.lr, Fixed(l0),
            f"l0 {format_l0(l0)}, seed {seed}",
        )
        for l0, _ in points
    ]  # fmt: skip
    work = Workspace(training.batch_size, features.d_in, d_sae)
    identity = {"recipe": RECIPE, "settings": settings_json, "l0": labels, "seed": seed}
    checkpoints = Checkpoints(
        folder / "checkpoints" / f"seed_{seed}_l0_{labels[0]}_to_{labels[-1]}", identity
    )
    stream = Stream(features, seed, training.batch_size)
    with Interruption(checkpoint_s) as interruption:
        wait_s = train_group(
            members, stream, training.steps, checkpoints, interruption,
            lambda member, batch, step: member.step(batch, step, work),
        )  # fmt: skip
    calibration = Stream(features, 0, CALIBRATION_SAMPLES, "measure").batch(0)
    for (l0, path), member in zip(points, members, strict=True):
        sae = inference_sae(member.weights, l0, calibration)
        outputs = save_sae(path.parent, sae, features, seed)
        np.save(path.parent / "decoder_norms.npy", member.weights.W_dec.norm(dim=1).numpy())
        write_manifest(
            path,
            stage=SAE_STAGE,
            recipe=RECIPE,
            parameters=point_parameters(settings_json, l0),
            inputs={},
            outputs=[*outputs, path.parent / "decoder_norms.npy"],
            l0=l0,
            seed=seed,
            steps=training.steps,
            samples=training.steps * training.batch_size,
            batch_size=training.batch_size,
            wall_s=round(member.wall_s + wait_s / len(members), 3),
            trained_together=len(members),
            device="cpu",
        )
        ms = 1000 * member.wall_s / training.steps
        print(f"l0 {format_l0(l0)}, seed {seed}: {training.steps} steps, {ms:.2f} ms each")
    checkpoints.clear()


def save_sae(folder: Path, sae: SavedSae, features: Features, seed: int) -> list[Path]:
    """Write an inference SAE as SAELens does, so that SAELens can read it; return the files."""
    metadata = {"toy_model_features": features.count, "seed": seed}
    return write_saved_sae(folder / "sae", sae, metadata)
