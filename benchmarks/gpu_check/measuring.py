"""Time, memory and rates of a device."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from benchmarks.gpu_check.floors import Rates, product_flop
from benchmarks.gpu_check.shapes import Shapes

PRECISIONS = {"float32": "highest", "reduced": "medium"}
"""torch's names of what `precision` in a training's settings means."""


def synchronize(device: str) -> None:
    """Wait until the device has done all it was asked to."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(call: Callable[[], object], device: str) -> float:
    """Return the seconds of one call, what it left to the device included."""
    synchronize(device)
    started = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - started


def median_seconds(call: Callable[[], object], repeats: int, device: str) -> float:
    """Return the median over several calls, after one that is not counted."""
    call()
    return statistics.median(seconds_of(call, device) for _ in range(repeats))


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Within the block compute matrix products as a training of this precision does."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(PRECISIONS[precision])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def product_rate(size: int, dtype: torch.dtype, device: str) -> float:
    """Return the FLOP per s of a square product of random numbers."""
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return product_flop(size, size, size) / median_seconds(lambda: left @ right, 5, device)


def copy_rate(size_bytes: int, device: str) -> float:
    """Return the bytes per s, read and written, of a copy on the device."""
    source = torch.ones(size_bytes // 8, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / median_seconds(lambda: target.copy_(source), 5, device)


def rates_of(shapes: Shapes, device: str) -> Rates:
    """Return the rates that a step's floor is made of."""
    product = product_rate(shapes.product, torch.bfloat16, device)
    return Rates(product, copy_rate(shapes.copied_bytes, device))


def reset_peak(device: str) -> None:
    """Forget the largest memory so far, and what is held by references in a circle."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gb(device: str) -> float | None:
    """Return the largest memory since `reset_peak` in GB, tensors only; None on a CPU."""
    return torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None


def covered(intervals: Sequence[tuple[float, float]]) -> float:
    """Return the length of the union of intervals.

    Examples
    --------
    >>> covered([(0, 2), (1, 3), (5, 6), (5.5, 5.75)])
    4.0
    """
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
