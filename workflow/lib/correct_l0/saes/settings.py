"""What one point of the sweep is: its target L0, its width and its training parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from correct_l0.errors import InputError
from correct_l0.saes.sections import Training


@dataclass(frozen=True)
class SaeSettings:
    """Settings of one point, without its seed."""

    d_sae: int
    """Number of latents."""
    l0: float
    """Target L0: mean active latents per token."""
    training: Training
    """Training parameters, the point's overrides applied."""

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


def parse_settings(text: str) -> SaeSettings:
    """Return the settings of one point from their canonical JSON string.

    Raises
    ------
    InputError
        If the training holds no step, the schedule does not fit into it, or the batch selects
        no latent at all.

    Examples
    --------
    >>> text = '{"d_sae":8,"l0":2,"training":{"lr":0.1,"training_tokens":10,"batch_tokens":4}}'
    >>> parse_settings(text).steps
    2
    """
    values = json.loads(text)
    training = Training.model_validate(values["training"])
    settings = SaeSettings(int(values["d_sae"]), float(values["l0"]), training)
    if wrong := training.unusable_at(settings.l0, settings.d_sae):
        raise InputError(wrong)
    return settings
