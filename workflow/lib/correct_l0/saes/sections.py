"""The sweep: which SAEs there are, how one is trained, and what may differ for one L0."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, create_model, field_validator, model_validator
from pydantic.fields import FieldInfo

from correct_l0.errors import InputError
from correct_l0.saes.architectures import (
    DEFAULT,
    Architecture,
    declared_with,
    read_architecture,
)
from correct_l0.saes.search import L0Search
from correct_l0.saes.training_settings import Training
from correct_l0.settings.base import (
    Count,
    PositiveFloat,
    Section,
    Seed,
    check_unique,
    format_l0,
)

__all__ = ["Saes", "TrainingOverride"]


def _optional(field: FieldInfo) -> Any:
    limited: Any = field.annotation
    if field.metadata:
        limited = Annotated[(limited, *field.metadata)]
    return limited | None


TrainingOverride = create_model(
    "TrainingOverride",
    __base__=Section,
    __doc__="Training parameters of one L0 point that differ from the shared ones.",
    **{name: (_optional(field), None) for name, field in Training.model_fields.items()},
)  # type: ignore[call-overload]


L0List = Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
_L0 = Annotated[
    Annotated[L0List, Tag("(list)")] | Annotated[L0Search, Tag("(search)")],
    Discriminator(lambda given: "(search)" if isinstance(given, dict | L0Search) else "(list)"),
]


class Saes(Section):
    """The sweep: one BatchTopK SAE per L0 and seed."""

    kept = True

    architecture: dict[str, Any] = Field({})
    """The architecture: its `name` and its own settings (`saes/architectures/`). Unset:
    `name: batchtopk`."""

    d_sae: Count
    """Number of latents."""

    l0: _L0
    """Target L0 (mean active latents per token) of each point; fractions are allowed. Where the
    architecture sweeps a coefficient instead, the coefficients. Or a search, which chooses them."""

    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    """Seeds; each L0 is trained once per seed (initialisation and order of the data)."""

    training: Training
    """Shared training parameters."""

    overrides: dict[PositiveFloat, TrainingOverride] = Field({})  # type: ignore[valid-type]
    """Training parameters for single L0 points, by L0."""

    checkpoint_min: PositiveFloat = 10.0
    """Minutes between checkpoints. No effect on the numbers."""

    snapshots: bool = False
    """Keep each SAE's decoder as it stood after every tenth of its training, at half precision, so
    that the report shows what the answer would have been then. No effect on the numbers; SAEs that
    are trained already stay as they are, without."""

    points_per_job: Literal["auto"] | Annotated[int, Field(ge=1, le=16)] = "auto"
    """SAEs of one seed that one job trains, reading the data once, 1 to 16. `auto`: on a GPU as
    many as its memory holds, at most 8; on a CPU 1. No effect on the numbers."""

    gpu_memory_gb: PositiveFloat = 80.0
    """For `points_per_job: auto`: a GPU's memory in GB. No effect on the numbers."""

    @field_validator("points_per_job", mode="before")
    @classmethod
    def _check_points_per_job(cls, value: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if value != "auto" and not (whole and 1 <= value <= 16):
            raise ValueError(f"{value!r} is not usable; give auto or a whole number from 1 to 16")
        return value

    @field_validator("overrides", mode="before")
    @classmethod
    def _check_overrides(cls, value: Any) -> Any:
        """Refuse keys that mean one L0: the last would be taken silently."""
        if isinstance(value, dict):
            keys: dict[str, Any] = {}
            for key in value:
                try:
                    label = format_l0(float(key))
                except (TypeError, ValueError):
                    continue
                if label in keys:
                    raise ValueError(f"overrides name l0 {label} more than once; keep one")
                keys[label] = key
        return value

    @field_validator("architecture")
    @classmethod
    def _check_architecture(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Leave defaults out, so that what says the same is the same."""
        try:
            name, options = read_architecture(value)
        except InputError as error:
            raise ValueError(str(error)) from None
        chosen = {"name": name, **options.model_dump(mode="json", exclude_defaults=True)}
        return {} if chosen == {"name": DEFAULT} else chosen

    @property
    def architecture_name(self) -> str:
        """Name of the architecture."""
        return str(self.architecture.get("name", DEFAULT))

    @property
    def declared(self) -> Architecture:
        """What the architecture declares."""
        return declared_with(*read_architecture(self.architecture))

    @property
    def recipe(self) -> int:
        """What the numbers of its SAEs are versioned by."""
        return self.training.recipe(self.declared)

    @property
    def swept(self) -> Literal["l0", "coefficient", "number"]:
        """What the values of `l0` are."""
        return self.declared.swept

    @property
    def imported(self) -> bool:
        """Whether the SAEs exist already."""
        return False

    @property
    def downloads(self) -> bool:
        """Whether they are fetched from a hub."""
        return False

    @property
    def takes_whole_l0(self) -> bool:
        """Whether the architecture keeps the same number of latents for every token."""
        return self.declared.whole

    def point(self, l0: float) -> dict[str, Any]:
        """Return the settings of the SAE at one of the values of `l0`, without its training."""
        chosen = {"architecture": self.architecture} if self.architecture else {}
        return {**chosen, "d_sae": self.d_sae, self.swept: l0}

    @model_validator(mode="after")
    def _check_points(self) -> Saes:
        check_unique(seeds=self.seeds)
        points = self.l0
        if isinstance(points, L0Search):
            if self.swept != "l0":
                raise ValueError(
                    f"l0: architecture {self.architecture['name']} sweeps a coefficient, which is "
                    "not searched; list the coefficients"
                )
            if self.overrides:
                raise ValueError("overrides: a search chooses its points itself; remove them")
            if wrong := points.unusable_with(self.d_sae, len(self.seeds)):
                raise ValueError(wrong)
            first = points.first_points(whole=self.takes_whole_l0)
            points = tuple(dict.fromkeys((points.lowest, *first, points.highest)))
        for l0 in points:
            if self.swept == "l0" and l0 > self.d_sae:
                raise ValueError(
                    f"l0 {l0:g} is above d_sae {self.d_sae}; lower it or widen the SAE"
                )
        check_unique(l0=points)
        _, options = read_architecture(self.architecture)
        for l0 in points:
            training, target = self.training_of(l0), l0 if self.swept == "l0" else None
            wrong = (
                self.declared.unusable_at(l0, training)
                or options.unusable_with(training, self.d_sae)
                or training.unusable_at(f"{self.swept} {format_l0(l0)}", target, self.d_sae)
            )
            if wrong:
                raise ValueError(wrong)
        if len({self.training_of(l0).by_sparsify for l0 in points}) > 1:
            raise ValueError(
                "overrides: engine sparsify trains a whole sweep; give what it is to train a sweep "
                "of its own"
            )
        for l0 in self.overrides:
            if l0 not in points:
                known = ", ".join(format_l0(x) for x in points)
                raise ValueError(
                    f"overrides name l0 {l0:g}, which is not in the list ({known}); "
                    "add it there or remove the override"
                )
        return self

    def training_of(self, l0: float) -> Training:
        """Return the training parameters of one L0 point, overrides applied."""
        override = self.overrides.get(float(l0))
        changed: dict[str, Any] = {} if override is None else dict(override)
        given = {name: value for name, value in changed.items() if value is not None}
        return self.training.model_copy(update=given)
