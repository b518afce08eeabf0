"""What the host does beside a device that computes: neither waits for the other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def to_device(values: Tensor, device: torch.device | str) -> Tensor:
    """Return a tensor of the host's on a device; on CUDA it may still be on its way."""
    if torch.device(device).type != "cuda":
        return values.to(device)
    # From other memory the copy would wait for all that the device has been asked to.
    return values.pin_memory().to(device, non_blocking=True)


def to_host(values: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """Send a tensor to the host; it is there when the event has happened, if there is one."""
    if not values.is_cuda:
        return values, None
    # Such a copy goes to pinned memory, which torch keeps until it is done.
    return values.to("cpu", non_blocking=True), torch.cuda.current_stream().record_event()


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def one_behind(items: Iterable[T]) -> Iterator[T]:
    """Yield each item when the one after it has been made.

    Examples
    --------
    >>> made = []
    >>> [(item, len(made)) for item in one_behind(made.append(i) or i for i in "abc")]
    [('a', 2), ('b', 3), ('c', 3)]
    """
    last: list[T] = []
    for item in items:
        yield from last
        last = [item]
    yield from last
