"""Products with a batch's few non-zero activations, on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from correct_l0.saes.engine import kernels
from correct_l0.saes.engine.selection import Selected
from correct_l0.saes.engine.workspace import Gradients

DENSITY = {"highest": (0.23, 0.14), "high": (0.23, 0.14), "medium": (0.065, 0.065)}
"""Share of non-zeros above which dense products are faster, by their precision: where the batch
stays in the processor's cache, and where not; measured at 384 x 768 with 512 to 1360 tokens and 384
x 3072 with 4096, on one core with AVX-512 and AMX."""
CACHE = 2**21
"""Bytes of a batch that stay in the cache of a core."""
NARROW = 650
"""Share of non-zeros, times this, below which rows are too short for what each non-zero costs
besides its sum: measured at 1024 x 40 x 50, 100 x 50, 100 x 100 and 128 x 256."""


def is_faster(share: float, sae_in: Float[Tensor, "batch d_in"]) -> bool:
    """Return whether products with this share of non-zeros are faster as sums over them."""
    near, far = DENSITY[torch.get_float32_matmul_precision()]
    limit = near if sae_in.nbytes <= CACHE else far
    return share < min(limit, sae_in.shape[1] / NARROW)


class Pattern:
    """The non-zeros of z = acts / norms, by token and by latent.

    Parameters
    ----------
    selected
        The selected activations, times the decoder norms.
    norms
        The decoder norms.
    """

    def __init__(self, selected: Selected, norms: Float[Tensor, " d_sae"]) -> None:
        self.selected = selected
        self.shape = (len(selected.starts) - 1, len(norms))
        self.z = np.empty_like(selected.values)
        self.latent_starts = np.empty(len(norms) + 1, dtype=np.int64)
        self.tokens = np.empty_like(selected.latents)
        self.z_by_latent = np.empty_like(self.z)
        kernels.transpose(
            selected.starts, selected.latents, selected.values, norms.numpy(),
            self.z, self.latent_starts, self.tokens, self.z_by_latent,
        )  # fmt: skip

    def __len__(self) -> int:
        """Return the number of non-zeros."""
        return len(self.z)

    def fired(self) -> Bool[Tensor, " d_sae"]:
        """Return which latents are active for any token."""
        return torch.from_numpy(np.diff(self.latent_starts) > 0)

    def error(
        self,
        W_dec: Float[Tensor, "d_sae d_in"],
        centred: Float[Tensor, "batch d_in"],
        out: Float[Tensor, "batch d_in"],
    ) -> None:
        """Write z W_dec - centred into `out`."""
        arrays = (value.numpy() for value in (W_dec, centred, out))
        chosen = self.selected
        _by_row(kernels.decode_error, chosen.starts, chosen.latents, self.z, *arrays)

    def errors(
        self,
        W_dec: Float[Tensor, "d_sae d_in"],
        centred: Float[Tensor, "batch d_in"],
        widths: Sequence[int],
        out: Float[Tensor, "levels batch d_in"],
    ) -> None:
        """Write the error of the first latents, as many as each width says, into `out`."""
        arrays = (value.numpy() for value in (W_dec, centred, out))
        chosen = self.selected
        ends = np.array(widths)
        _by_row(kernels.decode_errors, chosen.starts, chosen.latents, self.z, ends, *arrays)

    def gradients(
        self,
        centred: Float[Tensor, "batch d_in"],
        error: Float[Tensor, "levels*batch d_in"],
        W_dec: Float[Tensor, "d_sae d_in"],
        scale: float,
        out: tuple[Float[Tensor, "d_sae d_in"], Float[Tensor, "d_sae d_in"]],
        widths: Sequence[int] = (),
    ) -> Float[Tensor, " d_sae"]:
        """Write dH^T centred and z^T G into `out`; return dH's column sums.

        G is error * scale; dH is G W_dec^T where z is not zero, and zero elsewhere. With `widths`
        the latents up to the first have the first errors for G, those up to the second the next.
        """
        rows = self.tokens
        if widths:
            ends = self.latent_starts[list(widths)]
            shift = np.repeat(np.arange(len(widths)), np.diff(ends, prepend=0)) * self.shape[0]
            rows = rows + shift.astype(rows.dtype)
        dH, sums = self._products(rows, error, W_dec, scale)
        self.sum_over_tokens(dH, centred, out[0])
        self._sum_rows(rows, self.z_by_latent * scale, error, out[1])
        return torch.from_numpy(sums)

    def products(
        self, error: Float[Tensor, "batch d_in"], W_dec: Float[Tensor, "d_sae d_in"], scale: float
    ) -> Float[np.ndarray, " entries"]:
        """Return G W_dec^T at the non-zeros, by latent; G is error * scale."""
        return self._products(self.tokens, error, W_dec, scale)[0]

    def sum_over_tokens(
        self,
        weights: Float[np.ndarray, " entries"],
        rows: Float[Tensor, "batch width"],
        out: Float[Tensor, "d_sae width"],
    ) -> None:
        """Write each latent's sum of its tokens' rows, weighted, into `out`."""
        self._sum_rows(self.tokens, weights, rows, out)

    def _products(
        self, rows: np.ndarray, error: Tensor, W_dec: Tensor, scale: float
    ) -> tuple[np.ndarray, np.ndarray]:
        dtype = self.z.dtype
        dots, sums = np.empty_like(self.z), np.empty(self.shape[1], dtype=dtype)
        arrays = (W_dec.numpy(), error.numpy(), dots, sums)
        _by_row(kernels.dot_rows, self.latent_starts, rows, dtype.type(scale), *arrays)
        return dots, sums

    def _sum_rows(self, rows: np.ndarray, weights: np.ndarray, values: Tensor, out: Tensor) -> None:
        _by_row(kernels.sum_rows, self.latent_starts, rows, weights, values.numpy(), out.numpy())

    def write_gradients(
        self,
        centred: Float[Tensor, "batch d_in"],
        error: Float[Tensor, "levels*batch d_in"],
        W_dec: Float[Tensor, "d_sae d_in"],
        scale: float,
        out: Gradients,
        widths: Sequence[int] = (),
    ) -> None:
        """Write all gradients, `b_dec`'s without the encoder's part; see `gradients`."""
        torch.sum(error[: len(centred)], 0, out=out.b_dec).mul_(scale)
        transposed = out.W_enc.T
        into = transposed if transposed.is_contiguous() else torch.empty_like(W_dec)
        sums = self.gradients(centred, error, W_dec, scale, (into, out.W_dec), widths)
        out.b_enc.copy_(sums)
        if into is not transposed:
            transposed.copy_(into)


def _by_row(kernel: Any, starts: Int64[np.ndarray, " rows+1"], *rest: Any) -> None:
    """Run a kernel over all rows, in as many threads as torch uses, with equal shares of entries.

    No bit depends on their number: each row is one thread's.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        kernel(0, len(starts) - 1, starts, *rest)
        return
    edges = np.searchsorted(starts[1:-1], np.arange(1, threads) * (starts[-1] / threads)) + 1
    edges = [0, *edges.tolist(), len(starts) - 1]
    parts = pairwise(edges)
    list(_pool(threads).map(lambda part: kernel(*part, starts, *rest), parts))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)
