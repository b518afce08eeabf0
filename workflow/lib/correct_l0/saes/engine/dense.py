"""Dense products with a batch's selected activations, masked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from correct_l0.saes.engine.products import operand, product
from correct_l0.saes.engine.workspace import Gradients, Workspace


class DensePattern:
    """The selected activations as a matrix; see `sparse.Pattern`.

    Parameters
    ----------
    acts
        Zero where not selected.
    norms
        The decoder norms, where the activations are multiplied by them. None: they are z, and masks
        are a GPU's kernels.
    work
        Memory to write to.

    Attributes
    ----------
    acts : Float[Tensor, "batch d_sae"]
        The activations.
    """

    def __init__(
        self,
        acts: Float[Tensor, "batch d_sae"],
        norms: Float[Tensor, " d_sae"] | None,
        work: Workspace,
    ) -> None:
        self.acts = acts
        self._norms, self._work = norms, work
        self._factor = operand(acts)

    def fired(self) -> Bool[Tensor, " d_sae"]:
        """Return which latents are active for any token."""
        return self.acts.sum(0) > 0

    def error(
        self,
        W_dec: Float[Tensor, "d_sae d_in"],
        centred: Float[Tensor, "batch d_in"],
        out: Float[Tensor, "batch d_in"],
    ) -> None:
        """Write z W_dec - centred into `out`."""
        product(self._factor, self._units(W_dec), out).sub_(centred)

    def errors(
        self,
        W_dec: Float[Tensor, "d_sae d_in"],
        centred: Float[Tensor, "batch d_in"],
        widths: Sequence[int],
        out: Float[Tensor, "levels batch d_in"],
    ) -> None:
        """Write the error of the first latents, as many as each width says, into `out`."""
        units, before = operand(self._units(W_dec)), -centred
        for error, (start, stop) in zip(out, pairwise((0, *widths)), strict=True):
            if self._factor.dtype != torch.bfloat16:
                torch.addmm(before, self.acts[:, start:stop], units[start:stop], out=error)
            else:
                product(self._factor[:, start:stop], units[start:stop], error).add_(before)
            before = error

    def write_gradients(
        self,
        centred: Float[Tensor, "batch d_in"],
        error: Float[Tensor, "levels*batch d_in"],
        W_dec: Float[Tensor, "d_sae d_in"],
        scale: float,
        out: Gradients,
        widths: Sequence[int] = (),
    ) -> None:
        """Write all gradients, `b_dec`'s without the encoder's part; see `sparse.Pattern`."""
        G = torch.mul(error, scale, out=self._work.empty("G", *error.shape))
        torch.sum(G[: len(centred)], 0, out=out.b_dec)
        # Rounded activations are a copy: what they were made of is free.
        place = "acts" if self.acts.dtype == torch.bfloat16 else "dH"
        dH = self._work.empty(place, *self.acts.shape)
        levels, decoder = operand(G).split(len(centred)), operand(W_dec)
        for each, (start, stop) in zip(
            levels, pairwise((0, *(widths or [len(W_dec)]))), strict=True
        ):
            product(each, decoder[start:stop].T, dH[:, start:stop])
            product(self._factor[:, start:stop].T, each, out.W_dec[start:stop])
        # Rounded ones are copies, whose memory is wanted.
        del levels, decoder
        if self._norms is not None:
            out.W_dec.div_(self._norms[:, None])
        product(centred.T, self._masked(dH, out.b_enc), out.W_enc)

    def _units(self, W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "d_sae d_in"]:
        return W_dec if self._norms is None else W_dec / self._norms[:, None]

    def _masked(
        self, dH: Float[Tensor, "batch d_sae"], sums: Float[Tensor, " d_sae"]
    ) -> Float[Tensor, "batch d_sae"]:
        """Return dH where activations are selected, else 0; write its column sums."""
        if self._norms is not None:
            torch.ops.aten.threshold_backward.grad_input(dH, self.acts, 0, grad_input=dH)
            torch.sum(dH, 0, out=sums)
            return dH
        # Its kernels are compiled, and so imported, where they are used alone.
        from correct_l0.saes.engine.device_dense import mask

        return mask(dH, self.acts, sums)
