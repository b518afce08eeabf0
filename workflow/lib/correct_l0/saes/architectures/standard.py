"""Standard: a ReLU, under a penalty on the sizes of the activations.

Saved as JumpReLU with thresholds of zero, which is the same.

References
----------
Bricken et al., Towards Monosemanticity (2023).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from correct_l0.saes.architectures import Architecture, Options


class Standard(Options):
    """Settings of a standard SAE."""

    warm_up_fraction: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the training over which the coefficient rises linearly from zero."""


RECIPE = 3
"""Changes when the same settings, seed and activations give other numbers."""

ARCHITECTURE = Architecture(
    settings=Standard,
    swept="coefficient",
    parameter="l1_coefficient",
    warm_up="l1_warm_up_steps",
    form="jumprelu",
    cost_factor=4.0,
    recipe=RECIPE,
)
