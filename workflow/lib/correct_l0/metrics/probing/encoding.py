"""Latent activations of the prompts' rows, as probing reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from correct_l0.jobs.beside import to_device
from correct_l0.saes.saved import SavedSae

if TYPE_CHECKING:
    from jaxtyping import Float, Int

ENCODE_ROWS = 128
"""Rows encoded at once, as in the package: another number may round differently."""


@torch.inference_mode()
def encode(
    sae: SavedSae, x: Float[Tensor, "rows d_in"], columns: Int[Tensor, " latents"] | None = None
) -> Float[Tensor, "rows latents"]:
    """Return latent activations on the CPU, encoded on the SAE's device in batches of 128 rows.

    From a device the latents of all rows come back at once, which it must hold.
    """
    device = sae.W_dec.device
    columns = None if columns is None else columns.to(device)
    rows = (to_device(part, device) for part in x.split(ENCODE_ROWS))
    return torch.cat([sae.encode(part, columns).float() for part in rows]).cpu()
