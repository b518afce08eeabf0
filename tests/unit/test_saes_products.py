"""Products of bfloat16 with sums in float32, as CUDA has them, against float64."""

from dataclasses import replace

import pytest
import torch
from benchmarks.gpu_check import correctness

from correct_l0.saes.engine import products
from correct_l0.saes.engine.jump_step import JumpOptions
from correct_l0.saes.engine.jump_step import loss_and_gradients as jump_step
from correct_l0.saes.engine.nested import Levels
from correct_l0.saes.engine.products import operand, product
from correct_l0.saes.engine.step import StepOptions, loss_and_gradients
from correct_l0.saes.engine.workspace import Gradients, Workspace

D_IN, D_SAE, BATCH = 48, 256, 96
LEVELS = Levels((40, 128, D_SAE), (0.5, 2.0, 1.0))
LIMIT = correctness.LIMITS["reduced"]


@pytest.fixture
def as_on_cuda(monkeypatch):
    """This processor rounds as CUDA does, and has CUDA's product, made of exact ones of float32."""
    called = []

    def multiply(left, right, out_dtype, *, out):
        assert {left.dtype, right.dtype} == {torch.bfloat16}
        assert (out_dtype, out.dtype) == (torch.float32, torch.float32)
        called.append(out.shape)
        return torch.mm(left.float(), right.float(), out=out)

    monkeypatch.setattr(products, "_rounds", lambda values: values.dtype == torch.float32)
    with torch.library._scoped_library("aten", "IMPL") as library:
        library.impl("mm.dtype_out", multiply, "CPU")
        yield called


def difference(found, expected):
    return float((found.double() - expected).norm() / expected.norm())


def test_a_product_by_hand(as_on_cuda):
    """1 + 2^-9 rounds to 1 in bfloat16; 256 + 1 does not fit it, but fits the sum."""
    left, right = torch.tensor([[256.0, 1.0]]), torch.tensor([[1 + 2**-9], [1.0]])
    out = torch.empty(1, 1)
    assert product(left, right, out) is out and out.item() == 257
    assert operand(operand(left)) is not left and operand(left).dtype == torch.bfloat16
    assert operand(left.double()).dtype == torch.float64


@pytest.mark.parametrize("form", ["dense, no kernels", "dense", "sparse"])
@pytest.mark.parametrize("name", ["random_case", "dead_case", "ties_case", "zeros_case"])
def test_a_step_is_that_of_float64_up_to_rounding(as_on_cuda, monkeypatch, name, form):
    """As `make gpu-check` holds a card against float64, with what the step itself selected."""
    # Triton's interpreter takes milliseconds for each program.
    sizes = (D_IN, D_SAE, BATCH) if form == "dense, no kernels" else (24, 40, 12)
    case = getattr(correctness, name)(*sizes)
    count = 10 * sizes[-1] if form == "dense, no kernels" else 36
    monkeypatch.setattr(correctness.package, "has_kernels", lambda device: "no" not in form)
    products = form.split(",")[0]
    truth = correctness.reference.Truth(*case, 1.0)
    found, selected, differ = correctness.compare_step(
        case, truth, count, "reduced", products, "cpu"
    )
    assert max(found.values()) < correctness.LIMITS["reduced"], found
    assert differ == 0
    acts, right = truth.acts, truth.selection(count)
    slack = 0 if name == "ties_case" else correctness.LIMITS["reduced"] * float(acts.abs().max())
    assert correctness.wrongly_selected(acts, right, selected, count, slack) == 0
    # Five products a step, one of them dense in any form; it is repeated with three guesses.
    assert len(as_on_cuda) == (1 if form == "sparse" else 5) * 4


def whole(dtype=torch.float32):
    """Whole numbers, which bfloat16 has too: the selection is the very same in any precision."""
    x, weights, _ = correctness.ties_case(D_IN, D_SAE, BATCH)
    order = (x, *(weights[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")))
    return [value.to(dtype) for value in order]


@pytest.mark.parametrize("kernels", [True, False])
def test_the_step_of_a_matryoshka_sae(as_on_cuda, kernels):
    options = StepOptions(
        count=10 * BATCH, guess=None, dead=None, aux_coefficient=1.0, sparse=False, levels=LEVELS
    )
    expected, its, right = loss_and_gradients(*whole(torch.float64), options)
    assert not as_on_cuda
    options = replace(options, kernels=kernels)
    loss, result, found = loss_and_gradients(*whole(), options)
    assert len(as_on_cuda) == 2 + 3 * len(LEVELS.widths)
    assert torch.equal(result.selected.acts > 0, its.selected.acts > 0)
    assert difference(loss, expected) < LIMIT
    for name, value, wanted in zip(found._fields, found, right, strict=True):
        assert difference(value, wanted) < LIMIT, name


def test_the_step_of_a_jumprelu_sae(as_on_cuda):
    options = JumpOptions(
        mode="step", coefficient=0.1, target_l0=10.0, aim=10.0, tanh_scale=4.0, bandwidth=2.0,
        to_input=False, pre_act_coefficient=0.0, dead=None, sparse=False,
    )  # fmt: skip

    def step(dtype):
        x, W_enc, b_enc, W_dec, b_dec = whole(dtype)
        work = Workspace(Gradients.empty_like(W_enc, W_dec))
        threshold = torch.full((D_SAE,), 4.25, dtype=dtype)
        loss, _, by_threshold = jump_step(x, W_enc, b_enc, W_dec, b_dec, threshold, options, work)
        return loss, by_threshold, *work.gradients

    right = step(torch.float64)
    assert not as_on_cuda
    found = step(torch.float32)
    assert len(as_on_cuda) == 5
    for value, wanted in zip(found, right, strict=True):
        assert difference(value, wanted) < LIMIT
