"""Part 3: a study at the paper's shapes, on a language model with random weights."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from benchmarks.gpu_check import package
from benchmarks.gpu_check.language_model import Model, cache, random_contexts
from benchmarks.gpu_check.measuring import median_seconds, peak_gb, reset_peak, seconds_of
from benchmarks.gpu_check.memory_store import MemoryBatches, MemoryStore
from benchmarks.gpu_check.rows import Report
from benchmarks.gpu_check.shapes import Shapes

FORWARD_S = 30.0
"""Seconds of bare forward passes that caching may be worth; it takes up to twice as long."""
SPARE = 1.1
"""Room that is asked for, over what activations and the group's SAEs take."""
BARE = 4
"""Batches of the forward pass alone."""
CACHING, WAITING, PRODUCTS = 0.6, 0.05, 2.5
"""Aims: caching's share of the bare forward's speed; share of a group's time spent waiting for
data; time of s_n^dec in matrix products."""
PRECISION = "reduced"
NOISE = 0.1
"""Length of what is added to the rows of a decoder, of length 1, that is compared with itself."""


def run(report: Report, shapes: Shapes, device: str) -> None:
    """Report the tokens per s of each part of a study."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        store = batches = None
        with report.trying("language model"):
            store, batches = activations(report, shapes, place, device)
        if store is None or batches is None:
            store = made_up(report, shapes)
            batches = MemoryBatches(store, shapes.batch_tokens)
        jobs: list[package.PointJob] = []
        with report.trying("group of SAEs"):
            jobs = train(report, shapes, store, batches, place, device)
        for job in jobs[:1]:
            with report.trying("decoder metrics"):
                project(report, shapes, store, job, device)
            with report.trying("comparing two seeds"):
                compare(report, job, device)
            with report.trying("encoding for probing"):
                encode(report, shapes, store, job, device)


def activations(report: Report, shapes: Shapes, folder: Path, device: str) -> tuple[Any, Any]:
    """Report the language model's speed alone and in caching; return a store and its batches."""
    started = time.perf_counter()
    model = Model(shapes, device)
    report.measured("language model built", time.perf_counter() - started, "s")
    tokens = random_contexts(shapes, model.vocabulary, 0)
    mask = torch.ones_like(tokens)
    model.read(tokens, mask)
    reset_peak(device)
    seconds = seconds_of(lambda: [model.read(tokens, mask) for _ in range(BARE)], device)
    alone = BARE * tokens.numel() / seconds
    report.measured(f"forward alone, {model.layers} layers, bfloat16", alone, "tokens/s")
    peak = peak_gb(device)
    if peak is not None:
        report.measured("forward: peak memory", peak, "GB")
    cached = affordable(shapes.cached_tokens, alone, shapes.batch_tokens)
    if cached < shapes.cached_tokens:
        report.skipped("tokens beyond", f"{cached} tokens fill the time of caching")
    weights = 8 * len(shapes.step_l0) * shapes.d_sae
    needed = shapes.d_in * (2 * (cached + shapes.held_out_tokens) + weights)
    with report.trying("caching on disk"):
        if room(report, folder, needed):
            store, batches, caching_s, sealing_s = cache(shapes, model, cached, folder)
            rate = (cached + shapes.held_out_tokens) / caching_s
            note = f"{cached} tokens{file_system(folder)}"
            report.measured("caching on disk", rate, "tokens/s", note)
            report.target("caching / forward alone", rate / alone, "", at_least=CACHING)
            report.measured("sealing", sealing_s, "s")
            return store, batches
    store = in_memory(report, shapes, model, cached)
    return store, MemoryBatches(store, shapes.batch_tokens)


def room(report: Report, folder: Path, needed: int) -> bool:
    """Return whether activations of so many bytes fit into a folder; report where they do not."""
    free = shutil.disk_usage(folder).free
    if needed * SPARE > free:
        remedy = f"{folder.parent} has {free / 1e9:.1f} GB free; name another folder by TMPDIR"
        report.skipped("caching on disk", f"{needed * SPARE / 1e9:.1f} GB do not fit: {remedy}")
    return needed * SPARE <= free


