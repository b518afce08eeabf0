"""Part 3: a study at the paper's shapes, on a language model with random weights."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_check import package
from benchmarks.gpu_check.measuring import median_seconds, reset_peak, peak_gb, seconds_of, synchronize
from benchmarks.gpu_check.memory_store import MemoryBatches, MemoryStore
from benchmarks.gpu_check.rows import Report
from benchmarks.gpu_check.shapes import Shapes

FORWARD_S = 45.0
"""Seconds after which the language model stops, with fewer tokens than asked for."""
BARE = 4
"""Batches of the forward pass alone."""
WAITING, PRODUCTS = 0.05, 2.5
"""Aims: share of a group's time spent waiting for data; time of s_n^dec in matrix products."""
PRECISION = "reduced"


def run(report: Report, shapes: Shapes, device: str) -> None:
    """Report the tokens per s of each part of a study."""
    report.skipped(
        "caching on disk", "the check keeps activations in memory; the store has tests of its own"
    )
    rows = None
    with report.trying("language model's forward"):
        rows = forward(report, shapes, device)
    if rows is None:
        mixed = itertools.cycle(package.activations(shapes.d_in, shapes.batch_tokens, "cpu"))
        count = -(-(shapes.held_out_tokens + 2**16) // shapes.batch_tokens)
        rows = torch.cat([next(mixed) for _ in range(count)])
        report.measured("tokens made up instead", len(rows), "")
    store = MemoryStore(rows, shapes.held_out_tokens)
    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        with report.trying("group of SAEs"):
            jobs = train(report, shapes, store, Path(folder), device)
        for job in jobs[:1]:
            with report.trying("decoder metrics"):
                project(report, shapes, store, job, device)


@torch.inference_mode()
def forward(report: Report, shapes: Shapes, device: str) -> torch.Tensor:
    """Report the language model's speed; return the residual stream after its last block."""
    from transformers import AutoModel, Gemma2Config

    started = time.perf_counter()
    config = Gemma2Config(**shapes.model)
    with torch.device(device):
        model = AutoModel.from_config(
            config, attn_implementation="eager", dtype=torch.bfloat16
        ).eval()
    synchronize(device)
    report.measured("language model, built", time.perf_counter() - started, "s", "bfloat16")
    last: list[torch.Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        last[:] = [output[0] if isinstance(output, tuple) else output]

    model.layers[-1].register_forward_hook(keep)
    generator = torch.Generator().manual_seed(0)
    size = (shapes.model_batch, shapes.context_tokens)
    batch_tokens = shapes.model_batch * shapes.context_tokens

    def read() -> torch.Tensor:
        tokens = torch.randint(0, config.vocab_size, size, generator=generator)
        model(tokens.to(device), use_cache=False)
        return last[0].reshape(batch_tokens, -1)

    read()
    reset_peak(device)
    alone = batch_tokens / seconds_of(lambda: [read() for _ in range(BARE)], device) * BARE
    layers = config.num_hidden_layers
    report.measured(f"forward alone, {layers} layers", alone, "tokens/s")
    peak = peak_gb(device)
    if peak is not None:
        report.measured("forward: peak memory", peak, "GB")
    wanted = shapes.cached_tokens + shapes.held_out_tokens
    rows = torch.empty(wanted, shapes.d_in, dtype=torch.bfloat16)
    started, done = time.perf_counter(), 0
    while done < wanted and time.perf_counter() - started < FORWARD_S:
        part = read()[: wanted - done]
        rows[done : done + len(part)] = part.cpu()
        done += len(part)
    rate = done / (time.perf_counter() - started)
    report.measured("forward, kept in host memory", rate, "tokens/s", f"{done} tokens")
    report.target("the same / forward alone", rate / alone, "", at_least=0.6)
    if not bool(torch.isfinite(rows[:done:997]).all()):
        raise RuntimeError("the residual stream is not finite")
    return rows[:done]


def train(
    report: Report, shapes: Shapes, store: MemoryStore, folder: Path, device: str
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
    started = time.perf_counter()
    batches = MemoryBatches(store, batch_tokens)
    for failure in package.train_points(store, batches, jobs, device=device).values():
        raise failure
    whole = time.perf_counter() - started
    manifests = [json.loads((job.folder / "manifest.json").read_text()) for job in jobs]
    training = sum(manifest["wall_s"] for manifest in manifests)
    waiting = sum(m["data_wait_fraction"] * m["wall_s"] for m in manifests) / training
    for job, manifest in zip(jobs, manifests, strict=True):
        what = f"SAE of L0 {job.folder.name} in a group of {len(jobs)}"
        fvu = f"fvu {manifest['fvu']:.3g} after {steps} steps"
        report.measured(what, manifest["tokens_per_s"], "tokens/s", fvu)
    tokens = steps * batch_tokens * len(jobs)
    report.measured("group, all its SAEs", tokens / training, "tokens/s")
    report.target("group: host's time waiting for data", waiting, "", at_most=WAITING)
    report.measured("group: start, calibration, saving", whole - training, "s")
    peak = peak_gb(device)
    if peak is not None:
        report.measured("group: peak memory", peak, "GB")
    return jobs


@torch.no_grad()
def project(
    report: Report, shapes: Shapes, store: MemoryStore, job: package.PointJob, device: str
) -> None:
    """Report what the decoder metrics of one SAE cost."""
    sae = package.load_saved_sae(job.folder / "sae", device)
    scale = store.d_in**0.5 / store.mean_norm
    size = shapes.batch_tokens
    batches = [store.held_out(i, i + size) for i in range(0, store.n_held_out, size)]

    def measure(some: list[torch.Tensor]) -> Any:
        return package.measure_projections(some, sae.W_dec, sae.b_dec, scale, shapes.projected_n)

    measure(batches[:1])
    seconds = seconds_of(lambda: measure(batches), device) / len(batches)
    report.measured(f"s_n^dec at {len(shapes.projected_n)} n", size / seconds, "tokens/s")
    x = batches[0].to(device)
    product = median_seconds(lambda: x @ sae.W_dec.T, 5, device)
    report.target("s_n^dec / its product", seconds / product, "", at_most=PRODUCTS)
    c_dec = median_seconds(lambda: package.mean_absolute_cosine(sae.W_dec), 2, device)
    report.measured("c_dec", c_dec, "s")
