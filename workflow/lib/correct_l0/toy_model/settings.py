"""The configuration of a toy study: the model that makes the samples, the sweep, the experiments.

A configuration with a `toy_model` section is a toy study. Declared as the language-model study's
options are, and read into the same schema and option table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from correct_l0.errors import InputError
from correct_l0.settings.base import (
    Count,
    Name,
    PositiveFloat,
    Section,
    Seed,
    check_unique,
    format_l0,
)
from correct_l0.settings.errors import describe_errors
from correct_l0.toy_model.correlations import check_pairs
from correct_l0.toy_model.experiment_settings import Experiments, ToyTraining

Probability = Annotated[float, Field(ge=1e-4, lt=1, allow_inf_nan=False)]
Pair = tuple[
    Annotated[int, Field(ge=0)],
    Annotated[int, Field(ge=0)],
    Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)],
]


class Correlation(Section):
    """Correlations between the Gaussians that decide which features fire."""

    sparsity: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Random correlations, as in the paper's code: share of pairs that have none. Half of the
    others are negative."""

    low: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Smallest magnitude, before the matrix is made positive definite."""

    high: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Largest magnitude, before the matrix is made positive definite."""

    seed: Seed = 42
    """Seed of the matrix."""

    pairs: tuple[Pair, ...] | None = None
    """In place of random correlations: triples of two features, counted from 0, and their
    correlation; all others have none."""

    @model_validator(mode="after")
    def _check_range(self) -> Correlation:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}; swap them")
        others = sorted(self.model_fields_set - {"pairs"})
        if self.pairs is not None and others:
            raise ValueError(f"pairs and {', '.join(others)} exclude one another; keep one kind")
        return self


class ToyModel(Section):
    """The model that makes the samples: each is the sum of the features that fire."""

    features: Annotated[int, Field(ge=2)] = 50
    """Number of true features."""

    d_in: Annotated[int, Field(ge=2)] = 100
    """Width of a sample."""

    orthogonal: bool = True
    """Whether the features are orthonormal. If not, they are unit vectors that overlap as little as
    so many can."""

    firing: Literal["code", "text"] | Annotated[tuple[Probability, ...], Field(min_length=2)] = (
        "code"
    )
    """Firing probabilities. `code`: from 0.388 falling linearly to 0.05, as in the paper's code;
    the sum of 50, the true L0, is 10.9525. `text`: from 0.345 to 0.05, as in its text; their sum is
    9.875. Or a list, one for each feature."""

    correlation: Correlation | None = Correlation()
    """Correlation of the features' Gaussians; a feature fires where its Gaussian is above the
    quantile of its probability. `null`: features fire independently."""

    magnitude_mean: PositiveFloat = 1.0
    """Mean magnitude of a feature that fires; below zero it is cut to zero."""

    magnitude_std: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.15
    """Standard deviation of that magnitude."""

    seed: Seed = 0
    """Seed of the features' directions."""

    @model_validator(mode="after")
    def _check_features(self) -> ToyModel:
        if self.orthogonal and self.features > self.d_in:
            raise ValueError(
                f"{self.features} orthonormal features do not fit into d_in {self.d_in}; "
                "lower features, raise d_in or set orthogonal: false"
            )
        if not isinstance(self.firing, str) and len(self.firing) != self.features:
            raise ValueError(
                f"firing lists {len(self.firing)} probabilities for {self.features} features; "
                "give one for each"
            )
        if self.correlation is not None and self.correlation.pairs is not None:
            check_pairs(self.correlation.pairs, self.features)
        return self

    def probabilities(self) -> list[float]:
        """Return the firing probability of each feature.

        Examples
        --------
        >>> round(sum(ToyModel().probabilities()), 3)
        10.953
        >>> round(sum(ToyModel(firing="text").probabilities()), 3)
        9.875
        """
        last = self.features - 1
        if self.firing == "code":
            return [0.345 * (last - i) / self.features + 0.05 for i in range(self.features)]
        if self.firing == "text":
            return [0.345 + (0.05 - 0.345) * i / last for i in range(self.features)]
        return [float(p) for p in self.firing]

    @property
    def true_l0(self) -> float:
        """Expected number of features that fire."""
        return float(np.sum(self.probabilities()))


