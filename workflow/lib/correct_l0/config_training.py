"""How one SAE is trained, and what may differ for one L0."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from correct_l0.config_base import Count, Fraction, PositiveFloat, Section, format_l0

__all__ = ["Training", "TrainingOverride"]


class Training(Section):
    """Training parameters of one SAE; every one can be overridden for one L0."""

    training_tokens: Count
    """Tokens seen by each SAE; more than are cached means several epochs."""

    batch_tokens: Count = 4096
    """Tokens per training step."""

    lr: PositiveFloat = 3e-4
    """Learning rate of Adam."""

    lr_warm_up_steps: Annotated[int, Field(ge=0)] = 0
    """Steps of linear warm-up."""

    lr_decay_fraction: Fraction = 0.0
    """Final fraction of the steps over which the learning rate falls linearly to zero."""

    aux_loss_coefficient: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the auxiliary loss that revives dead latents."""

    dead_feature_window: Count = 1000
    """Steps without firing after which a latent counts as dead."""

    engine: Literal["fused", "saelens"] = "fused"
    """`fused`: this project's trainer. `saelens`: SAELens' own, the reference."""

    precision: Literal["float32", "reduced"] = "float32"
    """Matrix products in training. `reduced`: TF32 on CUDA, bfloat16 with float32 sums on a CPU
    with AMX (slower on other CPUs)."""

    @property
    def steps(self) -> int:
        """Training steps; a last, incomplete batch is left out."""
        return self.training_tokens // self.batch_tokens

    @property
    def decay_steps(self) -> int:
        """Steps at the end over which the learning rate falls to zero."""
        return round(self.lr_decay_fraction * self.steps)

    def unusable_at(self, l0: float) -> str:
        """Return why no SAE of this target L0 can be trained so; empty where one can."""
        label = f"l0 {format_l0(l0)}"
        if self.steps < 1:
            return (
                f"{label}: training_tokens {self.training_tokens} is below batch_tokens "
                f"{self.batch_tokens}: not one step; train longer or make the batch smaller"
            )
        if self.lr_warm_up_steps + self.decay_steps > self.steps:
            return (
                f"{label}: lr_warm_up_steps {self.lr_warm_up_steps} and {self.decay_steps} steps "
                f"of decay exceed the {self.steps} steps of training; shorten them"
            )
        if int(l0 * self.batch_tokens) < 1:
            return (
                f"{label}: a batch of {self.batch_tokens} tokens selects no latent, it must select "
                "at least one; raise l0 or batch_tokens"
            )
        return ""


def _optional(field: FieldInfo) -> Any:
    limited: Any = field.annotation
    if field.metadata:
        limited = Annotated[(limited, *field.metadata)]
    return limited | None


TrainingOverride = create_model(
    "TrainingOverride",
    __base__=Section,
    __doc__="Training parameters of one L0 point that differ from the shared ones.",
    **{
        name: (_optional(field), Field(None, description=field.description))
        for name, field in Training.model_fields.items()
    },
)  # type: ignore[call-overload]
