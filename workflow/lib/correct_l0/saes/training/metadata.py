"""What a saved SAE says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from correct_l0 import __version__
from correct_l0.provenance.manifest import package_version
from correct_l0.saes.settings import SaeSettings


def training_metadata(architecture: str, details: Mapping[str, Any]) -> dict[str, Any]:
    """Return what SAELens notes in a saved SAE about its training.

    Parameters
    ----------
    architecture
        Its name.
    details
        What the trainer says of it.
    """
    version = package_version("sae-lens")
    return {
        "sae_lens_version": version,
        "sae_lens_training_version": version,
        "training_architecture": architecture,
        "training_architecture_details": details,
    }


def measured_metadata(settings: SaeSettings, seed: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a saved SAE tells of how it came out, wherever it travels.

    Rounded, so that the same weights make the same file on every machine.

    Parameters
    ----------
    settings, seed
        Of the point.
    facts
        As measured on held-out tokens.
    """
    return {
        "correct_l0_version": __version__,
        "dead_latents": facts["dead_latents"],
        "fvu": float(f"{facts['fvu']:.3g}"),
        "l0_measured": float(f"{facts['l0_measured']:.3g}"),
        "seed": seed,
        "training_tokens": settings.steps * settings.training.batch_tokens,
    }
