"""Adam on a GPU in one pass over a tensor, near the speed of its memory."""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

BLOCK = 1024
"""Values that a program has in hand."""


def update(
    trained: Sequence[Tensor],
    gradients: Sequence[Tensor],
    means: Sequence[Tensor],
    squares: Sequence[Tensor],
    scale: Float[Tensor, ""],
    steps: int,
    lr: float,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """Update values and moments in place, as `torch.optim.Adam` does.

    Parameters
    ----------
    trained, gradients, means, squares
        Contiguous, float32, by tensor.
    scale
        What the gradients are divided by.
    steps
        This one included.
    lr, betas, epsilon
        Adam's.

    References
    ----------
    Kingma & Ba, arXiv 1412.6980, algorithm 1.
    """
    first, second = (1 - beta**steps for beta in betas)
    for value, *others in zip(trained, gradients, means, squares, strict=True):
        grid = (triton.cdiv(value.numel(), BLOCK),)
        _update[grid](
            value, *others, scale, lr / first, second**-0.5, 1 - betas[0], 1 - betas[1], epsilon,
            value.numel(), BLOCK=BLOCK,
        )  # fmt: skip


@triton.jit
def _update(
    values, gradients, means, squares, scale, rate, root, new, new_square, epsilon, n,
    BLOCK: tl.constexpr,
):  # fmt: skip
    start = tl.program_id(0).to(tl.int64) * BLOCK
    at = tl.arange(0, BLOCK)
    inside = at < n - start
    values, gradients, means, squares = (
        values + start, gradients + start, means + start, squares + start,
    )  # fmt: skip
    gradient = tl.load(gradients + at, mask=inside, other=0.0) / tl.load(scale)
    mean = tl.load(means + at, mask=inside, other=0.0)
    square = tl.load(squares + at, mask=inside, other=0.0)
    mean += new * (gradient - mean)
    square += new_square * (gradient * gradient - square)
    value = tl.load(values + at, mask=inside, other=0.0)
    value -= rate * mean / (tl.sqrt(square) * root + epsilon)
    tl.store(values + at, value, mask=inside)
    tl.store(means + at, mean, mask=inside)
    tl.store(squares + at, square, mask=inside)
