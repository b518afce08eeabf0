"""Gated: one encoder says which latents are active, a scaled copy of it how much.

Saved as JumpReLU, which is the same: latent i is active where its gate x w_i + b_gate_i is above 0,
that is where x w_i exp(r_i) + b_mag_i is above b_mag_i - exp(r_i) b_gate_i.

References
----------
Rajamanoharan et al., arXiv 2404.16014.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from correct_l0.saes.architectures import Architecture, Options


class Gated(Options):
    """Settings of a gated SAE."""

    warm_up_fraction: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the training over which the coefficient rises linearly from zero."""


RECIPE = 3
"""Changes when the same settings, seed and activations give other numbers."""

ARCHITECTURE = Architecture(
    settings=Gated,
    swept="coefficient",
    parameter="l1_coefficient",
    warm_up="l1_warm_up_steps",
    form="jumprelu",
    cost_factor=7.6,
    recipe=RECIPE,
)
