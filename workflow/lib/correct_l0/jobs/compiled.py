"""Loops compiled at their first use and kept on disk for the processes that follow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from numba import njit

SUMS = {"reassoc", "contract", "nsz"}
"""What the compiler may change about a sum, so that it runs over several entries at once: their
order, and the rounding of products. NaN and infinity stay what they are."""


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function of arrays and numbers, with the rounding that it says."""
    return _compile(function)


def compiled_sums(function: Callable[..., Any]) -> Any:
    """Compile a function, its floating-point sums regrouped (`SUMS`)."""
    return _compile(function, fastmath=SUMS)


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        return _kept(njit(cache=True, **options)(function))
    except RuntimeError:
        # No folder can be written: neither beside the code nor in the home.
        _say_not_kept()
        return njit(**options)(function)


def _kept(dispatcher: Any) -> Any:
    """Return a function that compiles wherever its file on disk is of no use; numba would fail.

    That is a file that is torn, at every start, and a disk that is full or became read-only.
    """
    files = dispatcher._cache
    load, save = files.load_overload, files.save_overload

    def load_if_whole(signature: Any, context: Any) -> Any:
        try:
            return load(signature, context)
        except Exception:  # Whatever unpickling half a file, or any bytes, may raise.
            _unless_impossible(files.flush)
            return None

    def save_if_possible(signature: Any, result: Any) -> None:
        _unless_impossible(save, signature, result)

    files.load_overload, files.save_overload = load_if_whole, save_if_possible
    return dispatcher


def _unless_impossible(function: Callable[..., Any], *arguments: Any) -> None:
    try:
        function(*arguments)
    except Exception:  # Those of the disk, and of unpickling what could not be replaced.
        _say_not_kept()


@cache
def _say_not_kept() -> None:
    """Say once in a process what it costs that nothing is kept."""
    print(
        "compiled loops cannot be kept: seconds are lost at each start; "
        "set NUMBA_CACHE_DIR to a folder that can be written",
        file=sys.stderr,
    )
