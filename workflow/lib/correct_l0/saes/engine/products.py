"""The dense products of a training step: of float32, or of bfloat16 with sums in float32."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def operand(values: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Return a factor as products take it: rounded to bfloat16 on CUDA in reduced precision.

    A processor rounds within its products, if it does. Rounded beforehand, a factor of two products
    is rounded once.
    """
    return values.to(operand_type(values))


def operand_type(values: Tensor) -> torch.dtype:
    """Return the type of a factor."""
    return torch.bfloat16 if _rounds(values) else values.dtype


def _rounds(values: Tensor) -> bool:
    if not values.is_cuda or values.dtype != torch.float32:
        return False
    return torch.get_float32_matmul_precision() == "medium"


def product(
    left: Float[Tensor, "rows inner"],
    right: Float[Tensor, "inner columns"],
    out: Float[Tensor, "rows columns"] | None = None,
) -> Float[Tensor, "rows columns"]:
    """Return a matrix product of two factors, rounded beforehand or not, in float32.

    Examples
    --------
    >>> product(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    left, right = operand(left), operand(right)
    if left.dtype != torch.bfloat16:
        return torch.mm(left, right, out=out)
    if out is None:
        return torch.mm(left, right, out_dtype=torch.float32)
    return torch.mm(left, right, out_dtype=torch.float32, out=out)
