"""s_n^dec over many batches, in both readings, with standard errors."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.jobs.beside import to_device
from correct_l0.jobs.kernels import why_not_compiled
from correct_l0.metrics.decoder.histogram import (
    BINS,
    HIGH,
    LOW,
    Ranks,
    density_at,
    value_of_bin,
)
from correct_l0.metrics.decoder.projection import check_n, check_unit_norm
from correct_l0.metrics.decoder.streaming import ProjectionStream

if TYPE_CHECKING:
    from jaxtyping import Float, Int

BATCH_MEAN, POOLED = "batch_mean", "pooled"


@dataclass(frozen=True)
class ProjectionStatistics:
    """What is kept of the projections of all batches.

    Attributes
    ----------
    tokens
        Tokens of each batch.
    per_batch
        s_n^dec of each batch, in training units.
    above
        Projections per token above a fixed level close to s_n^dec, of each batch.
    counts
        Fine histogram over all batches.
    second_passes
        Batches that were projected twice, as too little was kept the first time.
    """

    n: tuple[int, ...]
    tokens: Int[np.ndarray, " batches"]
    per_batch: Float[np.ndarray, "batches n"]
    above: Float[np.ndarray, "batches n"]
    counts: Int[Tensor, " bins"]
    second_passes: int


def stream_on(W_dec: Float[Tensor, "d_sae d_in"], n: Sequence[int]) -> ProjectionStream:
    """Return what measures the projections on a decoder, on the decoder's device.

    Where a GPU's kernels cannot be compiled, stderr says why, and the GPU goes the CPU's way, in
    more time.
    """
    if not W_dec.is_cuda:
        return ProjectionStream(W_dec, n)

    def trial() -> None:
        from correct_l0.metrics.decoder.sifting import sift

        nothing = torch.zeros(1, BINS, dtype=torch.int32, device=W_dec.device)
        sift(torch.zeros(1, device=W_dec.device), counts=nothing)

    if why := why_not_compiled(trial):
        print(f"s_n^dec takes longer: the GPU's kernels do not compile ({why})", file=sys.stderr)
        return ProjectionStream(W_dec, n)
    from correct_l0.metrics.decoder.on_device import DeviceStream

    return DeviceStream(W_dec, n)


def measure_projections(
    batches: Iterable[Float[Tensor, "batch d_in"]],
    W_dec: Float[Tensor, "d_sae d_in"],
    b_dec: Float[Tensor, " d_in"],
    activation_scale: float,
    n: Sequence[int],
) -> ProjectionStatistics:
    """Return the statistics of the projections of batches, without ever holding them.

    Parameters
    ----------
    batches
        Raw activations, in batches that may differ in size; without tokens, one is left out.
    W_dec, b_dec
        Decoder with unit-norm rows, and its bias in raw units; on the device to compute on.
    activation_scale
        Training units per raw unit.
    n
        Whole numbers below d_sae.

    Raises
    ------
    InputError
        If there is no batch, a row of the decoder is not of unit norm, an n is out of range, or
        an activation is not finite.
    """
    check_unit_norm(W_dec)
    d_sae = len(W_dec)
    check_n(n, d_sae)
    stream = stream_on(W_dec, n)
    per_batch: list[list[float]] = []
    above: list[list[float]] = []
    levels: list[int] = []
    counts = np.zeros(BINS, dtype=np.int64)
    sizes: list[int] = []
    centred = (
        (to_device(x, W_dec.device) - b_dec).mul_(activation_scale) for x in batches if len(x)
    )
    try:
        for size, values, ranks in stream.each(centred):
            sizes.append(size)
            per_batch.append(values)
            levels = levels or [ranks.bin_of(rank * size) for rank in n]
            above.append([d_sae - ranks.below(level + 1) / size for level in levels])
            # torch takes seven times as long to add up whole numbers of two widths.
            counts += ranks.counts
    except FloatingPointError as error:
        raise InputError(
            f"batch {len(per_batch)} of the held-out tokens has a value that is not finite; "
            "verify the activation cache"
        ) from error
    if not per_batch:
        raise InputError("no batch of held-out tokens; cache more or make the batches smaller")
    return ProjectionStatistics(
        tuple(n),
        np.array(sizes),
        np.array(per_batch),
        np.array(above),
        torch.from_numpy(counts),
        stream.second_passes,
    )


def s_n_dec_table(statistics: ProjectionStatistics) -> pd.DataFrame:
    """Return s_n^dec as a table: one row per n and statistic.

    `batch_mean` is the authors' statistic: the mean of s_n^dec over batches, each with the weight
    of its tokens, and the standard error of that mean. `pooled` is the same order statistic over
    the tokens of all batches at once, read from the fine histogram (within
    `histogram.RESOLUTION_BOUND`); its standard error is the spread over batches of the number of
    projections above it, divided by the density there
    (delta method for a quantile, batches as independent clusters). With one batch there is no
    standard error.

    Raises
    ------
    InputError
        If a pooled value is beyond the histogram's range.

    References
    ----------
    Woodruff (1952), Confidence intervals for medians and other position measures.
    """
    sizes, tokens = statistics.tokens, int(statistics.tokens.sum())
    shared = {"batches": len(sizes), "tokens": tokens}
    ranks, rows = Ranks(statistics.counts), []
    for column, rank in enumerate(statistics.n):
        values, above = statistics.per_batch[:, column], statistics.above[:, column]
        level = ranks.bin_of(rank * tokens)
        if level in (0, len(statistics.counts) - 1):
            raise InputError(
                f"s_n^dec at n {rank} is beyond {LOW}..{HIGH} training units; "
                "check the SAE's activation_scale"
            )
        density = density_at(statistics.counts, level) / tokens
        pooled_error = standard_error(above, sizes) / density if density else math.nan
        rows += [
            {"n": rank, "statistic": name, "value": value, "standard_error": error, **shared}
            for name, value, error in (
                (BATCH_MEAN, weighted_mean(values, sizes), standard_error(values, sizes)),
                (POOLED, value_of_bin(level), pooled_error),
            )
        ]
    return pd.DataFrame(rows)


def weighted_mean(
    values: Float[np.ndarray, " batches"], tokens: Int[np.ndarray, " batches"]
) -> float:
    """Return the mean of the batches' values, each with the weight of its tokens.

    Examples
    --------
    >>> weighted_mean(np.array([3.0, 0.5]), np.array([1, 3])) == (1 * 3.0 + 3 * 0.5) / 4
    True
    """
    return float(np.average(values, weights=tokens / tokens.mean()))


def standard_error(
    values: Float[np.ndarray, " batches"], tokens: Int[np.ndarray, " batches"]
) -> float:
    """Return the standard error of the weighted mean over batches; NaN for a single one.

    References
    ----------
    Cochran (1977), Sampling Techniques, equation 6.13: the mean of clusters of unequal size.

    Examples
    --------
    >>> standard_error(np.array([1.0, 2.0, 3.0]), np.array([8, 8, 8])) == 1 / math.sqrt(3)
    True
    """
    if len(values) < 2:
        return math.nan
    deviations = tokens / tokens.mean() * (values - weighted_mean(values, tokens))
    variance = np.square(deviations).sum() / (len(values) - 1)
    return float(math.sqrt(variance) / math.sqrt(len(values)))
