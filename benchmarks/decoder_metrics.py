"""s_n^dec for eight n, and c_dec, against the authors' code and the matrix products alone.

Ours is what a job runs on a batch: `measure_projections`, with its check of the decoder's norms,
and with the fine histogram behind the pooled statistic and the figure, which the authors' code
does not make.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from comparison import Comparison, Sides

if TYPE_CHECKING:
    import torch

SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""The eight n as shares of d_sae: the defaults of `decoder_metrics.n`."""

AUTHORS, PRODUCT = "authors' code: flatten, sort, index", "the matrix product alone"


def decoder(d_in: int, d_sae: int) -> torch.Tensor:
    """Return random rows of norm 1."""
    import torch

    W_dec = torch.randn(d_sae, d_in, generator=torch.Generator().manual_seed(0))
    return W_dec.div_(W_dec.norm(dim=1, keepdim=True))


def projections(rival: str, batch: int, d_in: int, d_sae: int) -> Sides:
    """Return the sides that read s_n^dec for eight n off one batch."""
    import torch

    from correct_l0.metrics.decoder.measure import measure_projections

    W_dec, b_dec = decoder(d_in, d_sae), torch.zeros(d_in)
    x = torch.randn(batch, d_in, generator=torch.Generator().manual_seed(1))
    n = [int(share * d_sae) for share in SHARES]

    def authors() -> list[float]:
        ordered = ((x - b_dec) @ W_dec.T).flatten().sort(descending=True).values
        return [float(ordered[rank * batch]) for rank in n]

    rivals = {AUTHORS: authors, PRODUCT: lambda: (x - b_dec) @ W_dec.T}
    return {
        "ours": lambda: measure_projections([x], W_dec, b_dec, 1.0, n),
        "rival": rivals[rival],
    }


def cosines(d_in: int, d_sae: int) -> Sides:
    """Return the sides: c_dec, and nothing but the products it is made of."""
    import torch

    from correct_l0.metrics.decoder.cosine import BLOCK_ROWS_CPU, mean_absolute_cosine

    W_dec = decoder(d_in, d_sae)

    def product_alone() -> None:
        blocks = W_dec.split(BLOCK_ROWS_CPU)
        product = torch.empty(BLOCK_ROWS_CPU, BLOCK_ROWS_CPU)
        for index, block in enumerate(blocks):
            for other in blocks[index:]:
                torch.matmul(block, other.T, out=product)

    return {"ours": lambda: mean_absolute_cosine(W_dec), "rival": product_alone}


def comparison(rival: str, target: float, batch: int, d_in: int, d_sae: int) -> Comparison:
    """Return a comparison of s_n^dec on one batch."""
    short = "authors" if rival == AUTHORS else "product"
    prepare: Callable[[], Sides] = functools.partial(projections, rival, batch, d_in, d_sae)
    return Comparison(
        name=f"s_n_dec-{d_in}x{d_sae}-{short}",
        room="decoder_metrics",
        workload=f"s_n^dec, 8 n: {batch} tokens, {d_in} x {d_sae}",
        rival=rival,
        prepare=prepare,
        target=target,
        unit="ms per batch",
        rounds=7 if d_sae < 10_000 else 3,
        memory_limit_mb=100,
    )


COMPARISONS = [
    comparison(AUTHORS, 4.0, 4096, 384, 3072),
    comparison(PRODUCT, 1 / 2.5, 4096, 384, 3072),
    comparison(AUTHORS, 2.0, 1024, 2304, 32768),
    comparison(PRODUCT, 1 / 1.3, 1024, 2304, 32768),
    *(
        Comparison(
            name=f"c_dec-2304x{d_sae}",
            room="decoder_metrics",
            workload=f"c_dec: 2304 x {d_sae}",
            rival=f"{PRODUCT}, each pair of rows once",
            prepare=functools.partial(cosines, 2304, d_sae),
            target=1 / 1.3,
            unit="s per decoder",
            rounds=rounds,
            memory_limit_mb=200,
        )
        # At the paper's 32768 a call takes 16 times as long as at 8192, and the same memory.
        for d_sae, rounds in ((8192, 5), (16384, 3))
    ),
]
