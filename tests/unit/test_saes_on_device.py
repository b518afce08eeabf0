"""The GPU's kernels, run by Triton's interpreter on a CPU, against float64 and the CPU's step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from correct_l0.errors import InputError
from correct_l0.saes.engine import (
    building,
    device_adam,
    device_dense,
    device_pattern,
    on_device,
)
from correct_l0.saes.engine.device_pattern import DevicePattern
from correct_l0.saes.engine.nested import Levels
from correct_l0.saes.engine.on_device import Acts, edge_of
from correct_l0.saes.engine.selection import keep_largest_
from correct_l0.saes.engine.step import StepOptions, loss_and_gradients
from correct_l0.saes.engine.workspace import Gradients, Workspace
from cuda_toy import Numbers

D_IN, D_SAE, BATCH = 20, 40, 6
LEVELS = Levels((7, 20, D_SAE), (0.5, 2.0, 1.0), own_errors=True)
DEAD = torch.arange(0, 30, 2)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Two parts of each token, and several of the batch."""
    monkeypatch.setattr(on_device, "BLOCK", 32)
    monkeypatch.setattr(device_dense, "COLUMNS", 16)
    monkeypatch.setattr(device_pattern, "COLUMNS", 16)
    monkeypatch.setattr(device_dense, "ROWS", 4)
    monkeypatch.setattr(device_pattern, "CHUNK", 2)
    monkeypatch.setattr(device_adam, "BLOCK", 16)


