"""What the settings of several sources have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from correct_l0.settings.base import Section


class Outlying(Section):
    """Rows of massive norm, such as a language model's attention sinks."""

    norm: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 10.0
    """A row is outlying whose norm is above so many times the median norm of the training rows."""

    rows: Literal["drop", "keep"] = "drop"
    """`drop`: outlying rows train no SAE and enter no metric; they are counted, and how well they
    are reconstructed is told. `keep`: they are rows like any other, but for the scale of the
    activations; where they weigh much, no L0 is named."""
