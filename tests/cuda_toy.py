"""A made-up CUDA device, whose streams take time as a real one's do."""

import re
import threading
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

COPY_S = 4.0


class Event:
    def __init__(self, enable_timing=False):
        self.timed, self.at = enable_timing, None

    def query(self):
        return self.at <= Cuda.now

    def elapsed_time(self, other):
        assert self.timed and other.timed
        return 1000 * (other.at - self.at)


class Stream:
    """Has done all that it was asked to at `free_at`, in s."""

    def __init__(self):
        self.free_at = 0.0

    def record_event(self, event=None):
        event = event or Event()
        event.at = self.free_at
        return event

    def wait_event(self, event):
        self.free_at = max(self.free_at, event.at)


class Cuda:
    """What the host sees of the device; it hands out all work at time 0 and looks at `now`."""

    now = 0.0
    main: Stream
    read_by: list


def made_up_cuda(monkeypatch):
    """Put a device in the place of CUDA's, whose copies take `COPY_S`; return it."""
    Cuda.now, Cuda.main, Cuda.read_by = 0.0, Stream(), []
    current = threading.local()

    @contextmanager
    def stream(chosen):
        current.stream = chosen
        chosen.free_at += COPY_S
        yield
        current.stream = Cuda.main

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: getattr(current, "stream", Cuda.main))
    monkeypatch.setattr(
        torch.Tensor, "record_stream", lambda self, by: Cuda.read_by.append((self.data_ptr(), by))
    )
    return Cuda


class Numbers(TorchDispatchMode):
    """Within the block whatever would make the host wait for a device fails.

    That is what brings a number to the host, if only the number of values that are chosen, or makes
    a tensor of one that the host has: such a copy waits too.
    """

    WAITS = r"_local_scalar_dense|nonzero\.|masked_select|unique|lift_fresh"

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function)
        by_truths = name.startswith("aten.index") and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool
            for index in (args[1] if isinstance(args[1], (list, tuple)) else ())
        )
        assert not by_truths and not re.search(self.WAITS, name), name
        return function(*args, **(kwargs or {}))


class There(torch.Tensor):
    """A tensor that counts as one on CUDA; its values are in the host's memory."""


class Places(TorchFunctionMode):
    """Within the block tensors are on one of two devices, and what mixes both fails.

    As on a real device a tensor of one value may meet any other, and numpy has those of the host.
    `brought` has the length of each tensor that `cpu()` brought back from the device.
    """

    def __init__(self):
        super().__init__()
        self.brought = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.device:
            return function(*args, **kwargs)
        name, given = getattr(function, "__name__", ""), []
        tree_map(lambda x: given.append(x) if isinstance(x, torch.Tensor) else None, [args, kwargs])
        there = any(isinstance(x, There) for x in given)
        if function == torch.Tensor.device.__get__:
            return torch.device("cuda" if there else "cpu")
        if function == torch.Tensor.is_cuda.__get__:
            return there
        # Where the result will be: as said, as another tensor, or where the operands are.
        if name == "cpu" and there:
            self.brought.append(len(args[0]))
        if name in ("to", "cpu"):
            places = [x for x in (*args[1:], *kwargs.values()) if isinstance(x, There)]
            said = [str(x) for x in (*args[1:], *kwargs.values()) if str(x) in ("cuda", "cpu")]
            there = name == "to" and (bool(places) or "cuda" in said or (there and not said))
        elif "device" in kwargs:
            there = str(kwargs["device"]) == "cuda"
        elif there:
            assert name not in ("numpy", "__array__"), "numpy was given a tensor of the device"
            assert all(isinstance(x, There) or x.dim() == 0 for x in given), f"{name} mixes devices"
        args, kwargs = tree_map(self._here, args), tree_map(self._here, kwargs)
        found = function(*args, **kwargs)
        return tree_map(self._there, found) if there else found

    @staticmethod
    def _here(x):
        if isinstance(x, torch.device):
            return torch.device("cpu")
        if isinstance(x, str) and x == "cuda":
            return "cpu"
        return x.as_subclass(torch.Tensor) if isinstance(x, There) else x

    @staticmethod
    def _there(x):
        return x.as_subclass(There) if isinstance(x, torch.Tensor) else x
