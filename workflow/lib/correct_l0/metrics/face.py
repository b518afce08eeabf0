"""The metrics as a notebook calls them: of anybody's SAE, or of plain tensors.

One rule for decoders of any norm: only the directions of the rows count. c_dec and the agreement of
seeds are of cosines anyway; s_n^dec is of projections on the rows made unit vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.metrics.decoder.cosine import mean_absolute_cosine
from correct_l0.metrics.decoder.measure import measure_projections, weighted_mean
from correct_l0.metrics.stability.measure import compare_seeds, stability_table

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float

WHAT = (
    "is no decoder; give W_dec, of shape (d_sae, d_in), or an SAE that has it: of SAELens, "
    "sparsify or load_sae"
)


def decoder_of(sae: Any) -> Float[Tensor, "d_sae d_in"]:
    """Return the decoder of an SAE, or the tensor or array that is one; float32, without gradient.

    Raises
    ------
    InputError
        If it is neither.
    """
    W_dec = getattr(sae, "W_dec", sae)
    if isinstance(W_dec, np.ndarray):
        W_dec = torch.from_numpy(W_dec)
    if not isinstance(W_dec, Tensor) or W_dec.dim() != 2:
        raise InputError(f"{type(sae).__name__} {WHAT}")
    return W_dec.detach().float()


def c_dec(sae: Any) -> float:
    """Return c_dec: the mean absolute cosine of all pairs of decoder rows.

    Parameters
    ----------
    sae
        An SAE of SAELens or sparsify, a `load_sae` result, or its decoder as a tensor or an array
        of shape (d_sae, d_in): any precision, on any device, with or without gradients. Rows of any
        norm: only their directions count.

    Raises
    ------
    InputError
        If it has no decoder, fewer than two rows, or a row that is zero or not finite.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, c_dec.

    Examples
    --------
    Cosines of three rows: 0, 0.6 and 0.8.

    >>> round(c_dec(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-0.6, 0.8]])), 6)
    0.466667
    """
    return mean_absolute_cosine(decoder_of(sae))


def s_n_dec(
    acts: Float[Tensor, "... d_in"] | Iterable[Float[Tensor, "... d_in"]],
    sae: Any,
    n: int | Sequence[int],
    *,
    b_dec: Float[Tensor, " d_in"] | None = None,
    activation_scale: float = 1.0,
) -> float | list[float]:
    """Return s_n^dec: the n-th highest projection, per token, of activations on the decoder.

    Parameters
    ----------
    acts
        Raw activations: one batch, or several of any sizes (a last short one too), of which the
        mean over batches is taken, each with the weight of its tokens. Axes before the last are
        tokens.
    sae
        As for `c_dec`. Rows of any norm are made unit vectors.
    n
        One rank or several, each below d_sae; well above the L0 in question.
    b_dec
        The decoder's bias; unset: that of the SAE.
    activation_scale
        What activations are multiplied by: to compare SAEs of several models, sqrt(d_in) over the
        mean norm.

    Returns
    -------
    float, or a list of them where several n are given

    Raises
    ------
    InputError
        If there is no decoder or no bias, an n is not between 1 and d_sae - 1, a row is zero, or a
        value is not finite.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, equations 3-4 of the first version.

    Examples
    --------
    Two tokens and three latents project 6, 1, 4 and 2, 5, 3: at index 1 * 2 of 6, 5, 4, 3, 2, 1
    stands 4. The decoder's rows have norm 2, the bias is zero.

    >>> acts = torch.tensor([[6.0, 1.0, 4.0], [2.0, 5.0, 3.0]])
    >>> s_n_dec(acts, 2 * torch.eye(3), 1, b_dec=torch.zeros(3))
    4.0
    """
    W_dec = decoder_of(sae)
    bias = getattr(sae, "b_dec", None) if b_dec is None else b_dec
    if bias is None:
        raise InputError(f"{type(sae).__name__} has no b_dec; give the decoder's bias as b_dec")
    norms = W_dec.norm(dim=1, keepdim=True)
    if not bool((torch.isfinite(norms) & (norms > 0)).all()):
        row = int((~(torch.isfinite(norms) & (norms > 0))).flatten().nonzero()[0])
        raise InputError(f"decoder row {row} is zero or not finite; leave it out")
    ranks = [n] if isinstance(n, int) else [*n]
    given = [acts] if isinstance(acts, Tensor | np.ndarray) else acts
    batches = (torch.as_tensor(each).detach().float().reshape(-1, W_dec.shape[1]) for each in given)
    bias = torch.as_tensor(bias).detach().to(W_dec)
    found = measure_projections(batches, W_dec / norms, bias, activation_scale, ranks)
    means = [weighted_mean(found.per_batch[:, i], found.tokens) for i in range(len(ranks))]
    return means[0] if isinstance(n, int) else means


def stability(saes: Sequence[Any] | Mapping[int, Any]) -> pd.DataFrame:
    """Return how alike SAEs are that differ in their seed alone: a row for each pair.

    Latents are matched one to one. `reproduced_share` is the mean over latents of how near the
    partner is (by the angle; 1: the same, 0: no nearer than chance), `share_above` the share whose
    partner has a cosine above 0.9, `pw_mcc` the mean cosine, `chance_*` the same of random
    decoders.

    Parameters
    ----------
    saes
        Two or more, in a list or by seed, each as for `c_dec`.

    Raises
    ------
    InputError
        If there are fewer than two, or they differ in shape.

    Examples
    --------
    Another seed found the same latents in another order, with rows of another norm.

    >>> table = stability([torch.eye(8), 3 * torch.eye(8).flip(0)])
    >>> table[["seed_a", "seed_b", "reproduced_share", "share_above"]].values.tolist()
    [[0.0, 1.0, 1.0, 1.0]]
    """
    by_seed = dict(saes) if isinstance(saes, Mapping) else dict(enumerate(saes))
    if len(by_seed) < 2:
        raise InputError(f"stability of {len(by_seed)} SAE; give two or more of one L0")
    return stability_table(compare_seeds({seed: decoder_of(x) for seed, x in by_seed.items()}))