class ToySaes(Section):
    """The sweep: one BatchTopK SAE per L0 and seed."""

    d_sae: Annotated[int, Field(ge=2)] = 50
    """Number of latents."""

    l0: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
    """Target L0 (mean active latents per sample) of each point; fractions are allowed."""

    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0, 1, 2, 3, 4)
    """Seeds; each L0 is trained once per seed (initialisation and samples)."""

    training: ToyTraining
    """Training parameters."""

    points_per_job: Count = 25
    """SAEs of one seed trained on one stream of samples in one job. No effect on the numbers."""

    checkpoint_min: PositiveFloat = 5.0
    """Minutes between checkpoints. No effect on the numbers."""

    @model_validator(mode="after")
    def _check_points(self) -> ToySaes:
        check_l0(self.l0, self.d_sae)
        check_unique(l0=self.l0, seeds=self.seeds)
        lowest, batch = min(self.l0), self.training.batch_size
        if int(lowest * batch) < 1:
            raise ValueError(
                f"l0 {lowest:g} keeps no activation of a batch of {batch} samples, it must keep "
                "one; raise l0 or batch_size"
            )
        return self


class ToyDecoderMetrics(Section):
    """s_n^dec and c_dec, and all else that is measured on samples no SAE was trained on."""

    n: Annotated[tuple[Count, ...], Field(min_length=1)] = tuple(range(12, 26))
    """The n of s_n^dec."""

    samples: Annotated[int, Field(ge=1000, le=10_000_000)] = 100_000
    """Samples measured on, in one batch held in memory."""


class ToyStudy(Section):
    """A toy study. The file stands alone: nothing is taken from another configuration."""

    study: Name
    """Name of the study: its folder is `results/<study>`."""

    title: str = ""
    """Heading of the report; empty: the study's name."""

    toy_model: ToyModel
    """The model that makes the samples."""

    saes: ToySaes
    """The sweep."""

    decoder_metrics: ToyDecoderMetrics = ToyDecoderMetrics()
    """The decoder metrics."""

    experiments: Experiments = Experiments()
    """What is done besides the sweep; an experiment that is not named is not run."""

    @model_validator(mode="after")
    def _check_across_sections(self) -> ToyStudy:
        if self.study == "activations":
            raise ValueError("study 'activations' would share the caches' folder; rename it")
        check_n("decoder_metrics", self.decoder_metrics.n, self.saes.d_sae)
        check_unique(n=self.decoder_metrics.n)
        for name, values in self.experiments.l0_values().items():
            check_l0(values, self.saes.d_sae, f"experiments.{name}: ")
        automatic = self.experiments.auto_l0
        if automatic is not None:
            check_n("experiments.auto_l0", [automatic.n], self.saes.d_sae)
        superposed = self.experiments.superposition
        if superposed is not None and superposed.d_in >= self.toy_model.features:
            raise ValueError(
                f"experiments.superposition: d_in {superposed.d_in} is not below the "
                f"{self.toy_model.features} features, so nothing is superposed; lower it"
            )
        return self

    def points(self) -> list[tuple[str, int]]:
        """Return every (l0 label, seed) of the sweep, lowest L0 first."""
        return [(format_l0(l0), seed) for l0 in sorted(self.saes.l0) for seed in self.saes.seeds]

    def warnings(self) -> list[str]:
        """Return remarks on settings that run but are probably not meant."""
        return []


def check_l0(values: Iterable[float], d_sae: int, where: str = "") -> None:
    """Refuse a target L0 above the number of latents.

    Raises
    ------
    ValueError
        Naming the value, the limit and the remedy.
    """
    for l0 in values:
        if l0 > d_sae:
            raise ValueError(f"{where}l0 {l0:g} is above d_sae {d_sae}; lower it or widen the SAE")


def check_n(where: str, ranks: Sequence[int], d_sae: int) -> None:
    """Refuse an n of s_n^dec that a sample has no projection for.

    Raises
    ------
    ValueError
        Naming the value, the limit and the remedy.
    """
    for n in ranks:
        if n >= d_sae:
            raise ValueError(
                f"{where}: n {n} is not below d_sae {d_sae}: a sample has only that many "
                "projections; lower it"
            )


def parse_toy_study(raw: Mapping[str, Any]) -> ToyStudy:
    """Return the checked configuration of a toy study.

    Raises
    ------
    InputError
        One line per wrong value, each with the value, the limit and the remedy.
    """
    try:
        return ToyStudy.model_validate(raw)
    except ValidationError as error:
        raise InputError(describe_errors(ToyStudy, error)) from None
