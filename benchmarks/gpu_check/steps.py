"""Part 2: what a step costs, beside SAELens' trainer and the arithmetic's floor."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from benchmarks.gpu_check import package
from benchmarks.gpu_check.floors import Rates, step_floor
from benchmarks.gpu_check.measuring import (
    peak_gb,
    product_rate,
    products_in,
    rates_of,
    reset_peak,
    seconds_of,
)
from benchmarks.gpu_check.rows import Report
from benchmarks.gpu_check.shapes import Shapes

FLOOR_SHARE, MEMORY_SHARE = 0.45, 0.6
"""Share of the floor's speed, and of SAELens' peak memory, that are aimed at."""
OTHERS = ("topk", "matryoshka_batchtopk", "jumprelu")
"""Architectures whose step is timed, too, at one L0."""
FEW = 50
"""L0 up to which a step is to be three times as fast as SAELens', above it twice."""
RIVALS = {
    "SAELens, autocast": {"autocast": True, "compiled": False},
    "SAELens, autocast, compiled": {"autocast": True, "compiled": True},
    "SAELens": {"autocast": False, "compiled": False},
}
"""SAELens' settings; without autocast its products are in TF32, with it in bfloat16 as ours are.
First comes one that takes a moment, then the best, which is compiled anew at each L0; where time
runs out, the slowest is missing."""


@dataclass(frozen=True)
class Cost:
    """What a step takes."""

    ms: float
    gb: float | None


def run(report: Report, shapes: Shapes, device: str) -> None:
    """Report rates, floors, our steps and SAELens', and how they compare."""
    rates = report_rates(report, shapes, device)
    batches = package.activations(shapes.d_in, shapes.batch_tokens, device)
    start = package.initial_weights(shapes.d_in, shapes.d_sae, seed=0)
    package.uneven_(start.W_dec, start.b_enc, 0)
    ours: dict[int, Cost] = {}
    for l0 in shapes.step_l0:
        with report.trying(f"step, ours, L0 {l0}"):
            ours[l0] = min(
                (
                    cost_of_ours(report, start, batches, shapes, l0, "reduced", products, device)
                    for products in package.products_on(device)
                ),
                key=lambda cost: cost.ms,
            )
            floor = step_floor(shapes.d_in, shapes.d_sae, shapes.batch_tokens, l0, rates)
            report_floor(report, l0, ours[l0].ms, floor.ms, floor.sparse)
    for products in package.products_on(device):
        with report.trying(f"step, ours, float32, {products}"):
            cost_of_ours(report, start, batches, shapes, FEW, "float32", products, device)
    for name in OTHERS:
        what = f"step, ours, {name}, reduced, L0 {FEW}"
        with report.trying(what):
            trainer = package.trainer_of(name, start, FEW, shapes.batch_tokens, "reduced", device)
            report_cost(report, what, trainer.step, batches, shapes, "reduced", device)
            del trainer
    with report.trying("step, SAELens"):
        package.import_saelens()
        time_rivals(report, start, batches, shapes, ours, device)


def time_rivals(
    report: Report,
    start: package.Weights,
    batches: list[torch.Tensor],
    shapes: Shapes,
    ours: dict[int, Cost],
    device: str,
) -> None:
    """Report SAELens' steps, and our ratio to the best of them so far."""
    best: dict[int, Cost] = {}
    for rival, how in RIVALS.items():
        for l0 in shapes.step_l0:
            what = f"step, {rival}, L0 {l0}"
            if how["compiled"] and not shapes.compiled_rival:
                report.skipped(what, "--small")
                continue
            with report.trying(what):
                step = package.saelens_step(start, l0, shapes.batch_tokens, device, **how)
                found = report_cost(report, what, step, batches, shapes, "reduced", device)
                if l0 not in best or found.ms < best[l0].ms:
                    best[l0] = found
                    report_ratio(report, l0, ours, found, rival)


def report_rates(report: Report, shapes: Shapes, device: str) -> Rates:
    """Report the device's rates and return those of a floor."""
    rates = rates_of(shapes, device)
    report.measured("product, bfloat16", rates.flop_per_s / 1e12, "TFLOP/s")
    for precision in ("reduced", "float32"):
        with products_in(precision):
            rate = product_rate(shapes.product, torch.float32, device)
        report.measured(f"product, {precision}", rate / 1e12, "TFLOP/s")
    report.measured("copy, read and written", rates.bytes_per_s / 1e12, "TB/s")
    return rates


def cost_of_ours(
    report: Report,
    start: package.Weights,
    batches: list[torch.Tensor],
    shapes: Shapes,
    l0: int,
    precision: str,
    products: str,
    device: str,
) -> Cost:
    """Report the cost of the pipeline's step."""
    trainer = package.fused_trainer(start, l0, shapes.batch_tokens, precision, products, device)
    what = f"step, ours, {precision}, {products}, L0 {l0}"
    return report_cost(report, what, trainer.step, batches, shapes, precision, device)


def report_cost(
    report: Report,
    what: str,
    step: Callable[[torch.Tensor], Any],
    batches: list[torch.Tensor],
    shapes: Shapes,
    precision: str,
    device: str,
) -> Cost:
    """Report the median time and the peak memory of a trainer's step.

    Raises
    ------
    RuntimeError
        If the loss is not finite.
    """
    turn = itertools.count()

    def call(steps: int = shapes.timed_steps) -> None:
        for _ in range(steps):
            loss = step(batches[next(turn) % len(batches)]).loss
        if not bool(torch.isfinite(loss)):
            raise RuntimeError("the loss is not finite: this is no training step")

    with products_in(precision):
        call(3)
        reset_peak(device)
        seconds = [seconds_of(call, device) / shapes.timed_steps for _ in range(shapes.rounds)]
    gb = peak_gb(device)
    ms = 1e3 * statistics.median(seconds)
    spread = f"{1e3 * min(seconds):.4g} to {1e3 * max(seconds):.4g}"
    report.measured(what, ms, "ms", spread if shapes.rounds > 1 else "")
    if gb is not None:
        report.measured(f"{what}: peak memory", gb, "GB")
    return Cost(ms, gb)


def report_floor(report: Report, l0: int, ms: float, floor_ms: float, sparse: bool) -> None:
    """Report a step's floor and how much of its speed is reached."""
    report.measured(f"floor, L0 {l0}", floor_ms, "ms", "non-zeros" if sparse else "dense")
    report.target(f"floor / ours, L0 {l0}", floor_ms / ms, "", at_least=FLOOR_SHARE)


def report_ratio(report: Report, l0: int, ours: dict[int, Cost], rival: Cost, name: str) -> None:
    """Report how our step compares with SAELens' best so far."""
    if l0 not in ours:
        return
    wanted = 3.0 if l0 <= FEW else 2.0
    ratio = rival.ms / ours[l0].ms
    report.target(f"{name} / ours, L0 {l0}", ratio, "", at_least=wanted)
    mine, theirs = ours[l0].gb, rival.gb
    if mine is not None and theirs is not None:
        share = mine / theirs
        report.target(f"peak memory, ours / {name}, L0 {l0}", share, "", at_most=MEMORY_SHARE)
