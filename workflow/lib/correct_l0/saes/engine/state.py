"""States of trainers, as checkpoints hold them."""

from __future__ import annotations

from torch import Tensor


def copy_exactly(value: Tensor, saved: Tensor) -> None:
    """Copy a saved tensor over one of the same shape; `copy_` would repeat a smaller one.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if value.shape != saved.shape:
        raise ValueError(f"shape {tuple(saved.shape)}, not {tuple(value.shape)}")
    value.copy_(saved)
