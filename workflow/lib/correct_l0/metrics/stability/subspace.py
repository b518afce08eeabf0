"""Whether two decoders spread over the same directions, latent by latent or not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from correct_l0.metrics.assignment import unit_rows

if TYPE_CHECKING:
    from jaxtyping import Float

BLOCK_ROWS = 4096

ISOTROPIC = 1e-6
"""A decoder whose Gram matrix is this close to a multiple of the identity prefers no subspace."""


def gram_agreement(
    first: Float[Tensor, "latents d_in"], second: Float[Tensor, "others d_in"]
) -> float:
    """Return how alike two sets of latents share their weight among subspaces of R^d_in.

    With U the unit rows of h latents, G = U^T U / h (trace 1) and its part without the mean
    G' = G - I / d_in, agreement = <G'_1, G'_2> / (|G'_1| |G'_2|), Frobenius norms. 1 where both
    decoders weigh every direction alike, even where no latent equals another one: rotating latents
    within the subspace that they fill evenly changes nothing. Random latents have 0 on average,
    however many they are; `gram_agreement_spread` is their standard deviation. NaN where a decoder
    weighs all directions alike, as an orthonormal basis does: it prefers no subspace.

    This is the RV coefficient of the two decoders (linear CKA with latents in place of samples),
    the identity taken out because d_sae > d_in unit rows share it by chance.

    References
    ----------
    Robert & Escoufier (1976), A unifying tool for linear multivariate statistical methods: the
    RV-coefficient. Kornblith et al., arXiv 1905.00414. The question is that of arXiv 2606.12138,
    Unstable features, reproducible subspaces.

    Examples
    --------
    Both fill the same plane of R^3 evenly, by other latents; the third set fills its complement.

    >>> plane = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> turned = torch.tensor([[0.6, 0.8, 0.0], [0.8, -0.6, 0.0]])
    >>> round(gram_agreement(plane, turned), 6)
    1.0
    >>> round(gram_agreement(plane, torch.tensor([[0.0, 0.0, 1.0]])), 6)
    -1.0
    """
    a, b = _gram(first), _gram(second)
    norms = float(a.norm() * b.norm())
    size = 1 / math.sqrt(first.shape[1])
    if min(float(a.norm()), float(b.norm())) < ISOTROPIC * size:
        return math.nan
    return float((a * b).sum()) / norms


def gram_agreement_spread(d_in: int) -> float:
    """Return the standard deviation of `gram_agreement` between random decoders.

    Exactly 1 / sqrt(D) with D = (d_in - 1) (d_in + 2) / 2, the dimension of symmetric matrices of
    trace 0: rotations of one decoder mix all of them (Schur's lemma).

    Examples
    --------
    >>> round(gram_agreement_spread(384), 6)
    0.003678
    """
    return 1 / math.sqrt((d_in - 1) * (d_in + 2) / 2)


def _gram(rows: Float[Tensor, "latents d_in"]) -> Float[Tensor, "d_in d_in"]:
    units = unit_rows(rows)
    d_in = rows.shape[1]
    gram = torch.zeros(d_in, d_in, dtype=torch.float64, device=rows.device)
    for block in units.split(BLOCK_ROWS):
        wide = block.double()
        gram.addmm_(wide.T, wide)
    gram /= len(units)
    gram.diagonal().sub_(gram.trace() / d_in)
    return gram
