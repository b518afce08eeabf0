"""Matryoshka BatchTopK: the first latents have to reconstruct a batch without the others.

References
----------
Bussmann et al., arXiv 2503.17547.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from correct_l0.saes.architectures import Architecture
from correct_l0.settings.base import Count, Section


class MatryoshkaBatchTopK(Section):
    """Settings of a Matryoshka BatchTopK SAE."""

    matryoshka_widths: Annotated[tuple[Count, ...], Field(min_length=1)]
    """Numbers of latents that reconstruct by themselves, ascending; d_sae is the last one."""

    use_matryoshka_aux_loss: bool = False
    """Whether dead latents reconstruct the error of their own level."""

    @model_validator(mode="after")
    def _check_widths(self) -> MatryoshkaBatchTopK:
        widths = self.matryoshka_widths
        if list(widths) != sorted(set(widths)):
            raise ValueError(f"matryoshka_widths {list(widths)} do not ascend; sort them")
        return self


ARCHITECTURE = Architecture(
    settings=MatryoshkaBatchTopK,
    swept="l0",
    parameter="k",
    form="jumprelu",
    calibrated=True,
    cost_factor=6.8,
)
