"""Memory of a training step that is kept for the next one.

Of a step of a small SAE (1024 x 100 x 50) a third is spent on memory that is new: the system has to
hand it out page by page. SAEs of one width that take turns share it: between two steps nothing in
it is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Gradients(NamedTuple):
    """Gradients of the weights, in the order in which `loss_and_gradients` takes these."""

    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_in"]
    b_dec: Float[Tensor, " d_in"]

    @classmethod
    def empty_like(cls, W_enc: Tensor, W_dec: Tensor) -> Gradients:
        """Return memory for gradients of such weights, `W_enc` in the layout of the weights."""
        d_sae, d_in = W_dec.shape
        empty = torch.empty_like
        return cls(empty(W_enc), W_dec.new_empty(d_sae), empty(W_dec), W_dec.new_empty(d_in))


@dataclass
class Workspace:
    """Where a step writes its gradients and what lies on the way to them.

    Attributes
    ----------
    gradients
        The gradients.
    """

    gradients: Gradients
    _tensors: dict[str, Tensor] = field(default_factory=dict)

    def empty(
        self, name: str, rows: int, columns: int, dtype: torch.dtype | None = None
    ) -> Float[Tensor, "rows columns"]:
        """Return memory under a name: the last step's, where shape and type are the same.

        The type is the weights' unless said.
        """
        found, dtype = self._tensors.get(name), dtype or self.gradients.W_dec.dtype
        if found is None or found.shape != (rows, columns) or found.dtype != dtype:
            found = self.gradients.W_dec.new_empty(rows, columns, dtype=dtype)
            self._tensors[name] = found
        return found
