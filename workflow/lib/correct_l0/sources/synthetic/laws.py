"""Laws over the features of a synthetic world: how often each fires, and how strongly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from correct_l0.settings.base import PositiveFloat, Section

if TYPE_CHECKING:
    # Slow to import, and this is imported whenever Snakemake parses the workflow.
    import numpy as np
    from jaxtyping import Float

Probability = Annotated[float, Field(ge=1e-6, lt=1, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


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
        >>> float(Firing(law="code").probabilities(50).sum().round(4))
        10.9525
        >>> float(Firing(law="text").probabilities(50).sum().round(3))
        9.875
        >>> zipf = Firing(law="zipf", exponent=1.0, p_max=0.5, p_min=0.1)
        >>> zipf.probabilities(3).round(6).tolist()
        [0.5, 0.2, 0.1]
        """
        import numpy as np

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


class MagnitudeLaw(Section):
    """A value of each feature. A number stands for the same value of all."""

    law: Literal["constant", "linear", "exponential", "folded_normal"] = "constant"
    """`constant`: `value`. `linear`, `exponential`: from `first` to `last` in equal steps or equal
    ratios. `folded_normal`: the absolute value of a normal variable, drawn for each feature."""

    value: NotNegative | None = None
    """Value of `constant`; a number in the place of the section means the same."""

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
        >>> import numpy as np
        >>> law.values(3, np.random.default_rng(0)).round(6).tolist()
        [1.0, 2.0, 4.0]
        """
        import numpy as np

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
