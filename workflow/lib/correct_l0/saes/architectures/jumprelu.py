"""JumpReLU: thresholds that are learnt, under a penalty on L0.

References
----------
Rajamanoharan et al., arXiv 2407.14435. Anthropic, Circuits Updates, January 2025: the tanh penalty,
the gradient of the threshold passed to the input, a penalty on pre-activations of dead latents.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from correct_l0.saes.architectures import Architecture, Options
from correct_l0.settings.base import PositiveFloat


class JumpRelu(Options):
    """Settings of a JumpReLU SAE; the defaults are Anthropic's, as the paper takes them."""

    jumprelu_bandwidth: PositiveFloat = 2.0
    """Width of the window around the threshold within which it gets a gradient."""

    jumprelu_init_threshold: PositiveFloat = 0.1
    """Threshold of every latent at the start."""

    jumprelu_sparsity_loss_mode: Literal["tanh", "step"] = "tanh"
    """The penalty on L0: its tanh, or its size."""

    jumprelu_tanh_scale: PositiveFloat = 4.0
    """Slope of the tanh."""

    jumprelu_ste_to_input: bool = True
    """Whether the gradient of the threshold reaches the encoder too."""

    pre_act_loss_coefficient: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3e-6
    """Weight of the penalty on latents that never fire."""

    warm_up_fraction: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the training over which the coefficient rises linearly from zero."""


ARCHITECTURE = Architecture(
    settings=JumpRelu,
    swept="coefficient",
    parameter="l0_coefficient",
    form="jumprelu",
    cost_factor=5.0,
)
