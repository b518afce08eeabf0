"""BatchTopK: so many of the largest activations of a batch as its target L0 asks for.

References
----------
Bussmann et al., BatchTopK Sparse Autoencoders (2024).
"""

from __future__ import annotations

from correct_l0.saes.architectures import Architecture, Options


class BatchTopK(Options):
    """BatchTopK has no settings of its own."""


ARCHITECTURE = Architecture(
    settings=BatchTopK,
    swept="l0",
    parameter="k",
    form="jumprelu",
    calibrated=True,
    trainer="correct_l0.saes.engine.batchtopk:build",
    cost_factor=8.2,
    own_cost_factor=1.0,
    widened=True,
    trained_on=True,
)
