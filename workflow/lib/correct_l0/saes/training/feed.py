"""A stream's batches on the training device, in training units, and the time waited for them."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.jobs.beside import to_device

if TYPE_CHECKING:
    from correct_l0.saes.training.train import Batches


class Feed(Protocol):
    """Batches for the SAEs of a group: read, copied and scaled once for all of them."""

    def batch(self, step: int) -> Float[Tensor, "batch d_in"]:
        """Return the batch of one step in training units, which is not to be changed."""

    def waited_s(self) -> float:
        """Return the seconds of waiting for data that no earlier call returned."""

    def close(self) -> None:
        """Leave the stream alone from now on."""


def feed_of(batches: Batches, device: str, scale: float) -> Feed:
    """Return a stream's batches on a device.

    Parameters
    ----------
    batches
        Raw rows by step, of any floating-point type.
    device
        `cpu` or `cuda`.
    scale
        Factor from raw activations to training units.
    """
    return HostFeed(batches, scale) if device == "cpu" else DeviceFeed(batches, device, scale)


class HostFeed:
    """Batches for a training on the CPU: each is made when it is asked for.

    Examples
    --------
    >>> class Ones:
    ...     def batch(self, step):
    ...         return torch.ones(1, 2)
    >>> HostFeed(Ones(), scale=0.5).batch(0)
    tensor([[0.5000, 0.5000]])
    """

    def __init__(self, batches: Batches, scale: float) -> None:
        self._batches, self._scale, self._waited_s = batches, scale, 0.0

    def batch(self, step: int) -> Float[Tensor, "batch d_in"]:
        """Return the batch of one step in training units."""
        started = time.perf_counter()
        rows = self._batches.batch(step)
        self._waited_s += time.perf_counter() - started
        return rows.float() * self._scale

    def waited_s(self) -> float:
        """Return the seconds in which the stream made batches."""
        waited, self._waited_s = self._waited_s, 0.0
        return waited

    def close(self) -> None:
        """Do nothing."""


class DeviceFeed:
    """Batches for a training on CUDA: the next one is made and copied beside a step's kernels.

    A thread asks the stream for it, puts it into pinned memory, without which a copy waits for the
    host, and copies, converts and scales it on a CUDA stream of its own: rows of two bytes a value
    are half the work of the host. Nothing else asks the stream, which may use a batch's memory
    again for the next one. Pinned memory is torch's own, which gives it out again once its copy has
    ended.

    Waiting is the device's own: from where it had done all that it was asked to until the batch was
    there. The host learns of it later, without waiting for the device.

    References
    ----------
    PyTorch, "CUDA semantics" (CUDA streams; use pinned memory buffers), `Tensor.record_stream`.
    """

    def __init__(self, batches: Batches, device: str, scale: float) -> None:
        self._batches, self._device, self._scale = batches, device, scale
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._stream = torch.cuda.Stream()
        self._ahead: dict[int, Future[tuple[Tensor, torch.cuda.Event]]] = {}
        self._waits: deque[tuple[torch.cuda.Event, torch.cuda.Event]] = deque()

    def batch(self, step: int) -> Float[Tensor, "batch d_in"]:
        """Return the batch of one step in training units; have the next one made."""
        current = torch.cuda.current_stream()
        idle = current.record_event(torch.cuda.Event(enable_timing=True))
        made = self._ahead.pop(step, None) or self._worker.submit(self._make, step)
        sae_in, copied = made.result()
        self._ahead = {step + 1: self._worker.submit(self._make, step + 1)}
        current.wait_event(copied)
        # Else its memory, which belongs to the other stream, is given out while this one reads it.
        sae_in.record_stream(current)
        ready = current.record_event(torch.cuda.Event(enable_timing=True))
        self._waits.append((idle, ready))
        return sae_in

    def _make(self, step: int) -> tuple[Tensor, torch.cuda.Event]:
        """Return a batch that is on its way to the device, and what happens when it is there."""
        rows = self._batches.batch(step)
        with torch.cuda.stream(self._stream):
            sae_in = to_device(rows, self._device).float() * self._scale
            return sae_in, self._stream.record_event()

    def waited_s(self) -> float:
        """Return the seconds in which the device had nothing to do for want of a batch."""
        waited = 0.0
        while self._waits and self._waits[0][1].query():
            idle, ready = self._waits.popleft()
            waited += idle.elapsed_time(ready) / 1000
        return waited

    def close(self) -> None:
        """End the thread once it has made what it is at."""
        self._worker.shutdown(cancel_futures=True)
        self._ahead.clear()
