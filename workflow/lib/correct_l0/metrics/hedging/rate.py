"""How much of the shift of an SAE's latents lies in the span of the latents it was widened by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.metrics.assignment import unit_rows


@dataclass(frozen=True)
class HedgingRate:
    """What became of the shared latents.

    Attributes
    ----------
    rate
        The hedging rate, 0 to 1.
    projected
        Mean length of the shift's projection on the span of the new latents, in lengths of a row.
    by_chance, chance_spread
        The same for random subspaces of as many dimensions: mean and standard deviation over draws.
    shift
        Mean length of the shift, in lengths of a row.
    share_of_shift
        Share of the squared shift, summed over rows, that lies in the span; 0 without a shift.
    chance_share_of_shift
        What a random subspace has on average: its dimensions over d_in.
    """

    rate: float
    projected: float
    by_chance: float
    chance_spread: float
    shift: float
    share_of_shift: float
    chance_share_of_shift: float


@torch.no_grad()
def hedging_rate(
    control: Float[Tensor, "d_sae d_in"],
    widened: Float[Tensor, "wider d_in"],
    *,
    draws: int,
    seed: int,
) -> HedgingRate:
    """Return the hedging rate of an SAE from the two decoders it was trained on to.

    Rows are brought to unit norm, because their norms say nothing: the encoder can make up for
    them. With w_i the shared rows of the widened decoder, v_i those of the control, P the
    projection on the span of the new rows and P_r that on random subspaces of as many dimensions:

        p = mean_i ||P (w_i - v_i)||,   b = mean_r mean_i ||P_r (w_i - v_i)||,
        rate = max(0, (p - b) / (1 - b)).

    The shift is that of the widened SAE *against the control*, not against where both started: what
    more training does anyway is in both. Lengths are relative to those of the rows, which are 1, as
    in the authors' code, so that the rate says how much of a latent went over to the new ones; it
    grows with the length of the training. `share_of_shift` says instead how much of the shift went
    there, however long it is.

    Parameters
    ----------
    control
        Decoder after training on as it was.
    widened
        Decoder after the same training with more latents, which come last.
    draws
        Random subspaces.
    seed
        Of these.

    References
    ----------
    Chanin, Dulka and Garriga-Alonso, arXiv 2505.11756: the hedging rate (in its text, degree).

    Examples
    --------
    Of two latents the second had mixed in the third direction, which a new latent took over:

    >>> control = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.8, 0.6]])
    >>> widened = torch.eye(3)
    >>> found = hedging_rate(control, widened, draws=50, seed=0)
    >>> round(found.projected, 6), round(found.share_of_shift, 6), round(found.shift, 6)
    (0.3, 0.9, 0.316228)
    """
    shared = len(control)
    difference = unit_rows(widened[:shared]) - unit_rows(control)
    span = _basis(widened[shared:])
    inside = (difference @ span.T).norm(dim=1)
    generator = torch.Generator().manual_seed(seed)
    chance = []
    for _ in range(draws):
        drawn = torch.randn(span.shape, generator=generator).to(difference)
        chance.append((difference @ _basis(drawn).T).norm(dim=1).mean().cpu())
    lengths = torch.stack(chance)
    projected, by_chance = float(inside.mean()), float(lengths.mean())
    squared = float((difference**2).sum())
    return HedgingRate(
        rate=max(0.0, (projected - by_chance) / (1 - by_chance)),
        projected=projected,
        by_chance=by_chance,
        chance_spread=float(lengths.std()),
        shift=float(difference.norm(dim=1).mean()),
        share_of_shift=float((inside**2).sum()) / squared if squared else 0.0,
        chance_share_of_shift=len(span) / span.shape[1],
    )


def _basis(rows: Float[Tensor, "n d_in"]) -> Float[Tensor, "rank d_in"]:
    """Return an orthonormal basis of the span of some rows."""
    _, sizes, directions = torch.linalg.svd(rows, full_matrices=False)
    smallest = sizes[0] * torch.finfo(rows.dtype).eps * max(rows.shape)
    return directions[sizes > smallest]
