"""What every section of a configuration is made of: its base class and the kinds of values."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

LONGEST_NAME = 100
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=LONGEST_NAME)]
Count = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


def plain_name(text: str, otherwise: str) -> str:
    """Return a text as a name that every disk and hub takes; `otherwise` where nothing is left.

    Examples
    --------
    >>> plain_name("my SAEs (größer)", "study"), plain_name("模型", "study")
    ('my-SAEs-groer', 'study')
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("._-")[:LONGEST_NAME] or otherwise


def format_l0(l0: float) -> str:
    """Return the label of a target L0 in paths and tables.

    Examples
    --------
    >>> format_l0(16.0), format_l0(10.95)
    ('16', '10.95')
    """
    return f"{l0:.10g}"


def rounded_l0(l0: float) -> float:
    """Return an L0 with two significant digits: whole from 10 on.

    Examples
    --------
    >>> rounded_l0(90.5), rounded_l0(1234.0), rounded_l0(5.66)
    (90.0, 1200.0, 5.7)
    """
    return float(f"{l0:.2g}")


class Section(BaseModel):
    """Base of every section: unknown keys are refused, values cannot change later.

    What stands below an option tells its meaning (`study.docs`). Pydantic would read that in every
    process, where nobody needs it, for a third of a second.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kept: ClassVar[bool] = False
    """Whether its canonical string is kept in manifests, where settings are compared."""


def check_unique(**lists: Sequence[float]) -> None:
    """Refuse a list that names a value more than once.

    Values that differ by less than their labels show count as the same.

    Raises
    ------
    ValueError
        Naming the list and the value.
    """
    for name, values in lists.items():
        labels = [format_l0(value) for value in values]
        for label in dict.fromkeys(x for x in labels if labels.count(x) > 1):
            raise ValueError(f"{name} lists {label} more than once; keep one")
