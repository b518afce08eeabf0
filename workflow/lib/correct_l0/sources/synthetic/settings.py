"""The settings of a synthetic world: which features there are, when and how strongly they fire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from correct_l0.settings.base import Count, PositiveFloat, Section, Seed
from correct_l0.sources.settings import Outlying, SourceSection
from correct_l0.sources.synthetic import STAGE
from correct_l0.sources.synthetic.laws import (
    Firing,
    FiringLaw,
    MagnitudeLaw,
    NotNegative,
    PerFeature,
    check_kind,
)

if TYPE_CHECKING:
    # Slow to import, and this is imported whenever Snakemake parses the workflow.
    import numpy as np
    from jaxtyping import Float

    from correct_l0.sources.synthetic.hierarchy import Tree

MAX_DENSE_FEATURES = 4096
"""Most features with a whole correlation matrix: of more it does not fit into memory and time."""

Pair = tuple[
    Annotated[int, Field(ge=0)],
    Annotated[int, Field(ge=0)],
    Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)],
]


class Correlation(Section):
    """Correlations between the Gaussians that decide which features fire."""

    kind: Literal["random", "pairs", "low_rank"] = "random"
    """`random`: as in the paper's code, most pairs have one; the matrix is made positive definite.
    `pairs`: those of `pairs`, all others have none. `low_rank`: of a few common causes, for any
    number of features, as in SynthSAEBench."""

    sparsity: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Random correlations: share of pairs that have none. Half of the others are negative."""

    low: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Random correlations: smallest magnitude, before the matrix is made positive definite."""

    high: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Random correlations: largest magnitude, before the matrix is made positive definite."""

    pairs: tuple[Pair, ...] | None = None
    """Triples of two features, counted from 0, and the correlation of the two."""

    rank: Count | None = None
    """Number of common causes of `low_rank`."""

    scale: PositiveFloat | None = None
    """Standard deviation of a feature's weight on each common cause. Two features have a
    correlation of about scale^2 sqrt(rank), of either sign."""

    seed: Seed = 42
    """Seed of random and of low-rank correlations."""

    @model_validator(mode="after")
    def _check_kind(self) -> Correlation:
        check_kind(
            self,
            "kind",
            {
                "random": ("sparsity", "low", "high", "seed"),
                "pairs": ("pairs",),
                "low_rank": ("rank", "scale", "seed"),
            },
        )
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}; swap them")
        if self.rank is not None and self.scale is not None and self.rank * self.scale**2 >= 1:
            raise ValueError(
                f"rank {self.rank} times scale {self.scale:g} squared is "
                f"{self.rank * self.scale**2:.3g}, it must stay below 1, a Gaussian's own "
                "variance; lower one of them"
            )
        return self


class Hierarchy(Section):
    """Trees of features: a child can fire only where its parent does.

    The features are numbered from the roots down, level by level, so that with falling firing
    probabilities a parent fires more often than its children. Features beyond the last level stand
    alone.
    """

    roots: Count
    """Number of trees."""

    branching: Annotated[int, Field(ge=1)]
    """Children of each feature above the last level."""

    depth: Count
    """Levels below the roots."""

    scaled: bool = False
    """Whether a child's magnitude is multiplied by that of its parent relative to its mean."""

    exclusive: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of parents, drawn at random, of whose children one at most fires; where several would,
    one is drawn."""

    compensated: bool = False
    """Whether children are made to fire more often under their parents, as in SAELens: `firing` is
    then about each feature's probability altogether, less what exclusive siblings take from each
    other. If not, `firing` is a child's probability where its parent fires."""


class Magnitude(Section):
    """How strongly a feature fires: a normal variable, cut to zero below zero."""

    mean: PerFeature = MagnitudeLaw(value=1.0)
    """Mean of each feature: a number, or a law over the features."""

    std: PerFeature = MagnitudeLaw(value=0.15)
    """Standard deviation of each feature: a number, or a law over the features."""

    @model_validator(mode="after")
    def _check_mean(self) -> Magnitude:
        if self.mean.value == 0:
            raise ValueError("mean 0: a feature that fires must have a magnitude; raise it")
        return self


class Sinks(Section):
    """Samples that are one common vector of massive norm, as at a model's attention sinks."""

    share: Annotated[float, Field(gt=0, lt=0.5)]
    """Share of the samples that are this vector."""

    norm: Annotated[float, Field(gt=1, allow_inf_nan=False)]
    """Its norm, in mean norms of the other samples."""


