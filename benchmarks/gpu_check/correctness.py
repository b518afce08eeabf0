"""Part 1: does this device compute the right numbers?"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.gpu_check import package, reference
from benchmarks.gpu_check.measuring import PRECISIONS, products_in
from benchmarks.gpu_check.memory_store import MemoryBatches, MemoryStore
from benchmarks.gpu_check.others import check_jumprelu, check_others, relative
from benchmarks.gpu_check.rows import Report
from benchmarks.gpu_check.shapes import Shapes

LIMITS = {"float32": 1e-5, "reduced": 1e-2}
"""Largest norm of a difference over the norm of what it is in float64. A product's rounding is
6e-8 in float32, 5e-4 in TF32 and 2e-3 in bfloat16; three products follow one another."""
TRUTH_S = 40
"""Seconds that all steps in float64 of the checked shapes may take, and those of the full one: on
processors that are few or slow, steps are checked on fewer tokens, and the full one is not."""
FEWEST = 128
"""Tokens of a checked step at least."""
METRIC_LIMIT = 1e-5
"""The same for s_n^dec, over the largest projection, and for c_dec."""
N_DEAD = 10
TIES = "ties"
GUESSES = (0.97, 1.0, 2.0)
"""Guesses of the smallest value kept, relative to it."""
ORDER = ("W_enc", "b_enc", "W_dec", "b_dec")
Case = tuple[torch.Tensor, dict[str, torch.Tensor], "torch.Tensor | None"]
"""A batch, the weights by name and the dead latents, on the CPU in float32."""


def run(report: Report, shapes: Shapes, device: str) -> None:
    """Report how far steps and metrics are from float64, and whether bits are kept."""
    cases = {"random": random_case, "dead latents": dead_case, TIES: ties_case, "zeros": zeros_case}
    checked = affordable(report, shapes, len(cases))
    for name, make in cases.items():
        with report.trying(f"step, {name}"):
            case = make(*checked)
            check_steps(report, name, case, shapes.checked_l0, tuple(PRECISIONS), device)
    with report.trying("steps of other architectures"):
        x, weights, _ = random_case(*shapes.grouped)
        check_others(report, x, [weights[key] for key in ORDER], LIMITS, device)
    with report.trying("step of jumprelu"):
        x, weights, _ = ties_case(*shapes.grouped)
        check_jumprelu(report, x, [weights[key] for key in ORDER], LIMITS, device)
    with report.trying("s_n^dec and c_dec"):
        check_metrics(report, shapes, device)
    for precision in PRECISIONS:
        with report.trying(f"group and resumption, {precision}"):
            check_bits(report, shapes, precision, device)
    sizes = shapes.d_in, shapes.d_sae, shapes.batch_tokens
    with report.trying("step at full size"):
        if not few_seconds(report, "step at full size", reference.seconds(sizes, len(PRECISIONS))):
            return
        case = random_case(*sizes)
        check_steps(report, "random, full size", case, (50,), tuple(PRECISIONS), device)


def affordable(report: Report, shapes: Shapes, cases: int) -> tuple[int, int, int]:
    """Return the shape of the checked steps, of fewer tokens where the CPU is slow."""
    d_in, d_sae, batch = shapes.checked
    steps = len(PRECISIONS) * len(shapes.checked_l0)
    needed = cases * reference.seconds(shapes.checked, steps)
    tokens = max(FEWEST, int(batch * min(1.0, TRUTH_S / needed))) if batch > FEWEST else batch
    if tokens < batch:
        few_seconds(report, f"checked steps of more than {tokens} tokens", needed)
    return d_in, d_sae, tokens


def few_seconds(report: Report, what: str, needed: float) -> bool:
    """Return whether float64 is affordable; report what is not checked where it is not."""
    if needed > TRUTH_S:
        processors = f"{torch.get_num_threads()} processors"
        report.skipped(what, f"float64 would take {needed:.0f} s on {processors}; give it more")
    return needed <= TRUTH_S


def random_case(d_in: int, d_sae: int, batch_tokens: int, n_dead: int = 0) -> Case:
    """Return activations with a decaying spectrum, and weights a little off their start."""
    x = package.activations(d_in, batch_tokens, "cpu")[0]
    start = package.initial_weights(d_in, d_sae, seed=0)
    generator = torch.Generator().manual_seed(3)
    start.W_enc.add_(0.003 * torch.randn(d_sae, d_in, generator=generator).T)
    start.b_enc.copy_(0.1 * torch.randn(d_sae, generator=generator))
    start.b_dec.copy_(0.1 * torch.randn(d_in, generator=generator))
    package.uneven_(start.W_dec, start.b_enc, n_dead)
    return x, start._asdict(), torch.arange(n_dead) if n_dead else None


def dead_case(d_in: int, d_sae: int, batch_tokens: int) -> Case:
    """Return the same with latents that cannot fire and are known as dead."""
    return random_case(d_in, d_sae, batch_tokens, N_DEAD)


def ties_case(d_in: int, d_sae: int, batch_tokens: int) -> Case:
    """Return whole numbers, which every precision computes exactly: thousands are equal.

    The decoder's rows have four entries of size 1, so that their norm is 2.
    """
    generator = torch.Generator().manual_seed(4)

    def whole(low: int, high: int, *shape: int) -> torch.Tensor:
        return torch.randint(low, high + 1, shape, generator=generator).float()

    places = torch.rand(d_sae, d_in, generator=generator).topk(4).indices
    W_dec = torch.zeros(d_sae, d_in).scatter_(1, places, 2 * whole(0, 1, d_sae, 4) - 1)
    weights = {"W_enc": whole(-1, 1, d_in, d_sae), "b_enc": whole(-2, 2, d_sae)}
    weights |= {"W_dec": W_dec, "b_dec": torch.zeros(d_in)}
    return whole(-2, 2, batch_tokens, d_in), weights, None


def zeros_case(d_in: int, d_sae: int, batch_tokens: int) -> Case:
    """Return a batch of zeros but for eight tokens: at a large L0 too few values are positive."""
    x, weights, _ = random_case(d_in, d_sae, batch_tokens)
    x[8:] = 0
    weights["b_dec"].zero_()
    weights["b_enc"].fill_(-0.01)
    return x, weights, None


def check_steps(
    report: Report,
    name: str,
    case: Case,
    l0s: tuple[int, ...],
    precisions: tuple[str, ...],
    device: str,
) -> None:
    """Report one step at each L0 and precision against float64."""
    truth = reference.Truth(*case, 1.0, device)
    acts = truth.acts
    largest = float(acts.abs().max())
    for precision, products in itertools.product(precisions, package.products_on(device)):
        slack = 0.0 if name == TIES else LIMITS[precision] * largest
        differ = 0
        for l0 in l0s:
            label = f"step, {name}, {precision}, {products}, L0 {l0}"
            count = l0 * len(acts)
            found, selected, others = compare_step(case, truth, count, precision, products, device)
            worst = max(found, key=lambda key: torch.inf if math.isnan(found[key]) else found[key])
            what = f"{label}: loss and gradients"
            report.must(what, found[worst], "", LIMITS[precision], f"worst: {worst}")
            wrong = wrongly_selected(acts, truth.selection(count), selected, count, slack)
            report.must(f"{label}: wrongly selected", wrong, "", 0)
            differ += others
        what = f"step, {name}, {precision}, {products}: other bits when repeated"
        report.must(what, differ, f"of {len(GUESSES) * len(l0s)}", 0)


def compare_step(
    case: Case, truth: reference.Truth, count: int, precision: str, products: str, device: str
) -> tuple[dict[str, float], torch.Tensor, int]:
    """Return how far a step is from float64, what it selected, and how often it came out otherwise.

    It is repeated with guesses of the smallest value kept, right and wrong ones, which must not
    change a bit.
    """
    x, weights, dead = case
    on_device = [package.copied(weights[key], device) for key in ORDER]
    batch = x.to(device)

    def step(guess: float | None) -> Any:
        few, kernels = products == "sparse", package.has_kernels(device)
        options = package.StepOptions(count, guess, dead, 1.0, few, kernels)
        with products_in(precision):
            return package.loss_and_gradients(batch, *on_device, options)

    loss, result, gradients = step(None)
    selected = package.selected_of(result)
    right = truth.step(selected)
    found = {key: relative(getattr(gradients, key), right.gradients[key]) for key in ORDER}
    found["loss"] = relative(loss, right.loss)
    differ = 0
    for factor in GUESSES:
        other_loss, _, others = step(factor * result.smallest)
        same = all(torch.equal(a, b) for a, b in zip(gradients, others, strict=True))
        differ += not same or not torch.equal(loss, other_loss)
    return found, selected, differ


def wrongly_selected(
    acts: torch.Tensor, right: torch.Tensor, selected: torch.Tensor, count: int, slack: float
) -> int:
    """Return how many values are on the wrong side of the threshold by more than the slack.

    Parameters
    ----------
    acts
        In float64, (batch, d_sae).
    right
        Which of them are to be selected.
    selected
        Which were selected.
    count
        How many are to be.
    slack
        How far rounding may move a value; 0 asks for the very selection, ties by index.

    Examples
    --------
    >>> acts = torch.tensor([[4.0, 3.0], [2.95, 1.0]])
    >>> right, chosen = acts >= 3, torch.tensor([[True, False], [True, False]])
    >>> [wrongly_selected(acts, right, chosen, 2, slack) for slack in (0.1, 0.0)]
    [0, 2]
    """
    if slack == 0:
        return int((right != selected).sum())
    all_positive_stay = int(right.sum()) < count
    threshold = 0.0 if all_positive_stay else float(acts[right].min())
    # Where all positive values stay, those next to zero may change sides and the number with them.
    missing = 0 if all_positive_stay else abs(count - int(selected.sum()))
    low, high = acts < threshold - slack, acts > threshold + slack
    return missing + int((selected & low).sum()) + int((~selected & high).sum())


@torch.no_grad()
def check_metrics(report: Report, shapes: Shapes, device: str) -> None:
    """Report s_n^dec and c_dec against a full sort and the whole matrix in float64."""
    x, weights, _ = random_case(*shapes.checked)
    W_dec = weights["W_dec"] / weights["W_dec"].norm(dim=1, keepdim=True)
    b_dec = weights["b_dec"]
    n = shapes.projected_n
    arguments = (W_dec.to(device), b_dec.to(device), 1.0, n)
    found = package.measure_projections([x], *arguments)
    wide = W_dec.double()
    ordered = ((x.double() - b_dec.double()) @ wide.T).view(-1).sort(descending=True).values
    right = ordered[[rank * len(x) for rank in n]]
    scale = float(ordered.abs().max())
    apart = float((torch.from_numpy(found.per_batch[0]) - right).abs().max()) / scale
    report.must(f"s_n^dec at {len(n)} n, over the largest projection", apart, "", METRIC_LIMIT)
    table = package.s_n_dec_table(found)
    pooled = table.loc[table["statistic"] == package.POOLED, "value"].to_numpy()
    limit = package.RESOLUTION_BOUND + METRIC_LIMIT * scale
    apart = float(np.abs(pooled - right.numpy()).max())
    report.must("s_n^dec pooled, from the histogram", apart, "", limit)
    centred = x.to(device) - arguments[1]
    streams = (make(arguments[0], n) for make in (package.stream_on, package.ProjectionStream))
    (values, ranks), (expected, plain) = (stream.measure(centred) for stream in streams)
    differ = sum(a != b for a, b in zip(values, expected, strict=True))
    differ += int((ranks.counts != plain.counts).sum())
    report.must("s_n^dec: values and bins that differ without a kernel", differ, "", 0)
    c_dec = package.mean_absolute_cosine(weights["W_dec"].to(device))
    cosines = wide @ wide.T
    d_sae = len(wide)
    right_c = float((cosines.abs().sum() - cosines.diagonal().abs().sum()) / (d_sae * (d_sae - 1)))
    report.must("c_dec, relative", abs(c_dec / right_c - 1), "", METRIC_LIMIT)


def check_bits(report: Report, shapes: Shapes, precision: str, device: str) -> None:
    """Report whether a training gives the same bits alone, in a group, and taken up again."""
    d_in, d_sae, batch_tokens = shapes.grouped
    rows = torch.cat(package.activations(d_in, 4 * batch_tokens, "cpu"))
    store = MemoryStore(rows, held_out=2 * batch_tokens)
    l0s = list(shapes.grouped_l0)
    steps = shapes.grouped_steps

    with tempfile.TemporaryDirectory() as folder:

        def train(name: str, which: list[int], stop_at: int | None = None) -> dict[int, str]:
            text = {
                l0: package.settings_json(
                    d_sae, l0, batch_tokens, steps, precision, lr=1e-3, dead_feature_window=5
                )
                for l0 in which
            }
            jobs = [
                package.PointJob(Path(folder) / name / str(l0), text[l0], seed=0) for l0 in which
            ]
            batches = Stopping(store, batch_tokens, stop_at)
            failures = package.train_points(store, batches, jobs, device=device)
            for failure in failures.values():
                raise failure
            return {l0: bits(job.folder) for l0, job in zip(which, jobs, strict=True)}

        alone = {l0: train("alone", [l0])[l0] for l0 in l0s}
        group = train("group", l0s)
        differ = sum(alone[l0] != group[l0] for l0 in l0s)
        report.must(f"SAEs with other bits in a group, {precision}", differ, f"of {len(l0s)}", 0)
        try:
            train("resumed", l0s, stop_at=steps // 2)
        except SystemExit:
            resumed = train("resumed", l0s)
        else:
            raise RuntimeError("a training that was asked to stop went on")
        differ = sum(alone[l0] != resumed[l0] for l0 in l0s)
        what = f"SAEs with other bits after a resumption, {precision}"
        report.must(what, differ, f"of {len(l0s)}", 0)


class Stopping(MemoryBatches):
    """Batches whose process is asked to stop at a step, as a cluster asks."""

    def __init__(self, store: MemoryStore, batch_tokens: int, stop_at: int | None) -> None:
        super().__init__(store, batch_tokens)
        self._stop_at = stop_at

    def batch(self, step: int) -> torch.Tensor:
        """Return the batch of a step; send the signal if it is the one."""
        if step == self._stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().batch(step)


def bits(folder: Path) -> str:
    """Return a digest of a trained point: its weights and its losses."""
    files = (folder / "sae" / "sae_weights.safetensors", folder / "loss.csv")
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
