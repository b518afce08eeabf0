"""Products with a batch's few non-zero activations, on a CPU.

`embedding_bag` sums weighted rows several times faster than an index-add, and `sampled_addmm`
computes the entries of a product that are needed and no others.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import embedding_bag

DENSITY = {"highest": 0.14, "high": 0.14, "medium": 0.04}
"""Share of non-zeros above which dense products are faster, by their precision; measured at
384 x 768, on one core with AVX-512 and AMX."""


def is_faster(share: float) -> bool:
    """Return whether products with this share of non-zeros are faster as sums over them."""
    return share < DENSITY[torch.get_float32_matmul_precision()]


class Pattern:
    """The non-zeros of z = acts / norms, by token and by latent.

    Parameters
    ----------
    acts
        Selected activations times the decoder norms: positive where selected, else zero.
    norms
        The decoder norms.
    """

    def __init__(self, acts: Float[Tensor, "batch d_sae"], norms: Float[Tensor, " d_sae"]) -> None:
        batch, d_sae = acts.shape
        flat = acts.numpy().reshape(-1)
        where = np.flatnonzero(flat > 0)
        token_starts = np.searchsorted(where, np.arange(batch + 1) * d_sae)
        tokens = np.repeat(np.arange(batch), np.diff(token_starts))
        latents = where - tokens * d_sae
        order = np.argsort(latents.astype(np.min_scalar_type(d_sae)), kind="stable")
        latent_counts = np.bincount(latents, minlength=d_sae)
        self.shape = (batch, d_sae)
        self.token_starts = torch.from_numpy(token_starts)
        self.latents = torch.from_numpy(latents)
        self.latent_starts = torch.from_numpy(np.cumsum(latent_counts) - latent_counts)
        self.tokens_by_latent = torch.from_numpy(tokens[order])
        self.by_latent = torch.from_numpy(order)
        self.values = torch.from_numpy(flat[where]) / norms[self.latents]

    def decode(self, W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "batch d_in"]:
        """Return z @ W_dec."""
        return embedding_bag(
            self.latents, W_dec, self.token_starts[:-1],
            mode="sum", per_sample_weights=self.values,
        )  # fmt: skip

    def gradients(
        self,
        centred: Float[Tensor, "batch d_in"],
        error: Float[Tensor, "batch d_in"],
        W_dec: Float[Tensor, "d_sae d_in"],
    ) -> tuple[Float[Tensor, "d_in d_sae"], Float[Tensor, " d_sae"], Float[Tensor, "d_sae d_in"]]:
        """Return centred^T dH, the column sums of dH, and z^T error; dH = error W_dec^T on z."""
        zeros = torch.sparse_csr_tensor(
            self.token_starts,
            self.latents,
            torch.zeros_like(self.values),
            self.shape,
            check_invariants=False,
        )
        dH = torch.sparse.sampled_addmm(zeros, error, W_dec.T).values()[self.by_latent]
        dW_enc = self._sum_by_latent(centred, dH).T.contiguous()
        ones = centred.new_ones(len(centred), 1)
        db_enc = self._sum_by_latent(ones, dH).view(-1)
        return dW_enc, db_enc, self._sum_by_latent(error, self.values[self.by_latent])

    def _sum_by_latent(
        self, rows: Float[Tensor, "batch width"], weights: Float[Tensor, " n_nonzero"]
    ) -> Float[Tensor, "d_sae width"]:
        return embedding_bag(
            self.tokens_by_latent, rows, self.latent_starts,
            mode="sum", per_sample_weights=weights,
        )  # fmt: skip
