"""The selected activations of a batch on a GPU, as a step's products take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.saes.engine.dense import DensePattern
from correct_l0.saes.engine.device_dense import kept
from correct_l0.saes.engine.device_pattern import DevicePattern
from correct_l0.saes.engine.on_device import Acts, Edge, edge_of
from correct_l0.saes.engine.products import operand_type
from correct_l0.saes.engine.workspace import Workspace

if TYPE_CHECKING:
    from correct_l0.saes.engine.step import StepOptions


def select(
    product: Float[Tensor, "batch d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    norms: Float[Tensor, " d_sae"],
    options: StepOptions,
    work: Workspace,
) -> tuple[DensePattern | DevicePattern, Edge]:
    """Return the selected activations, and which they are.

    Parameters
    ----------
    product
        Of the centred batch and the encoder; written to.
    b_enc, norms
        The encoder's bias and the decoder norms.
    options
        Of the step.
    work
        Memory to write to.
    """
    acts, count = Acts(product, b_enc, norms), options.count
    if options.per_token is None:
        edge = edge_of(acts, count, options.guess)
    else:
        acts, edge = _largest_of_rows_(acts, options.per_token)
        count = options.per_token * len(product)
    if options.sparse:
        return DevicePattern(acts, edge, count), edge
    dtype = operand_type(product)
    z = product if dtype == product.dtype else work.empty("z", len(product), len(norms), dtype)
    return DensePattern(kept(acts, edge, z), None, work), edge


def _largest_of_rows_(acts: Acts, k: int) -> tuple[Acts, Edge]:
    """Return z of the k largest values of each token, where positive, which all stay."""
    z = acts.product.add_(acts.b_enc)
    latents = (z * acts.norms).topk(k, dim=1, sorted=False).indices
    values = z.gather(1, latents).relu_()
    z.zero_().scatter_(1, latents, values)
    n_kept, nothing = (values > 0).sum(), z.new_zeros(())
    none = torch.zeros_like(n_kept)
    zeros = torch.zeros_like(acts.norms)
    return Acts(z, zeros, zeros + 1), Edge(nothing, none, none, n_kept)
