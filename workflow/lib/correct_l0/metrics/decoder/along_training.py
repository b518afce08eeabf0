"""The decoder metrics that trainings watch along their way, handed to them by their job.

Nothing heavy is imported before it is used: a job may find that there is nothing to train.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from correct_l0.saes.training.schedules import Measures


def measures() -> Measures:
    """Return what trainings watch."""
    from correct_l0.metrics.decoder.cosine import mean_absolute_cosine
    from correct_l0.saes.training.schedules import Measures

    return Measures(mean_absolute_cosine, batch_s_n_dec)


def batch_s_n_dec(x: Tensor, W_dec: Tensor, b_dec: Tensor, n: int) -> float:
    """Return s_n^dec of one batch, with the decoder's rows at unit norm.

    Examples
    --------
    Projections 2, 1, 0 and 4 of two tokens on two unit rows: for n = 1 two belong to active
    latents, and the largest of the others is 1.

    >>> import torch
    >>> x, W_dec = torch.tensor([[2.0, 1.0], [0.0, 4.0]]), torch.diag(torch.tensor([3.0, 5.0]))
    >>> batch_s_n_dec(x, W_dec, torch.zeros(2), 1)
    1.0
    """
    from correct_l0.metrics.decoder.projection import order_statistics, project

    units = W_dec / W_dec.norm(dim=1, keepdim=True)
    return float(order_statistics(project(x, units, b_dec), [n]))
