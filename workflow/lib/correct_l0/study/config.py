"""A study's configuration: its sections together, what they imply, and their canonical form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError, model_validator

from correct_l0.errors import InputError
from correct_l0.metrics.decoder.settings import DecoderMetrics
from correct_l0.metrics.probing.settings import Probing
from correct_l0.saes.sections import Saes, Training
from correct_l0.settings.base import Name, Section, format_l0
from correct_l0.settings.errors import describe_errors
from correct_l0.sources.language_model.settings import Activations
from correct_l0.sources.synthetic.settings import Synthetic


class Config(Section):
    """A study. The file stands alone: nothing is taken from another configuration."""

    kept = True

    study: Name
    """Name of the study: its folder is `results/<study>`."""

    title: str = ""
    """Heading of the report; empty: the study's name."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models and SAEs run."""

    activations: Activations | None = None
    """The source: the activations of a language model, cached. Or `synthetic`."""

    synthetic: Synthetic | None = None
    """The source: a synthetic world, whose true features are known. Or `activations`."""

    saes: Saes
    """The SAEs."""

    decoder_metrics: DecoderMetrics = DecoderMetrics()
    """The decoder metrics."""

    probing: Probing = Probing()
    """Sparse probing."""

    @model_validator(mode="after")
    def _check_across_sections(self) -> Config:
        if self.study == "activations":
            raise ValueError("study 'activations' would share the caches' folder; rename it")
        if (self.activations is None) == (self.synthetic is None):
            found = "neither" if self.activations is None else "both"
            raise ValueError(
                f"{found} of activations and synthetic is set; a study has one source, name one"
            )
        if self.synthetic is not None and self.probing.tasks not in ("none", ()):
            raise ValueError(
                "probing.tasks: a synthetic world has no prompts to probe on; remove it"
            )
        smallest = self.source.held_out_tokens
        if self.activations is not None:
            smallest = min(smallest, self.activations.training_tokens)
        for label, batch in (
            *((f"l0 {format_l0(x)}", self.training(x).batch_tokens) for x in self.saes.l0),
            ("decoder_metrics", self.decoder_metrics.batch_tokens),
        ):
            if batch > smallest:
                raise ValueError(
                    f"batch_tokens {batch} ({label}) is above the {smallest} tokens of the "
                    "source's training or held-out part; make more of them or the batch smaller"
                )
        for n in self.decoder_metrics.n:
            if n > 1 and n != int(n):
                raise ValueError(f"n {n:g} is neither whole nor a fraction below 1; round it")
        for n in self.n_values():
            if n >= self.saes.d_sae:
                raise ValueError(
                    f"n {n} is not below d_sae {self.saes.d_sae}: a token has only that many "
                    "projections; lower it"
                )
        ranks = self.n_values()
        for n in dict.fromkeys(n for n in ranks if ranks.count(n) > 1):
            raise ValueError(f"n {n} is listed more than once (after fractions of d_sae); keep one")
        for k in self.probing.probe_k:
            if k > self.saes.d_sae:
                raise ValueError(f"probe_k {k} is above d_sae {self.saes.d_sae}; lower it")
        for name, values in (("probe_k", self.probing.probe_k), ("tasks", self.probing.tasks)):
            if not isinstance(values, str) and len(set(values)) < len(values):
                raise ValueError(f"{name} lists a value more than once; keep one of each")
        for l0 in self.decoder_metrics.histogram_l0:
            if l0 not in self.saes.l0:
                raise ValueError(f"histogram_l0 {l0:g} is not in saes.l0; add it there")
        return self

    @property
    def source(self) -> Activations | Synthetic:
        """The settings of the source; both kinds have `d_in` and `held_out_tokens`."""
        source = self.activations or self.synthetic
        assert source is not None, "checked when the configuration is read"
        return source

    @property
    def language_model(self) -> Activations:
        """The settings of the activation cache, of a study whose source is a language model."""
        assert self.activations is not None, "asked only where the source is a language model"
        return self.activations

    def training(self, l0: float) -> Training:
        """Return the training parameters of one L0 point, overrides applied."""
        return self.saes.training_of(l0)

    def n_values(self) -> list[int]:
        """Return the ranks n of s_n^dec as whole numbers, in the order configured."""
        d_sae = self.saes.d_sae
        return [
            max(1, math.floor(n * d_sae + 0.5)) if n < 1 else int(n) for n in self.decoder_metrics.n
        ]

    def points(self) -> list[tuple[str, int]]:
        """Return every (l0 label, seed) of the sweep, lowest L0 first."""
        return [(format_l0(l0), seed) for l0 in sorted(self.saes.l0) for seed in self.saes.seeds]

    def warnings(self) -> list[str]:
        """Return remarks on settings that run but are probably not meant."""
        low = [n for n in self.n_values() if n < 1.2 * max(self.saes.l0)]
        if not low:
            return []
        return [
            f"n {', '.join(map(str, low))} of s_n^dec not well above the largest L0 "
            f"({max(self.saes.l0):g}): a curve that names an L0 not below its n is not counted"
        ]


def parse_config(raw: Mapping[str, Any]) -> Config:
    """Return the checked configuration.

    Raises
    ------
    InputError
        One line per wrong value, each with the value, the limit and the remedy.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise InputError(describe_errors(Config, error)) from None
