"""What a step asks of the non-zeros of a batch's activations, on whatever device they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from jaxtyping import Bool, Float
from torch import Tensor

from correct_l0.saes.engine.workspace import Gradients


class Pattern(Protocol):
    """The non-zeros of z = acts / norms, by token and by latent."""

    def fired(self) -> Bool[Tensor, " d_sae"]:
        """Return which latents are active for any token."""

    def error(
        self,
        W_dec: Float[Tensor, "d_sae d_in"],
        centred: Float[Tensor, "batch d_in"],
        out: Float[Tensor, "batch d_in"],
    ) -> None:
        """Write z W_dec - centred into `out`."""

    def errors(
        self,
        W_dec: Float[Tensor, "d_sae d_in"],
        centred: Float[Tensor, "batch d_in"],
        widths: Sequence[int],
        out: Float[Tensor, "levels batch d_in"],
    ) -> None:
        """Write the error of the first latents, as many as each width says, into `out`."""

    def write_gradients(
        self,
        centred: Float[Tensor, "batch d_in"],
        error: Float[Tensor, "levels*batch d_in"],
        W_dec: Float[Tensor, "d_sae d_in"],
        scale: float,
        out: Gradients,
        widths: Sequence[int] = (),
    ) -> None:
        """Write all gradients but that of `b_dec`.

        With `widths` the latents up to the first have the first errors, those up to the second the
        next.
        """