class Synthetic(SourceSection):
    """A synthetic world: each sample is a bias and the sum of the features that fire.

    As it stands by default it is the paper's toy model.
    """

    kind = "synthetic"
    stage = STAGE
    truth_is_known = True

    features: Annotated[int, Field(ge=2, le=2**20)] = 50
    """Number of true features."""

    d_in: Annotated[int, Field(ge=2)] = 100
    """Width of a sample."""

    directions: Literal["orthonormal", "spread", "random"] = "orthonormal"
    """Unit vectors: `orthonormal`; `spread`, which overlap as little as so many can; or `random`,
    as they are drawn."""

    firing: FiringLaw = Firing()
    """How often each feature fires: `code`, `text`, a list, or a section."""

    correlation: Correlation | None = Correlation()
    """Correlation of the features' Gaussians; a feature fires where its Gaussian is above the
    quantile of its probability. `null`: features fire independently."""

    hierarchy: Hierarchy | None = None
    """Which features can fire only where others do."""

    magnitude: Magnitude = Magnitude()
    """How strongly a feature fires."""

    bias: NotNegative = 0.0
    """Norm of a constant vector, of random direction, that is part of every sample."""

    sinks: Sinks | None = None
    """Samples of massive norm in which no feature fires: whether the answer stands them."""

    outlying: Outlying = Outlying()
    """Rows of massive norm."""

    held_out_tokens: Annotated[int, Field(ge=1000, le=10_000_000)] = 100_000
    """Samples that the SAEs are calibrated and measured on, and never trained on. Training itself
    never sees a sample twice."""

    seed: Seed = 0
    """Seed of the directions, of the bias and of what is drawn for each feature."""

    @model_validator(mode="after")
    def _check_features(self) -> Synthetic:
        if self.directions == "orthonormal" and self.features > self.d_in:
            raise ValueError(
                f"{self.features} orthonormal features do not fit into d_in {self.d_in}; "
                "lower features, raise d_in or set directions: spread"
            )
        listed = self.firing.listed
        if listed is not None and len(listed) != self.features:
            raise ValueError(
                f"firing lists {len(listed)} probabilities for {self.features} features; "
                "give one for each"
            )
        self._check_correlation()
        self._check_hierarchy()
        return self

    def _check_correlation(self) -> None:
        correlation = self.correlation
        if correlation is None:
            return
        if correlation.kind != "low_rank" and self.features > MAX_DENSE_FEATURES:
            raise ValueError(
                f"correlation {correlation.kind} of {self.features} features needs a matrix for at "
                f"most {MAX_DENSE_FEATURES}; set kind: low_rank, or correlation: null"
            )
        if correlation.pairs is not None:
            from correct_l0.sources.synthetic.correlations import check_pairs

            check_pairs(correlation.pairs, self.features)
        if correlation.rank is not None and correlation.rank > self.features:
            raise ValueError(
                f"correlation rank {correlation.rank} is above the {self.features} features; "
                "lower it"
            )

    def _check_hierarchy(self) -> None:
        wanted = self.hierarchy
        if wanted is None:
            return
        from correct_l0.sources.synthetic.hierarchy import size_of

        total = size_of(wanted.roots, wanted.branching, wanted.depth)
        if total > self.features:
            raise ValueError(
                f"hierarchy: {wanted.roots} roots, branching {wanted.branching} and depth "
                f"{wanted.depth} take {total} features, there are {self.features}; raise features "
                "or lower one of them"
            )
        self.own_probabilities(self.tree())

    def tree(self) -> Tree | None:
        """Return which feature is below which, if there is a hierarchy."""
        wanted = self.hierarchy
        if wanted is None:
            return None
        from correct_l0.sources.synthetic.hierarchy import grow

        return grow(wanted.roots, wanted.branching, wanted.depth, wanted.exclusive, self.seed)

    def own_probabilities(self, tree: Tree | None) -> Float[np.ndarray, " features"]:
        """Return the probability that each feature fires where its parent, if any, does.

        Before one of exclusive siblings is drawn.

        Raises
        ------
        ValueError
            If compensating for the hierarchy asks for a probability of 1 or more.
        """
        wanted = self.firing.probabilities(self.features)
        if tree is None or self.hierarchy is None or not self.hierarchy.compensated:
            return wanted
        from correct_l0.sources.synthetic.hierarchy import compensated

        own = compensated(wanted, tree)
        highest = int(own.argmax())
        if own[highest] >= 1:
            raise ValueError(
                f"hierarchy: feature {highest} would have to fire with probability "
                f"{own[highest]:.3g} under its parent, it must stay below 1; lower branching, "
                "exclusive or the children's firing, or set compensated: false"
            )
        return own
