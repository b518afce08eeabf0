"""Whether a GPU's kernels can be compiled on this machine."""

from __future__ import annotations

from collections.abc import Callable


def why_not_compiled(trial: Callable[[], None]) -> str:
    """Return why a trial of the kernels failed; empty where it did not.

    Raises
    ------
    torch.OutOfMemoryError
        If the GPU is full, which says nothing of the kernels.

    Examples
    --------
    >>> why_not_compiled(lambda: None)
    ''
    >>> why_not_compiled(lambda: int("no"))
    "ValueError: invalid literal for int() with base 10: 'no'"
    """
    import torch

    try:
        trial()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # Triton is missing, or lacks a C compiler or Python.h.
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return ""
