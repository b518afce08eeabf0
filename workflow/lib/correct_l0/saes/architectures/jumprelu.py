"""JumpReLU: thresholds that are learnt, under a penalty on L0.

References
----------
Rajamanoharan et al., arXiv 2407.14435. Gemma Scope 2, as SAELens has it: the quadratic penalty on
the distance from a target L0. Anthropic, Circuits Updates, January 2025: the tanh penalty, the
gradient of the threshold passed to the input, a penalty on pre-activations of dead latents.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from correct_l0.saes.architectures import Architecture, Options
from correct_l0.settings.base import PositiveFloat

if TYPE_CHECKING:
    from correct_l0.saes.training_settings import Training

QUADRATIC = "quadratic"


class JumpRelu(Options):
    """Settings of a JumpReLU SAE; the defaults but for the penalty are Anthropic's."""

    jumprelu_sparsity_loss_mode: Literal["quadratic", "tanh", "step"] = "quadratic"
    """The penalty on L0. `quadratic`: on its squared distance from a target, which is what is swept
    then. `tanh` (the paper's) and `step`: on its tanh, or on L0 itself; the sweep is over their
    coefficient, and each ends at an L0 of its own."""

    l0_coefficient: PositiveFloat = 1.0
    """Weight of the quadratic penalty; of the others it is swept."""

    aim_fraction: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Of the quadratic penalty: L0 comes to rest above its aim, where what one latent more explains
    is worth the penalty. So from the end of the warm-up on the aim is moved, in so large a share of
    the training by as much as L0 is off the target. 0: the aim is the target, as in SAELens."""

    jumprelu_bandwidth: PositiveFloat = 2.0
    """Width of the window around the threshold within which it gets a gradient, in units of the
    activations as scaled for training, to a mean norm of sqrt(d_in)."""

    jumprelu_init_threshold: PositiveFloat = 0.1
    """Threshold of every latent at the start, in the same units."""

    jumprelu_tanh_scale: PositiveFloat = 4.0
    """Slope of the tanh."""

    jumprelu_ste_to_input: bool = True
    """Whether the gradient of the threshold reaches the encoder too."""

    pre_act_loss_coefficient: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3e-6
    """Weight of the penalty on latents that never fire."""

    warm_up_fraction: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the training over which the coefficient rises linearly from zero."""

    @model_validator(mode="after")
    def _check(self) -> JumpRelu:
        if "l0_coefficient" in self.model_fields_set and not self.has_target:
            raise ValueError(
                f"l0_coefficient {self.l0_coefficient:g}: of the penalty "
                f"{self.jumprelu_sparsity_loss_mode} it is swept; list it in l0"
            )
        return self

    def saelens(self, d_sae: int) -> dict[str, Any]:
        """Return them as SAELens' training configuration has them."""
        return self.model_dump(exclude={"aim_fraction"})

    def unusable_with(self, training: Training, d_sae: int) -> str:
        """Return why no SAE can be trained so; empty where one can."""
        if training.engine == "saelens" and self.has_target and self.aim_fraction:
            return (
                f"aim_fraction {self.aim_fraction:g}: engine saelens aims at the target itself; "
                "set it to 0 or use engine fused"
            )
        if training.gpu_products == "sparse":
            return (
                "gpu_products sparse: jumprelu has no number of latents that a batch keeps, which "
                "those products need; remove it"
            )
        return ""

    @property
    def has_target(self) -> bool:
        """Whether the penalty is on the distance from a target L0."""
        return self.jumprelu_sparsity_loss_mode == QUADRATIC

    def changes(self) -> dict[str, Any]:
        """Return what they change of the architecture's declaration."""
        if self.has_target:
            return {}
        return {"swept": "coefficient", "parameter": "l0_coefficient"}

    def gone_on(self, d_sae: int, wider: int) -> JumpRelu:
        """Return them for the training of a finished SAE that goes on: without a warm-up."""
        return self.model_copy(update={"warm_up_fraction": 0.0})

    def warm_up_steps(self, steps: int) -> int:
        """Return over how many steps of a training the coefficient rises."""
        return math.ceil(self.warm_up_fraction * steps)


RECIPE = 4
"""Changes when the same settings, seed and activations give other numbers."""

ARCHITECTURE = Architecture(
    settings=JumpRelu,
    swept="l0",
    parameter="target_l0",
    form="jumprelu",
    l0_tolerance=0.03,
    warm_up="l0_warm_up_steps",
    trainer="correct_l0.saes.engine.jumprelu:build",
    cost_factor=5.0,
    own_cost_factor=2.0,
    recipe=RECIPE,
    widened=True,
    trained_on=True,
)
