"""Does the answer lean on rows of massive norm, and on little else?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LEANS = "leans on outlying rows"

WEIGHT_LIMIT = 0.1
"""Share of the squared norm of the training rows above which outlying rows that are kept refuse an
answer: of an SAE that learns nothing, that is their share of the squared error."""


def leans_on_outlying(norms: Mapping[str, Any] | None) -> bool:
    """Tell whether outlying rows are kept, and weigh so much that an answer leans on them.

    Examples
    --------
    >>> leans_on_outlying({"rows": "keep", "weight": 0.9}), leans_on_outlying(None)
    (True, False)
    >>> leans_on_outlying({"rows": "drop", "weight": 0.9})
    False
    """
    return norms is not None and norms["rows"] == "keep" and norms["weight"] > WEIGHT_LIMIT
