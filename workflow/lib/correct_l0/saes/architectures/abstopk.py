"""AbsTopK: the k activations of every token that are largest in size, of either sign.

References
----------
AbsTopK, arXiv 2510.00404.
"""

from __future__ import annotations

from correct_l0.saes.architectures import Architecture, Options


class AbsTopK(Options):
    """AbsTopK has no settings of its own."""


RECIPE = 3
"""Changes when the same settings, seed and activations give other numbers."""

ARCHITECTURE = Architecture(
    settings=AbsTopK,
    swept="l0",
    parameter="k",
    whole=True,
    form="abstopk",
    cost_factor=5.0,
    recipe=RECIPE,
)
