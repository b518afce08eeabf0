"""The settings of a synthetic world: which features there are, when and how strongly they fire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import BeforeValidator, Field, model_validator

from correct_l0.settings.base import Count, PositiveFloat, Section, Seed
from correct_l0.sources.synthetic.correlations import check_pairs
from correct_l0.sources.synthetic.hierarchy import Tree, compensated, grow, size_of

MAX_DENSE_FEATURES = 4096
"""Most features with a whole correlation matrix: of more it does not fit into memory and time."""

Probability = Annotated[float, Field(ge=1e-6, lt=1, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Pair = tuple[
    Annotated[int, Field(ge=0)],
    Annotated[int, Field(ge=0)],
    Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)],
]


def check_kind(section: Section, key: str, fields: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse settings that the chosen kind does not have, and those that it lacks.

    Parameters
    ----------
    section
        The section, with the kind under `key`.
    key
        Name of the field that says the kind.
    fields
        The fields of each kind. Every field is optional by itself.

    Raises
    ------
    ValueError
        Naming the field, the kind and the remedy.
    """
    kind = getattr(section, key)
    values = section.model_dump()
    for name in dict.fromkeys(name for names in fields.values() for name in names):
        default = type(section).model_fields[name].default
        if name not in fields[kind] and values[name] != default:
            takes = f"it takes {', '.join(fields[kind])}" if fields[kind] else "it takes nothing"
            raise ValueError(f"{name} does not belong to {key} {kind} ({takes}); remove it")
        if name in fields[kind] and values[name] is None:
            raise ValueError(f"{key} {kind} needs {name}; add it")


class Firing(Section):
    """How often each feature fires. A word or a list stands for its law."""

    law: Literal["code", "text", "zipf", "linear", "constant", "listed"] = "code"
    """`code`: from 0.388 falling linearly to 0.05, as in the paper's code; the sum over 50
    features, the true L0, is 10.9525. `text`: from 0.345 to 0.05, as in its text; their sum is
    9.875. `zipf`: rank^-exponent, stretched to run from `p_max` to `p_min`. `linear`: from `p_max`
    to `p_min`. `constant`: `p` for each. `listed`: a list of one probability for each feature,
    which may also stand in the place of this section."""

    exponent: PositiveFloat | None = None
    """Exponent of `zipf`."""

    p_max: Probability | None = None
    """Probability of the first feature, of `zipf` and `linear`."""

    p_min: Probability | None = None
    """Probability of the last feature, of `zipf` and `linear`."""

    p: Probability | None = None
    """Probability of each feature, of `constant`."""

    listed: Annotated[tuple[Probability, ...], Field(min_length=2)] | None = None
    """Probabilities of `listed`."""

    @model_validator(mode="after")
    def _check_law(self) -> Firing:
        steps = ("p_max", "p_min")
        fields: dict[str, tuple[str, ...]] = {"zipf": ("exponent", *steps), "linear": steps}
        fields |= {"constant": ("p",), "listed": ("listed",), "code": (), "text": ()}
        check_kind(self, "law", fields)
        if self.p_max is not None and self.p_min is not None and self.p_max < self.p_min:
            raise ValueError(f"p_max {self.p_max:g} is below p_min {self.p_min:g}; swap them")
        return self

    def probabilities(self, features: int) -> Float[np.ndarray, " features"]:
        """Return the firing probability of each feature.

        References
        ----------
        `zipf` and `linear` are those of `sae_lens.synthetic`.

        Examples
        --------
        >>> float(Firing(law="code").probabilities(50).sum().round(3))
        10.953
        >>> float(Firing(law="text").probabilities(50).sum().round(3))
        9.875
        >>> Firing(law="zipf", exponent=1.0, p_max=0.5, p_min=0.1).probabilities(3).tolist()
        [0.5, 0.2, 0.1]
        """
        ranks = np.arange(features)
        if self.law == "code":
            return 0.345 * (features - 1 - ranks) / features + 0.05
        if self.law == "text":
            return 0.345 + (0.05 - 0.345) * ranks / (features - 1)
        if self.listed is not None:
            return np.array(self.listed)
        if self.p is not None:
            return np.full(features, self.p)
        assert self.p_max is not None and self.p_min is not None
        height = 1 - ranks / (features - 1)
        if self.exponent is not None:
            power = (ranks + 1.0) ** -self.exponent
            height = (power - power[-1]) / (power[0] - power[-1])
        return self.p_min + (self.p_max - self.p_min) * height


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


class MagnitudeLaw(Section):
    """A value of each feature. A number stands for the same value of all."""

    law: Literal["constant", "linear", "exponential", "folded_normal"] = "constant"
    """`constant`: `value`. `linear`, `exponential`: from `first` to `last` in equal steps or equal
    ratios. `folded_normal`: the absolute value of a normal variable, drawn for each feature."""

    value: NotNegative | None = None
    """Value of `constant`."""

    first: PositiveFloat | None = None
    """Value of the first feature, of `linear` and `exponential`."""

    last: PositiveFloat | None = None
    """Value of the last feature, of `linear` and `exponential`."""

    mean: NotNegative | None = None
    """Mean of the normal variable of `folded_normal`."""

    std: PositiveFloat | None = None
    """Standard deviation of the normal variable of `folded_normal`."""

    @model_validator(mode="after")
    def _check_law(self) -> MagnitudeLaw:
        ends, normal = ("first", "last"), ("mean", "std")
        fields = {"constant": ("value",), "linear": ends, "exponential": ends}
        check_kind(self, "law", {**fields, "folded_normal": normal})
        return self

    def values(
        self, features: int, generator: np.random.Generator
    ) -> Float[np.ndarray, " features"]:
        """Return the value of each feature; only `folded_normal` draws.

        Examples
        --------
        >>> law = MagnitudeLaw(law="exponential", first=1.0, last=4.0)
        >>> law.values(3, np.random.default_rng(0)).round(6).tolist()
        [1.0, 2.0, 4.0]
        """
        if self.value is not None:
            return np.full(features, self.value)
        if self.mean is not None and self.std is not None:
            return np.abs(self.mean + self.std * generator.standard_normal(features))
        assert self.first is not None and self.last is not None
        share = np.arange(features) / (features - 1)
        if self.law == "linear":
            return self.first + (self.last - self.first) * share
        return self.first * (self.last / self.first) ** share


def _as_law(value: Any) -> Any:
    """Let a number stand for the same value of all features."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {"law": "constant", "value": value} if number else value


def _as_firing(value: Any) -> Any:
    """Let a word stand for its law, and a list for `listed`."""
    if isinstance(value, str):
        return {"law": value}
    return {"law": "listed", "listed": value} if isinstance(value, (list, tuple)) else value


PerFeature = Annotated[
    MagnitudeLaw, BeforeValidator(_as_law, json_schema_input_type=float | MagnitudeLaw)
]
FiringLaw = Annotated[
    Firing,
    BeforeValidator(
        _as_firing, json_schema_input_type=Literal["code", "text"] | list[float] | Firing
    ),
]


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


class Synthetic(Section):
    """A synthetic world: each sample is a bias and the sum of the features that fire.

    As it stands by default it is the paper's toy model.
    """

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
        own = compensated(wanted, tree)
        highest = int(own.argmax())
        if own[highest] >= 1:
            raise ValueError(
                f"hierarchy: feature {highest} would have to fire with probability "
                f"{own[highest]:.3g} under its parent, it must stay below 1; lower branching, "
                "exclusive or the children's firing, or set compensated: false"
            )
        return own
