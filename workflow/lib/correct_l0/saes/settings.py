"""What one point of the sweep is: its target L0, its width and its training parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from correct_l0.errors import InputError
from correct_l0.saes import RECIPE
from correct_l0.saes.architectures import (
    DEFAULT,
    Architecture,
    Options,
    declared_with,
    read_architecture,
)
from correct_l0.saes.sweep import Start
from correct_l0.saes.training_settings import Training
from correct_l0.settings.base import format_l0


@dataclass(frozen=True)
class SaeSettings:
    """Settings of one point, without its seed."""

    d_sae: int
    """Number of latents."""
    l0: float | None
    """Target L0: mean active latents per token; None where a coefficient is swept."""
    training: Training
    """Training parameters, the point's overrides applied."""
    architecture: str = DEFAULT
    """Name of the architecture."""
    options: Options = field(default_factory=Options)
    """The architecture's own settings."""
    coefficient: float | None = None
    """Coefficient of the penalty, where it is swept."""
    start: Start | None = None
    """The SAE that the training starts from; None: random weights."""

    @property
    def declared(self) -> Architecture:
        """What the architecture declares."""
        return declared_with(self.architecture, self.options)

    @property
    def recipe(self) -> int:
        """What its numbers are versioned by."""
        return self.training.recipe(self.declared)

    @property
    def lr(self) -> float:
        """Learning rate."""
        return self.training.lr_at(self.d_sae)

    @property
    def label(self) -> str:
        """How messages name the point."""
        if self.l0 is None:
            return f"coefficient {self.coefficient:g}"
        return f"l0 {format_l0(self.l0)}"

    @property
    def steps(self) -> int:
        """Training steps."""
        return self.training.steps

    @property
    def decay_steps(self) -> int:
        """Steps at the end over which the learning rate falls to zero."""
        return self.training.decay_steps


@dataclass(frozen=True)
class PointJob:
    """One SAE to train: where it goes, what it is."""

    folder: Path
    """Folder of the point."""
    settings_json: str
    """Canonical settings (`Plan.settings_sae`, read by `parse_settings`)."""
    seed: int
    """Seed of the initialisation."""


def recipe_of(text: str) -> int:
    """Return the recipe of the SAE of some settings; of an imported one they name no training."""
    return parse_settings(text).recipe if "training" in json.loads(text) else RECIPE


def parse_settings(text: str) -> SaeSettings:
    """Return the settings of one point from their canonical JSON string.

    Raises
    ------
    InputError
        If the architecture is not known, the training holds no step, the schedule does not fit into
        it, or the batch selects no latent at all.

    Examples
    --------
    >>> text = '{"d_sae":8,"l0":2,"training":{"lr":0.1,"training_tokens":10,"batch_tokens":4}}'
    >>> parse_settings(text).steps
    2
    """
    values = json.loads(text)
    training = Training.model_validate(values["training"])
    name, options = read_architecture(values.get("architecture", {}))
    declared, d_sae = declared_with(name, options), int(values["d_sae"])
    swept = float(values[declared.swept])
    start = Start.model_validate(values["start"]) if "start" in values else None
    if declared.swept == "coefficient":
        settings = SaeSettings(d_sae, None, training, name, options, swept, start)
    else:
        settings = SaeSettings(d_sae, swept, training, name, options, start=start)
    wrong = (
        declared.unusable_at(swept, training)
        or options.unusable_with(training, d_sae)
        or training.unusable_at(settings.label, settings.l0, d_sae)
    )
    if wrong:
        raise InputError(wrong)
    return settings