def file_system(folder: Path) -> str:
    """Return the kind of file system that a folder is on, for a note; `tmpfs` is memory."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return ""
    lines, place = [line.split() for line in mounts.read_text().splitlines()], folder.resolve()
    around = [(len(at), i) for i, (_, at, *_) in enumerate(lines) if place.is_relative_to(at)]
    return f", {lines[max(around)[1]][2]}" if around else ""


def affordable(tokens: int, tokens_per_s: float, batch_tokens: int) -> int:
    """Return how many tokens to cache: those asked for, or what `FORWARD_S` allows, in eighths.

    At least eight batches, so that a training has some.

    Examples
    --------
    >>> affordable(2**21, 1e6, 4096), affordable(2**21, 1e4, 4096)
    (2097152, 294912)
    """
    eighth = 8 * batch_tokens
    allowed = int(tokens_per_s * FORWARD_S) // eighth * eighth
    return max(eighth, min(tokens, allowed))


def in_memory(report: Report, shapes: Shapes, model: Model, tokens: int) -> MemoryStore:
    """Report the language model's speed where its activations are kept in the host's memory."""
    wanted = tokens + shapes.held_out_tokens
    rows = torch.empty(wanted, shapes.d_in, dtype=torch.bfloat16)
    started, done, batch = time.perf_counter(), 0, 0
    while done < wanted:
        contexts = random_contexts(shapes, model.vocabulary, batch)
        part = model.read(contexts, torch.ones_like(contexts)).flatten(0, 1)[: wanted - done]
        rows[done : done + len(part)] = part.cpu()
        done, batch = done + len(part), batch + 1
    rate = done / (time.perf_counter() - started)
    report.measured("forward, kept in memory", rate, "tokens/s", f"{done} tokens")
    return MemoryStore(rows, shapes.held_out_tokens)


def made_up(report: Report, shapes: Shapes) -> MemoryStore:
    """Return a store of random activations, where there is no language model."""
    mixed = package.activations(shapes.d_in, shapes.batch_tokens, "cpu")
    count = shapes.held_out_tokens // shapes.batch_tokens + 4
    rows = torch.cat([mixed[i % len(mixed)] for i in range(count)])
    report.measured("activations made up instead", len(rows), "tokens")
    return MemoryStore(rows, shapes.held_out_tokens)


def train(
    report: Report, shapes: Shapes, store: Any, batches: Any, folder: Path, device: str
) -> list[package.PointJob]:
    """Report what a group of SAEs costs, from the manifests that the pipeline writes."""
    steps, batch_tokens = shapes.study_steps, shapes.batch_tokens
    jobs = [
        package.PointJob(
            folder / str(l0),
            package.settings_json(shapes.d_sae, l0, batch_tokens, steps, PRECISION),
            seed=0,
        )
        for l0 in shapes.step_l0
    ]
    reset_peak(device)
    seen = Seen(len(jobs))
    started = time.perf_counter()
    failures = package.train_points(store, batches, jobs, device=device, tracker=seen)
    ended = time.perf_counter()
    for failure in failures.values():
        raise failure
    manifests = [json.loads((job.folder / "manifest.json").read_text()) for job in jobs]
    training = sum(manifest["wall_s"] for manifest in manifests)
    waiting = sum(m["data_wait_fraction"] * m["wall_s"] for m in manifests) / training
    for job, manifest in zip(jobs, manifests, strict=True):
        report.measured(f"fvu at L0 {job.folder.name} after {steps} steps", manifest["fvu"], "")
    rate = (seen.steps - len(jobs)) * batch_tokens / (seen.last - seen.first)
    note = "after the first step; c_dec at ten of them included"
    report.measured(f"group of {len(jobs)}, all its SAEs", rate, "tokens/s", note)
    report.target("group: time waiting for data", waiting, "", at_most=WAITING)
    report.measured("group: start, the first step included", seen.first - started, "s")
    saving = (ended - seen.last) / len(jobs)
    report.measured("group: calibrating, saving and measuring an SAE", saving, "s")
    peak = peak_gb(device)
    if peak is not None:
        report.measured("group: peak memory", peak, "GB")
    return jobs


class Seen:
    """When the first and the last step of a group were done, as a tracker that is told of each.

    Both are known to be done: the first compiles, and before the last the losses were looked at.

    Parameters
    ----------
    saes
        How many are trained.
    """

    def __init__(self, saes: int) -> None:
        self._saes = saes
        self.first = self.last = 0.0
        self.steps = 0

    def look(self, job: package.PointJob, run: Any) -> None:
        """Note the time."""
        self.last = time.perf_counter()
        self.steps += 1
        if self.steps == self._saes:
            self.first = self.last

    def end(self, job: package.PointJob, facts: Any) -> None:
        """Do nothing."""


@torch.no_grad()
def project(report: Report, shapes: Shapes, store: Any, job: package.PointJob, device: str) -> None:
    """Report what the decoder metrics of one SAE cost."""
    sae = package.load_saved_sae(job.folder / "sae", device)
    scale = store.d_in**0.5 / store.mean_norm
    size = shapes.batch_tokens
    batches = [store.held_out(i, i + size) for i in range(0, store.n_held_out, size)]

    def measure(some: list[torch.Tensor]) -> Any:
        return package.measure_projections(some, sae.W_dec, sae.b_dec, scale, shapes.projected_n)

    # Two batches are on their way at once: their memory is there, too, before the clock runs.
    measure(batches[:2])
    found = []
    seconds = seconds_of(lambda: found.append(measure(batches)), device) / len(batches)
    twice = f"{found[0].second_passes} of {len(batches)} batches projected twice"
    report.measured(f"s_n^dec at {len(shapes.projected_n)} n", size / seconds, "tokens/s", twice)
    x = batches[0].to(device)
    product = median_seconds(lambda: x @ sae.W_dec.T, 5, device)
    report.target("s_n^dec / its product", seconds / product, "", at_most=PRODUCTS)
    c_dec = median_seconds(lambda: package.mean_absolute_cosine(sae.W_dec), 2, device)
    report.measured("c_dec", c_dec, "s")


@torch.no_grad()
def compare(report: Report, job: package.PointJob, device: str) -> None:
    """Report what two seeds cost to compare, the second being the first in another order."""
    first = package.load_saved_sae(job.folder / "sae", device).W_dec
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(first), generator=generator)
    noise = torch.randn(first.shape, generator=generator) * NOISE / first.shape[1] ** 0.5
    second = first[order.to(device)] + noise.to(device)
    package.compare_seeds({0: first[:64], 1: second[:64]})
    found = []
    seconds = seconds_of(lambda: found.extend(package.compare_seeds({0: first, 1: second})), device)
    report.measured("comparing two seeds", seconds, "s", f"{len(first)} latents each")
    wrong = int((found[0].partners != order.argsort().numpy()).sum())
    report.must("latents of two seeds not matched with themselves", wrong, "", at_most=0)


def encode(report: Report, shapes: Shapes, store: Any, job: package.PointJob, device: str) -> None:
    """Report how fast rows are encoded for probes, until their latents are in the host's memory."""
    sae = package.load_saved_sae(job.folder / "sae", device)
    x = store.held_out(0, shapes.batch_tokens)
    seconds = median_seconds(lambda: package.encode(sae, x), 3, device)
    report.measured("encoding for probing", len(x) / seconds, "tokens/s")
