"""TopK: the k largest activations of every token.

References
----------
Gao et al., arXiv 2406.04093.
"""

from __future__ import annotations

from correct_l0.saes.architectures import Architecture
from correct_l0.settings.base import Section


class TopK(Section):
    """TopK has no settings of its own."""


ARCHITECTURE = Architecture(
    settings=TopK, swept="l0", parameter="k", whole=True, form="topk", cost_factor=4.7
)
