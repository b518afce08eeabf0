"""Part 4: how much of a step's time the device waits for data or for launches."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from benchmarks.gpu_check import package
from benchmarks.gpu_check.measuring import covered, synchronize
from benchmarks.gpu_check.memory_store import MemoryBatches, MemoryStore
from benchmarks.gpu_check.rows import Report
from benchmarks.gpu_check.shapes import Shapes
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

WARM_UP, WINDOW = 5, 10
"""Steps before anything is measured; steps of each of the two windows."""
DEAD, WINDOW_OF_DEAD, NEVER = 0.05, 1000, -100.0
"""Share of the latents that are made dead; steps after which one is; a bias of the encoder at which
it does not fire."""
WAITING = 0.05
"""Share of the time that a group's device may wait."""


class Enough(Exception):
    """Ends a training whose steps have all been seen."""


def run(report: Report, shapes: Shapes, device: str) -> None:
    """Report the share of waiting with one SAE and with a group."""
    rows = torch.cat(package.activations(shapes.d_in, shapes.batch_tokens, "cpu")).bfloat16()
    store = MemoryStore(rows, held_out=shapes.batch_tokens)
    few, many = shapes.step_l0[1:3]
    for l0s in ((few,), (many,), shapes.step_l0):
        name = f"one SAE, L0 {l0s[0]}" if len(l0s) == 1 else f"group of {len(l0s)}"
        with report.trying(f"waiting, {name}"):
            watch(report, name, shapes, store, l0s, device)
    with report.trying("waiting, dead latents"):
        name = f"group of {len(shapes.step_l0)}, {DEAD:.0%} dead"
        watch(report, name, shapes, store, shapes.step_l0, device, dead=DEAD)


def watch(
    report: Report,
    name: str,
    shapes: Shapes,
    store: MemoryStore,
    l0s: tuple[int, ...],
    device: str,
    dead: float = 0.0,
) -> None:
    """Report the device's idle time in the plain steps of a long training, which is not ended.

    Its products are those of a training that is not told which. The wall time is that of a window
    without the profiler, which slows launches but no kernel; the kernels' time is that of the next
    window, with it. A share of the latents is made dead after the first step, for good.
    """
    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        for l0 in l0s:
            text = package.settings_json(
                shapes.d_sae,
                l0,
                shapes.batch_tokens,
                package.LONG,
                "reduced",
                dead_feature_window=WINDOW_OF_DEAD,
            )
            jobs.append(package.PointJob(Path(folder) / str(l0), text, seed=0))
        watched = Watched(jobs[-1], device, int(dead * shapes.d_sae))
        batches = MemoryBatches(store, shapes.batch_tokens)
        with suppress(Enough):
            package.train_points(store, batches, jobs, device=device, tracker=watched)
    wall, kernels, copies = watched.found()
    note = "operations of the CPU" if device == "cpu" else "kernels"
    products = package.products_in_training(text, device)
    report.measured(f"step, {name}", 1e3 * wall / WINDOW, "ms", products)
    report.measured(f"{name}: device at work", 1e3 * kernels / WINDOW, "ms", note)
    report.measured(f"{name}: copies beside no kernel", 1e3 * copies / WINDOW, "ms")
    waits = f"{name}: device waits", 1 - kernels / wall, ""
    if len(l0s) > 1:
        report.target(*waits, at_most=WAITING)
    else:
        report.measured(*waits)


class Watched:
    """Measures what happens between the steps of a group, as a tracker that is told of each.

    Parameters
    ----------
    last
        The point whose step ends that of the group.
    device
        Where it is trained.
    n_dead
        Latents that are made dead in each.
    """

    def __init__(self, last: package.PointJob, device: str, n_dead: int = 0) -> None:
        self._last, self._device, self._n_dead = last, device, n_dead
        activity = ProfilerActivity.CUDA if device == "cuda" else ProfilerActivity.CPU
        self._profile = profile(activities=[activity])
        self._started = self._wall = 0.0

    def look(self, job: package.PointJob, run: Any) -> None:
        """Open or close a window if it is time; make latents dead after the first step.

        Raises
        ------
        Enough
            After the last window.
        """
        if run.step == 1 and self._n_dead:
            run.trainer.weights.b_enc[: self._n_dead] = NEVER
            run.trainer.since_fired[: self._n_dead] = WINDOW_OF_DEAD + 1
            run.trainer.load_state_dict(run.trainer.state_dict())
        if job != self._last or run.step not in (WARM_UP, WARM_UP + WINDOW, WARM_UP + 2 * WINDOW):
            return
        synchronize(self._device)
        if run.step == WARM_UP:
            self._started = time.perf_counter()
        elif run.step == WARM_UP + WINDOW:
            self._wall = time.perf_counter() - self._started
            self._profile.start()
        else:
            self._profile.stop()
            raise Enough

    def end(self, job: package.PointJob, facts: Any) -> None:
        """Do nothing."""

    def found(self) -> tuple[float, float, float]:
        """Return seconds of the window: wall, covered by kernels, by copies and no kernel.

        Raises
        ------
        RuntimeError
            If the profiler saw nothing on the device.
        """
        wanted = DeviceType.CUDA if self._device == "cuda" else DeviceType.CPU
        seen = [event for event in self._profile.events() if event.device_type == wanted]
        kernels = [span(event) for event in seen if not is_copy(event.name)]
        if not kernels:
            raise RuntimeError("the profiler saw no kernel")
        work = covered(kernels)
        return self._wall, work, covered([span(event) for event in seen]) - work


def is_copy(name: str) -> bool:
    """Return whether an event of the profiler is a copy between host and device."""
    return name.startswith(("Memcpy HtoD", "Memcpy DtoH"))


def span(event: Any) -> tuple[float, float]:
    """Return when an event ran, in s."""
    return event.time_range.start / 1e6, event.time_range.end / 1e6