def weights(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(dtype)

    W_dec = normal(D_SAE, D_IN) * torch.linspace(0.1, 2, D_SAE)[:, None].to(dtype)
    return normal(D_SAE, D_IN).T, 0.1 * normal(D_SAE), W_dec, normal(D_IN)


def batch(dtype=torch.float32):
    return torch.randn(BATCH, D_IN, generator=torch.Generator().manual_seed(1)).to(dtype)


def options(l0: float, **others) -> StepOptions:
    own = {"guess": None, "dead": None, "aux_coefficient": 0.7, "sparse": True, "kernels": True}
    return StepOptions(count=int(l0 * BATCH), **{**own, **others})


def difference(found, expected):
    return float((found.double() - expected).norm() / expected.norm().clamp(min=1e-30))


def as_matrix(pattern: DevicePattern) -> torch.Tensor:
    found = torch.zeros(BATCH, D_SAE + 1)
    found[pattern.tokens, pattern.latents] = pattern.z
    return found[:, :D_SAE]


def alone(acts: torch.Tensor) -> Acts:
    """Activations of latents without a bias, whose norms are 1."""
    return Acts(acts.clone(), torch.zeros(acts.shape[1]), torch.ones(acts.shape[1]))


@pytest.mark.parametrize("products", ["dense", "sparse"])
@pytest.mark.parametrize(
    ("l0", "per_token", "levels", "dead"),
    [(0.5, None, None, None), (5, None, None, DEAD), (35, None, None, None), (5, 5, None, DEAD),
     (5, None, LEVELS, DEAD), (5, 5, LEVELS, None)],
)  # fmt: skip
def test_loss_and_gradients_are_those_of_float64(l0, per_token, levels, dead, products):
    few = products == "sparse"
    asked = options(l0, dead=dead, levels=levels, per_token=per_token, sparse=few)
    wide = replace(asked, sparse=False, kernels=False)
    expected, its, right = loss_and_gradients(batch(torch.float64), *weights(torch.float64), wide)
    loss, result, gradients = loss_and_gradients(batch(), *weights(), asked)
    assert difference(loss, expected) < 1e-6
    assert difference(result.aux_loss, its.aux_loss) < 1e-6
    assert difference(result.error, its.error) < 1e-6
    selected = as_matrix(result.selected) if few else result.selected.acts
    assert torch.equal(selected > 0, its.selected.acts > 0)
    assert torch.equal(result.fired, its.fired)
    assert int(result.kept) == int(torch.as_tensor(its.kept))
    for name, found, wanted in zip(Gradients._fields, gradients, right, strict=True):
        assert difference(found, wanted) < 1e-6, name


@pytest.mark.parametrize("few", [True, False])
def test_neither_the_guess_nor_the_memory_changes_a_bit(few):
    loss, result, gradients = loss_and_gradients(batch(), *weights(), options(5, sparse=few))
    work = Workspace(Gradients(*(torch.full_like(value, torch.nan) for value in gradients)))
    smallest = float(result.smallest)
    for guess in (0.5 * smallest, result.smallest, 2 * smallest):
        again, _, found = loss_and_gradients(
            batch(), *weights(), options(5, guess=guess, sparse=few), work
        )
        assert torch.equal(again, loss)
        assert all(torch.equal(a, b) for a, b in zip(found, gradients, strict=True))


@pytest.mark.parametrize("guess", [None, 0.5, 4.0])
@pytest.mark.parametrize("count", [0, 17, 50, BATCH * D_SAE])
@pytest.mark.parametrize("whole", [True, False])
def test_the_very_values_are_kept_that_the_cpu_keeps(whole, count, guess):
    """Whole numbers tie by the dozen."""
    generator = torch.Generator().manual_seed(count)
    acts = 3 * torch.randn(BATCH, D_SAE, generator=generator)
    acts = acts.round() if whole else acts
    expected = acts.clone()
    smallest, kept = keep_largest_(expected, count)
    acts = alone(acts)
    edge = edge_of(acts, count, guess and guess * smallest)
    assert torch.equal(as_matrix(DevicePattern(acts, edge, count)), expected)
    assert torch.equal(device_dense.kept(acts, edge, acts.product), expected)
    assert int(edge.kept) == kept
    if count:
        assert float(edge.smallest) == smallest


def test_the_smallest_value_kept_by_hand():
    acts = torch.tensor([[3.0, -1.0, 2.0], [2.0, 0.0, 2.0]])
    for count, edge in {1: (3, 1, 1, 1), 3: (2, 2, 3, 3), 4: (2, 3, 3, 4), 5: (0, 0, 0, 4)}.items():
        assert tuple(edge_of(alone(acts), count)) == edge
    # The bias makes them 4, -2, 2 and 3, -1, 2; the norms 4, -4, 6 and 3, -2, 6.
    uneven = Acts(acts, torch.tensor([1.0, -1.0, 0.0]), torch.tensor([1.0, 2.0, 3.0]))
    assert tuple(edge_of(uneven, 2)) == (6, 2, 2, 2)
    assert tuple(edge_of(uneven, 3)) == (4, 1, 1, 3)


@pytest.mark.parametrize("levels", [None, LEVELS])
def test_the_bits_in_which_latents_are_numbered_change_none_of_a_step_s(monkeypatch, levels):
    asked, found = options(5, levels=levels, dead=DEAD), []
    for largest, number in ((D_SAE, torch.int32), (D_SAE - 1, torch.int64)):
        monkeypatch.setattr(device_pattern, "LARGEST_SHORT", largest)
        loss, result, gradients = loss_and_gradients(batch(), *weights(), asked)
        assert result.selected.latents.dtype == number
        found.append([loss, result.fired, as_matrix(result.selected), *gradients])
    assert all(torch.equal(short, long) for short, long in zip(*found, strict=True))


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_bad_input_gives_a_loss_that_is_not_finite(bad):
    x = batch()
    x[5, 3] = bad
    for guess in (None, torch.tensor(bad), 0.1):
        loss, result, _ = loss_and_gradients(x, *weights(), options(4, guess=guess))
        assert not loss.isfinite()
        assert result.kept == 4 * BATCH


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("dead", [None, DEAD])
@pytest.mark.parametrize(("levels", "per_token"), [(None, None), (LEVELS, None), (None, 5)])
def test_no_step_waits_for_the_device(monkeypatch, few, levels, per_token, dead):
    """What would make the host wait is made to fail."""
    # The interpreter itself reads what a program loads.
    for module in (on_device, device_dense, device_pattern):
        for name, value in vars(module).items():
            if hasattr(value, "run") and name.startswith("_"):
                monkeypatch.setattr(module, name, Nothing())
    asked = options(5, guess=torch.tensor(1.0), levels=levels, sparse=few, per_token=per_token)
    asked = replace(asked, dead=dead)
    with Numbers():
        loss_and_gradients(batch(), *weights(), asked)


def test_adam_is_torchs():
    generator = torch.Generator().manual_seed(0)
    shapes = ((D_SAE, D_IN), (D_IN,))
    values = [torch.randn(shape, generator=generator) for shape in shapes]
    expected = [value.double().requires_grad_() for value in values]
    means, squares = ([torch.zeros_like(value) for value in values] for _ in range(2))
    theirs = torch.optim.Adam(expected, lr=1e-2, betas=(0.9, 0.999), eps=1e-8)
    for step in range(1, 6):
        gradients = [torch.randn(shape, generator=generator) for shape in shapes]
        for its, gradient in zip(expected, gradients, strict=True):
            its.grad = gradient.double() / 2.5
        theirs.step()
        device_adam.update(
            values, gradients, means, squares, torch.tensor(2.5), step, 1e-2, (0.9, 0.999), 1e-8
        )
    for found, its in zip(values, expected, strict=True):
        assert difference(found, its.detach()) < 1e-6


@pytest.mark.parametrize(
    "waits",
    [lambda x: x.sum().item(), lambda x: x[x > 0], lambda x: x.nonzero(), lambda x: bool(x[0] > 0),
     lambda x: torch.tensor([1.0]) + x, lambda x: x.masked_fill_(x > 0, 0).unique()],
)  # fmt: skip
def test_what_waits_is_seen(waits):
    with pytest.raises(AssertionError), Numbers():
        waits(torch.ones(3))


class Nothing:
    """A kernel that does nothing."""

    def __getitem__(self, grid):
        return lambda *_, **__: None


@pytest.mark.parametrize("case", ["dead_case", "ties_case"])
def test_the_check_of_a_gpu_passes_them(case, monkeypatch):
    from benchmarks.gpu_check import correctness

    monkeypatch.setattr(correctness.package, "has_kernels", lambda device: True)
    made = getattr(correctness, case)(24, 40, 12)
    truth = correctness.reference.Truth(*made, 1.0)
    found, selected, differ = correctness.compare_step(made, truth, 36, "float32", "sparse", "cpu")
    assert max(found.values()) < correctness.LIMITS["float32"], found
    assert differ == 0
    acts, right = truth.acts, truth.selection(36)
    assert correctness.wrongly_selected(acts, right, selected, 36, 1e-5 * float(acts.max())) == 0


def test_where_kernels_do_not_compile_one_line_says_so(monkeypatch):
    building.try_kernels(torch.zeros(3))

    def fails(*_):
        raise RuntimeError("Failed to find C compiler.\nPlease specify")

    monkeypatch.setattr(device_adam, "update", fails)
    wanted = r"do not compile \(RuntimeError: Failed to find C compiler.\); .* use engine saelens$"
    with pytest.raises(InputError, match=wanted):
        building.try_kernels(torch.zeros(3))
