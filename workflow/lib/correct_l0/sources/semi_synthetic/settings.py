"""The settings of a semi-synthetic source: which SAE, which cache, and what of the residual."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from correct_l0.provenance.manifest import read_manifest
from correct_l0.sources.language_model.layout import parse_settings
from correct_l0.sources.language_model.settings import Activations
from correct_l0.sources.semi_synthetic import STAGE
from correct_l0.sources.settings import SourceSection

SAE_FILES = ("cfg.json", "sae_weights.safetensors")
"""What an SAE's folder holds."""

FEWEST_HELD_OUT = 1000
"""Fewest held-out rows on which rates are measured."""


class SemiSynthetic(SourceSection):
    """A language model's activations as an SAE decodes them, so that the truth is known.

    Each sample is a token's activation, encoded and decoded by the SAE: the features are its
    latents, and fire as they do on the model's text.
    """

    kind = "semi_synthetic"
    stage = STAGE
    truth_is_known = True

    sae: str
    """Folder of the SAE, with `cfg.json` and `sae_weights.safetensors`, such as
    `results/<study>/saes/l0_64/seed_0/sae`."""

    activations: str
    """Manifest of the sealed activation cache that it was trained on, such as
    `results/activations/<cache>/manifest.json`."""

    residual: Literal["none", "shuffled"] = "none"
    """What is added of the part that the SAE does not explain: nothing, or that of another
    token."""

    held_out_tokens: Annotated[int, Field(ge=FEWEST_HELD_OUT, le=10_000_000)] = 100_000
    """Held-out rows of the cache that are used. All training rows are, in as many passes as the
    training takes."""

    @property
    def made_from(self) -> list[str]:
        """The files that it is made from which no rule makes: the cache's manifest, the SAE's."""
        return [self.activations, *(f"{self.sae}/{name}" for name in SAE_FILES)]

    @cached_property
    def cache(self) -> Activations:
        """The settings of the cache, by its manifest."""
        return parse_settings(str(read_manifest(self.activations)["parameters"]), "cache")

    @property
    def d_in(self) -> int:
        """Width of a sample, the cache's."""
        return self.cache.d_in

    @cached_property
    def d_sae(self) -> int:
        """Latents of the SAE, by its `cfg.json`; those that never fire are no features."""
        return int(read_manifest(Path(self.sae) / "cfg.json")["d_sae"])
