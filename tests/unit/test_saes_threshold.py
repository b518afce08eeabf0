"""Calibration of the threshold and what is measured on held-out tokens."""

import pytest
import torch

from correct_l0.saes.training.evaluate import (
    PIECE,
    held_out_chunks,
    loss_slope,
    measure,
    quantiles,
    row_cosines,
)
from correct_l0.saes.training.threshold import count_bits, threshold_for
from saes_toy import ToyStore

pytestmark = pytest.mark.numbers


@pytest.mark.parametrize("l0", [0.5, 4.25, 16.0, 24.0])
def test_the_threshold_leaves_the_target_l0(l0):
    chunks = torch.randn(5, 400, 50, generator=torch.Generator().manual_seed(0))
    counts, tokens = count_bits(iter(chunks))
    threshold = threshold_for(counts, tokens, l0)
    assert tokens == 2000
    assert (chunks > threshold).sum().item() / 2000 == pytest.approx(l0, rel=2e-3)


def test_a_target_above_the_positive_values_gives_zero():
    counts, tokens = count_bits([torch.tensor([[1.0, -1.0, 0.0], [2.0, 3.0, -2.0]])])
    assert int(counts.sum()) == 3
    assert threshold_for(counts, tokens, 1.5) == 0.0
    assert threshold_for(counts, tokens, 3.0) == 0.0
    assert 1.0 < threshold_for(counts, tokens, 1.0) < 2.0


def test_no_chunk_is_an_error():
    with pytest.raises(ValueError, match="no held-out tokens"):
        count_bits([])


@pytest.mark.parametrize("rows", [2, 3, 10, 11, 4096, 9000])
def test_the_two_parts_share_no_row_and_miss_none(rows):
    store = ToyStore()
    store.n_held_out = rows
    store.held_out = lambda start, stop: torch.arange(start, stop)
    parts = [torch.cat(list(held_out_chunks(store, part))) for part in (0, 1)]
    assert all(len(part) for part in parts)
    assert sorted(torch.cat(parts).tolist()) == list(range(rows))


def test_measurements_do_not_depend_on_the_chunks():
    class Half:
        d_sae = 4

        def encode(self, x):
            return torch.nn.functional.pad(x.relu(), (0, 1))

        def decode(self, acts):
            return 0.5 * acts[:, :3]

    x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0)) + 3
    whole, parts = measure(Half(), [x], 2.0), measure(Half(), x.split(7), 2.0)
    assert whole == pytest.approx(parts, rel=1e-6)
    x = x.double()
    error = (0.5 * x.relu() - x).square().sum().item()
    assert whole["mse"] == pytest.approx(4 * error / 100, rel=1e-6)
    assert whole["fvu"] == pytest.approx(error / (x - x.mean(0)).square().sum().item(), rel=1e-6)
    assert whole["dead_latents"] == 1


@pytest.mark.parametrize("width", [1, 7, 384])
def test_cosines_in_pieces_are_those_of_the_whole_bit_by_bit(width):
    generator = torch.Generator().manual_seed(0)
    rows, others = torch.randn(2, 5 * PIECE // (2 * width), width, generator=generator)
    whole = torch.nn.functional.cosine_similarity(rows, others, dim=-1)
    assert torch.equal(row_cosines(rows, others), whole)
    wide, theirs = rows.double(), others.double()
    right = (wide * theirs).sum(1) / (wide.norm(dim=1) * theirs.norm(dim=1))
    assert float((whole.double() - right).abs().max()) < 1e-6


def test_loss_slope_and_quantiles():
    losses = torch.cat([torch.full((80,), 9.0), torch.full((10,), 4.0), torch.full((10,), 3.0)])
    assert loss_slope(losses) == 0.25
    assert loss_slope(torch.tensor([3.0])) == 0.0
    expected = {"0.05": 5.0, "0.25": 25.0, "0.5": 50.0, "0.75": 75.0, "0.95": 95.0}
    assert quantiles(torch.arange(101.0)) == pytest.approx(expected)
