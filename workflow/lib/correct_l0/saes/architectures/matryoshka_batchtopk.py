"""Matryoshka BatchTopK: the first latents have to reconstruct a batch without the others.

References
----------
Bussmann et al., arXiv 2503.17547. Chanin et al., arXiv 2505.11756: the balanced one, whose inner
losses are weighted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from correct_l0.saes.architectures import Architecture, Options
from correct_l0.settings.base import PositiveFloat

if TYPE_CHECKING:
    from correct_l0.saes.training_settings import Training


class MatryoshkaBatchTopK(Options):
    """Settings of a Matryoshka BatchTopK SAE."""

    prefixes: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1)] = (
        1 / 32,
        3 / 32,
        7 / 32,
        15 / 32,
    )
    """The first latents that reconstruct by themselves, as shares of d_sae, ascending; all of them,
    which do too, are left out. The default is that of arXiv 2503.17547."""

    inner_weights: tuple[PositiveFloat, ...] = ()
    """Weight of each prefix' loss beside that of all latents, whose weight is 1; empty: 1 each.
    Lower weights for shorter prefixes balance hedging, which a prefix brings, against absorption,
    which it prevents."""

    use_matryoshka_aux_loss: bool = False
    """Whether dead latents reconstruct the error of their own level."""

    @model_validator(mode="after")
    def _check(self) -> MatryoshkaBatchTopK:
        if list(self.prefixes) != sorted(set(self.prefixes)):
            raise ValueError(f"prefixes {list(self.prefixes)} do not ascend; sort them")
        if self.inner_weights and len(self.inner_weights) != len(self.prefixes):
            raise ValueError(
                f"inner_weights are {len(self.inner_weights)}, one is needed for each of the "
                f"{len(self.prefixes)} prefixes; give as many"
            )
        return self

    def prefixes_of(self, d_sae: int) -> tuple[int, ...]:
        """Return the numbers of first latents that reconstruct by themselves, without all.

        Examples
        --------
        >>> MatryoshkaBatchTopK().prefixes_of(64)
        (2, 6, 14, 30)
        """
        return tuple(round(share * d_sae) for share in self.prefixes)

    def gone_on(self, d_sae: int, wider: int) -> MatryoshkaBatchTopK:
        """Return them for the training of a finished SAE that goes on, with `wider` latents.

        Examples
        --------
        >>> MatryoshkaBatchTopK().gone_on(64, 80).prefixes_of(80)
        (2, 6, 14, 30)
        """
        shares = tuple(width / wider for width in self.prefixes_of(d_sae))
        return self.model_copy(update={"prefixes": shares})

    def unusable_with(self, training: Training, d_sae: int) -> str:
        """Return why no SAE can be trained so; empty where one can."""
        widths = (0, *self.prefixes_of(d_sae), d_sae)
        if len(set(widths)) < len(widths):
            return (
                f"prefixes: they are {', '.join(map(str, widths[1:-1]))} of {d_sae} latents, each "
                "must add one at least; set fewer or widen the SAE"
            )
        if training.engine == "saelens" and set(self.inner_weights) - {1.0}:
            return "inner_weights: engine saelens weighs all levels alike; use engine fused"
        return ""

    def saelens(self, d_sae: int) -> dict[str, Any]:
        """Return them as SAELens' training configuration has them, for SAEs of a width."""
        return {
            "matryoshka_widths": [*self.prefixes_of(d_sae), d_sae],
            "use_matryoshka_aux_loss": self.use_matryoshka_aux_loss,
        }


RECIPE = 4
"""Changes when the same settings, seed and activations give other numbers."""

ARCHITECTURE = Architecture(
    settings=MatryoshkaBatchTopK,
    swept="l0",
    parameter="k",
    form="jumprelu",
    calibrated=True,
    trainer="correct_l0.saes.engine.matryoshka:build",
    cost_factor=6.8,
    own_cost_factor=1.1,
    recipe=RECIPE,
    widened=True,
)
