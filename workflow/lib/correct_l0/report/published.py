"""Which columns of the table of points are scores that others published."""

from __future__ import annotations

import pandas as pd

from correct_l0.saes.imported.published import COLUMN, SCORES


def published_columns(points: pd.DataFrame) -> list[tuple[str, str]]:
    """Return each evaluation of which there are scores, and its column.

    Examples
    --------
    >>> published_columns(pd.DataFrame({"l0": [4.0], "published_scr": [0.3]}))
    [('scr', 'published_scr')]
    """
    return [(name, COLUMN + name) for name in SCORES if COLUMN + name in points]
