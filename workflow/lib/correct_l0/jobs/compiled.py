"""Loops compiled at their first use and kept on disk for the processes that follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

SUMS = {"reassoc", "contract", "nsz"}
"""What the compiler may change about a sum, so that it runs over several entries at once: their
order, and the rounding of products. NaN and infinity stay what they are."""


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function of arrays and numbers, with the rounding that it says."""
    return _kept(njit(cache=True, nogil=True, error_model="numpy")(function))


def compiled_sums(function: Callable[..., Any]) -> Any:
    """Compile a function, its floating-point sums regrouped (`SUMS`)."""
    return _kept(njit(cache=True, nogil=True, error_model="numpy", fastmath=SUMS)(function))


def _kept(dispatcher: Any) -> Any:
    """Make a function whose file on disk is torn compile again; numba would fail at every start."""
    cache = dispatcher._cache
    load = cache.load_overload

    def load_if_whole(signature: Any, context: Any) -> Any:
        try:
            return load(signature, context)
        except Exception:  # Whatever unpickling half a file, or any bytes, may raise.
            cache.flush()
            return None

    cache.load_overload = load_if_whole
    return dispatcher
