"""The GPU's kernels, run by Triton's interpreter on a CPU, against float64 and the CPU's step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from correct_l0.errors import InputError
from correct_l0.saes.engine import batchtopk, on_device
from correct_l0.saes.engine.nested import Levels
from correct_l0.saes.engine.on_device import DevicePattern, smallest_kept
from correct_l0.saes.engine.selection import keep_largest_
from correct_l0.saes.engine.step import StepOptions, loss_and_gradients
from correct_l0.saes.engine.workspace import Gradients, Workspace
from correct_l0.saes.settings import parse_settings
from cuda_toy import Numbers
from saes_toy import settings

D_IN, D_SAE, BATCH = 20, 40, 6
LEVELS = Levels((7, 20, D_SAE), (0.5, 2.0, 1.0), own_errors=True)
DEAD = torch.arange(0, 30, 2)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Two parts of each token, and several of the batch."""
    monkeypatch.setattr(on_device, "BLOCK", 32)


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
    found[pattern.tokens, pattern.latents] = pattern.values
    return found[:, :D_SAE]


@pytest.mark.parametrize(
    ("l0", "per_token", "levels", "dead"),
    [(0.5, None, None, None), (5, None, None, DEAD), (35, None, None, None), (5, 5, None, DEAD),
     (5, None, LEVELS, DEAD), (5, 5, LEVELS, None)],
)  # fmt: skip
def test_loss_and_gradients_are_those_of_float64(l0, per_token, levels, dead):
    asked = options(l0, dead=dead, levels=levels, per_token=per_token)
    wide = replace(asked, sparse=False, kernels=False)
    expected, its, right = loss_and_gradients(batch(torch.float64), *weights(torch.float64), wide)
    loss, result, gradients = loss_and_gradients(batch(), *weights(), asked)
    assert difference(loss, expected) < 1e-6
    assert difference(result.aux_loss, its.aux_loss) < 1e-6
    assert difference(result.error, its.error) < 1e-6
    assert torch.equal(as_matrix(result.selected) > 0, its.selected > 0)
    assert torch.equal(result.fired, its.fired)
    assert int(result.kept) == int(torch.as_tensor(its.kept))
    for name, found, wanted in zip(Gradients._fields, gradients, right, strict=True):
        assert difference(found, wanted) < 1e-6, name


def test_neither_the_guess_nor_the_memory_changes_a_bit():
    loss, result, gradients = loss_and_gradients(batch(), *weights(), options(5))
    work = Workspace(Gradients(*(torch.full_like(value, torch.nan) for value in gradients)))
    smallest = float(result.smallest)
    for guess in (0.5 * smallest, result.smallest, 2 * smallest):
        again, _, found = loss_and_gradients(batch(), *weights(), options(5, guess=guess), work)
        assert torch.equal(again, loss)
        assert all(torch.equal(a, b) for a, b in zip(found, gradients, strict=True))


@pytest.mark.parametrize("guess", [None, 0.5, 4.0])
@pytest.mark.parametrize("count", [0, 1, 17, 50, BATCH * D_SAE])
@pytest.mark.parametrize("whole", [True, False])
def test_the_very_values_are_kept_that_the_cpu_keeps(whole, count, guess):
    """Whole numbers tie by the dozen."""
    generator = torch.Generator().manual_seed(count)
    acts = 3 * torch.randn(BATCH, D_SAE, generator=generator)
    acts = acts.round() if whole else acts
    expected = acts.clone()
    smallest, kept = keep_largest_(expected, count)
    pattern = DevicePattern(acts, torch.ones(D_SAE), count, guess and guess * smallest)
    assert torch.equal(as_matrix(pattern), expected)
    assert int(pattern.kept) == kept
    if count:
        assert float(pattern.smallest) == smallest


def test_the_smallest_value_kept_by_hand():
    acts = torch.tensor([[3.0, -1.0, 2.0], [2.0, 0.0, 2.0]])
    assert [x.item() for x in smallest_kept(acts, 1)] == [3.0, 1]
    assert [x.item() for x in smallest_kept(acts, 3)] == [2.0, 2]
    assert [x.item() for x in smallest_kept(acts, 4)] == [2.0, 3]
    assert [x.item() for x in smallest_kept(acts, 5)] == [0.0, 0]


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_bad_input_gives_a_loss_that_is_not_finite(bad):
    x = batch()
    x[5, 3] = bad
    for guess in (None, torch.tensor(bad), 0.1):
        loss, result, _ = loss_and_gradients(x, *weights(), options(4, guess=guess))
        assert not loss.isfinite()
        assert result.kept == 4 * BATCH


def test_no_step_waits_for_the_device(monkeypatch):
    """What would make the host wait is made to fail."""
    # The interpreter itself reads what a program loads.
    for name in ("_count_upper", "_count_lower", "_count_rows", "_compress", "_decode"):
        monkeypatch.setattr(on_device, name, Nothing())
    monkeypatch.setattr(on_device, "_gradients", Nothing())
    asked = options(5, guess=torch.tensor(1.0), levels=LEVELS)
    with Numbers():
        loss_and_gradients(batch(), *weights(), asked)


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
def test_the_check_of_a_gpu_passes_them(case):
    from benchmarks.gpu_check import correctness

    made = getattr(correctness, case)(24, 40, 12)
    found, selected, differ = correctness.compare_step(made, 36, "float32", "sparse", "cpu")
    assert max(found.values()) < correctness.LIMITS["float32"], found
    assert differ == 0
    acts = correctness.reference.pre_acts(*made[:2])
    assert correctness.wrongly_selected(acts, selected, 36, 1e-5 * float(acts.max())) == 0


def test_where_triton_is_missing_one_line_says_so(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    text = settings(4, gpu_products="sparse")
    with pytest.raises(InputError, match="triton is not installed"):
        batchtopk.build(parse_settings(text), D_IN, 0, "cuda", {})
