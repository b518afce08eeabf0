"""What the experiments share: settings read, runs trained in groups, rows collected."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from correct_l0.provenance.manifest import replacing
from correct_l0.saes.training.checkpoint import Checkpoints, Interruption
from correct_l0.settings.base import Section
from correct_l0.toy_model import experiment_settings
from correct_l0.toy_model.experiments import RECIPE
from correct_l0.toy_model.features import Features
from correct_l0.toy_model.generator import Stream
from correct_l0.toy_model.group import train_group
from correct_l0.toy_model.sae import ToySae, weights_at
from correct_l0.toy_model.settings import ToyModel
from correct_l0.toy_model.step import Weights, Workspace

SECTIONS: dict[str, type[Section]] = {
    "transitions": experiment_settings.Transitions,
    "small_model": experiment_settings.SmallModel,
    "superposition": experiment_settings.Superposition,
    "jumprelu": experiment_settings.JumpRelu,
    "auto_l0": experiment_settings.AutoL0,
}


@dataclass
class Tables:
    """Rows by table, and whole blocks of columns by table."""

    frames: dict[str, list[pd.DataFrame]] = field(default_factory=dict)

    def add(self, table: str, rows: Any) -> None:
        """Add rows: a list of dictionaries, or a dictionary of columns."""
        self.frames.setdefault(table, []).append(pd.DataFrame(rows))

    def write(self, folder: Path) -> list[Path]:
        """Write one Parquet file per table; return them."""
        paths = []
        for table, frames in self.frames.items():
            with replacing(folder / f"{table}.parquet") as path:
                pd.concat(frames, ignore_index=True).to_parquet(path, index=False)
            paths.append(folder / f"{table}.parquet")
        return paths


@dataclass(frozen=True)
class Experiment:
    """One experiment with one seed.

    Attributes
    ----------
    settings_json
        Canonical settings (`ToyPlan.settings_experiment`).
    seed
        Seed of initialisations and samples.
    folder
        Where checkpoints are kept until the job is done.
    interruption
        When they are written.
    """

    settings_json: str
    seed: int
    folder: Path
    interruption: Interruption

    @property
    def _values(self) -> dict[str, Any]:
        return json.loads(self.settings_json)

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self._values["name"]

    @property
    def section(self) -> Any:
        """The experiment's own settings."""
        return SECTIONS[self.name].model_validate(self._values["experiment"])

    @property
    def toy_model(self) -> ToyModel:
        """The model of the study."""
        return ToyModel.model_validate(self._values["toy_model"])

    @property
    def d_sae(self) -> int:
        """Number of latents in the study."""
        return int(self._values["d_sae"])

    @property
    def samples(self) -> int:
        """Samples measured on."""
        return int(self._values["samples"])

    def train(
        self,
        group: str,
        features: Features,
        members: Sequence[ToySae],
        batch_size: int,
        steps: int,
    ) -> None:
        """Train SAEs of one width on one stream, or go on from their checkpoint.

        Parameters
        ----------
        group
            Name of the checkpoint, unique within the experiment.
        features
            What the samples are made of.
        members
            SAEs; changed in place.
        batch_size, steps
            Of the training.
        """
        work = Workspace(batch_size, *members[0].shape)
        self.train_members(
            group, members, Stream(features, self.seed, batch_size), steps,
            lambda member, batch, step: member.step(batch, step, work),
        )  # fmt: skip

    def train_members(
        self, group: str, members: Sequence[Any], stream: Stream, steps: int, train_step: Any
    ) -> None:
        """Train any members on one stream, or go on from their checkpoint."""
        identity = {"recipe": RECIPE, "settings": self.settings_json, "seed": self.seed}
        checkpoints = Checkpoints(self.checkpoints / group, identity)
        train_group(members, stream, steps, checkpoints, self.interruption, train_step)

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints, those of finished groups included."""
        return self.folder / "checkpoint"


def true_weights(features: Features) -> Weights:
    """Return the weights of the ground-truth SAE."""
    return weights_at(torch.tensor(features.directions, dtype=torch.float32))
