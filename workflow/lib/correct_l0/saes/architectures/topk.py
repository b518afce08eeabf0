"""TopK: the k largest activations of every token.

References
----------
Gao et al., arXiv 2406.04093.
"""

from __future__ import annotations

from correct_l0.saes.architectures import Architecture, Options


class TopK(Options):
    """TopK has no settings of its own."""


RECIPE = 4
"""Changes when the same settings, seed and activations give other numbers."""

ARCHITECTURE = Architecture(
    settings=TopK,
    swept="l0",
    parameter="k",
    whole=True,
    form="topk",
    trainer="correct_l0.saes.engine.topk:build",
    cost_factor=4.7,
    own_cost_factor=1.0,
    recipe=RECIPE,
    by_sparsify=True,
    widened=True,
    trained_on=True,
)
