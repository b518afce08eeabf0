"""What the settings of several sources have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from correct_l0.settings.base import Section


class SourceSection(Section):
    """Base of each source's section: what the rest of the house knows of it before it is made."""

    kept = True

    kind: ClassVar[str]
    """Its room, and the file of its rules."""

    stage: ClassVar[str]
    """The rule whose manifest is the source's."""

    truth_is_known: ClassVar[bool] = False
    """Whether its true features are known."""

    if TYPE_CHECKING:

        @property
        def d_in(self) -> int:
            """Width of a row."""

        @property
        def held_out_tokens(self) -> int:
            """Rows that train no SAE and are measured on."""

    @property
    def made_from(self) -> list[str]:
        """The files that it is made from which no rule makes."""
        return []


class Outlying(Section):
    """Rows of massive norm, such as a language model's attention sinks."""

    norm: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 10.0
    """A row is outlying whose norm is above so many times the median norm of the training rows."""

    rows: Literal["drop", "keep"] = "drop"
    """`drop`: outlying rows train no SAE and enter no metric; they are counted, and how well they
    are reconstructed is told. `keep`: they are rows like any other, but for the scale of the
    activations; where they weigh much, no L0 is named."""
