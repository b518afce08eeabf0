"""Decoders along a training, kept at its tenths: what is compared between seeds, no more.

Until the SAE is written they lie in memory and in its checkpoint, so that a training that goes on
has those before it, and each once. They are told by the manifest of the SAE: a file that it does
not name is of an earlier training.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from correct_l0.provenance.manifest import replacing
from correct_l0.saes.training.evaluate import quantiles, row_cosines

if TYPE_CHECKING:
    from jaxtyping import Float

FILE = "snapshots.safetensors"
"""In the folder of an SAE: a decoder by number of steps, all tenths but the last, which is its own
decoder."""


def directions_of(W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "d_sae d_in"]:
    """Return the unit rows of a decoder on the CPU, at half precision.

    A coordinate is off by 2^-12 of itself at most, so that cosines of two rows are off by about
    2^-12 / sqrt(d_in): no printed digit of what is read of them.

    Examples
    --------
    >>> directions_of(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6001, 0.7998]], dtype=torch.float16)
    """
    return torch.nn.functional.normalize(W_dec, dim=1).half().cpu()


def write_snapshots(
    folder: Path,
    snapshots: Mapping[int, Float[Tensor, "d_sae d_in"]],
    initial: Float[Tensor, "d_sae d_in"],
) -> tuple[list[str], dict[str, Any]]:
    """Write the decoders of a training; return the file's name and what the manifest tells of them.

    Parameters
    ----------
    folder
        Of the SAE.
    snapshots
        Decoders by number of steps. Where there are none, a file of an earlier training goes.
    initial
        The decoder that the training started with.

    Returns
    -------
    list of str, dict
        `FILE` or nothing, and `init_cosine_medians`: the median cosine of a row with its initial
        one, by number of steps.
    """
    if not snapshots:
        (folder / FILE).unlink(missing_ok=True)
        return [], {}
    with replacing(folder / FILE) as path:
        save_file({str(step): W_dec for step, W_dec in snapshots.items()}, path)
        # safetensors makes files that only their owner can read.
        path.chmod(0o644)
    medians = {
        str(step): quantiles(row_cosines(W_dec.float(), initial))["0.5"]
        for step, W_dec in snapshots.items()
    }
    return [FILE], {"init_cosine_medians": medians}


def snapshot_steps(record: Mapping[str, Any]) -> tuple[int, ...]:
    """Return after how many steps decoders were kept, by the manifest of an SAE."""
    return tuple(sorted(map(int, record.get("init_cosine_medians", {}))))


def read_snapshot(folder: Path, step: int) -> Float[Tensor, "d_sae d_in"]:
    """Return the decoder of an SAE after so many steps, float32."""
    with safe_open(folder / FILE, "pt") as file:
        found: Tensor = file.get_tensor(str(step))
    return found.float()
