"""Products with a batch's few non-zero activations, on a CPU.

`embedding_bag` and products with sparse matrices sum weighted rows several times faster than an
index-add, and `sampled_addmm` computes the entries of a product that are needed and no others.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor
from torch.nn.functional import embedding_bag

DENSITY = {"highest": 0.16, "high": 0.16, "medium": 0.065}
"""Share of non-zeros above which dense products are faster, by their precision; measured at
384 x 768 and 384 x 3072, on one core with AVX-512 and AMX."""


def is_faster(share: float) -> bool:
    """Return whether products with this share of non-zeros are faster as sums over them."""
    return share < DENSITY[torch.get_float32_matmul_precision()]


class Pattern:
    """The non-zeros of z = acts / norms, by token and by latent.

    Parameters
    ----------
    where
        Places of the selected activations in the flattened batch, ascending.
    acts
        The selected activations, times the decoder norms.
    norms
        The decoder norms.
    batch
        Number of tokens.
    """

    def __init__(
        self,
        where: Int64[np.ndarray, " n_nonzero"],
        acts: Float32[np.ndarray, " n_nonzero"] | Float64[np.ndarray, " n_nonzero"],
        norms: Float[Tensor, " d_sae"],
        batch: int,
    ) -> None:
        d_sae = len(norms)
        starts = np.searchsorted(where, np.arange(batch + 1) * d_sae).astype(np.int32)
        tokens = np.repeat(np.arange(batch, dtype=np.int32), np.diff(starts))
        latents = (where - tokens * np.int64(d_sae)).astype(np.int32)
        order = np.argsort(latents.astype(np.min_scalar_type(d_sae)), kind="stable")
        latent_starts = np.zeros(d_sae + 1, dtype=np.int32)
        np.cumsum(np.bincount(latents, minlength=d_sae), out=latent_starts[1:])
        self.shape = (batch, d_sae)
        self.token_starts = torch.from_numpy(starts)
        self.latents = torch.from_numpy(latents)
        self.latent_starts = torch.from_numpy(latent_starts)
        self.tokens_by_latent = torch.from_numpy(tokens[order])
        self.by_latent = torch.from_numpy(order)
        self.values = torch.from_numpy(acts) / norms[self.latents]

    def fired(self) -> Bool[Tensor, " d_sae"]:
        """Return which latents are active for any token."""
        return self.latent_starts.diff() > 0

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
        out: tuple[Float[Tensor, "d_sae d_in"], Float[Tensor, "d_sae d_in"]],
    ) -> Float[Tensor, " d_sae"]:
        """Write dH^T centred and z^T error into `out`, contiguous; return dH's column sums.

        dH is error W_dec^T where z is not zero, and zero elsewhere.
        """
        zeros = _csr(self.token_starts, self.latents, torch.zeros_like(self.values), self.shape)
        products = torch.sparse.sampled_addmm(zeros, error, W_dec.T).values()
        dH, z = products[self.by_latent], self.values[self.by_latent]
        for into, entries, rows in ((out[0], dH, centred), (out[1], z, error)):
            transposed = _csr(self.latent_starts, self.tokens_by_latent, entries, self.shape[::-1])
            torch.addmm(into, transposed, rows, beta=0, out=into)
        db_enc = np.bincount(self.latents, weights=products, minlength=self.shape[1])
        return torch.from_numpy(db_enc).to(dH)


def _csr(starts: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)
