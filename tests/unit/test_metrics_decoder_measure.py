"""s_n^dec over batches: both statistics and their standard errors."""

import math

import numpy as np
import pytest
import torch

from correct_l0.errors import InputError
from correct_l0.metrics.decoder.histogram import RESOLUTION_BOUND
from correct_l0.metrics.decoder.measure import measure_projections, s_n_dec_table

D_IN, D_SAE = 12, 16


def unit_rows():
    W_dec = torch.randn(D_SAE, D_IN, generator=torch.Generator().manual_seed(5))
    return W_dec / W_dec.norm(dim=1, keepdim=True)


def tokens(batches, batch_tokens, seed):
    """Tokens of varying length, so that the projections of one token hang together."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batches, batch_tokens, D_IN, generator=generator)
    return x * (0.5 + torch.rand(batches, batch_tokens, 1, generator=generator))


def measure(x, n, scale=1.0, b_dec=None):
    b_dec = torch.zeros(D_IN) if b_dec is None else b_dec
    return s_n_dec_table(measure_projections(x, unit_rows(), b_dec, scale, n))


@pytest.mark.numbers
def test_both_statistics_against_a_full_sort():
    """Projections are sums of twelve products of size 1, in float32; they may nearly cancel."""
    x, ns = tokens(6, 128, seed=0), [2, 8, 4]
    table = measure(x, ns, scale=1.5).set_index(["n", "statistic"])
    projections = 1.5 * x @ unit_rows().T
    for n in ns:
        per_batch = [float(z.flatten().sort(descending=True).values[n * 128]) for z in projections]
        mean = table.loc[n, "batch_mean"]
        assert mean["value"] == pytest.approx(np.mean(per_batch), abs=2e-6)
        error = np.std(per_batch, ddof=1) / math.sqrt(6)
        assert mean["standard_error"] == pytest.approx(error, abs=2e-6)
        pooled = float(projections.flatten().sort(descending=True).values[n * 6 * 128])
        assert abs(table.loc[n, "pooled"]["value"] - pooled) <= RESOLUTION_BOUND + 2e-6
    assert set(table["batches"]) == {6} and set(table["tokens"]) == {768}


def test_one_batch_gives_both_statistics_the_same_value_and_no_error():
    table = measure(tokens(1, 256, seed=1), [5])
    assert abs(table["value"][0] - table["value"][1]) <= RESOLUTION_BOUND
    assert table["standard_error"].isna().all()


@pytest.mark.numbers
def test_batches_of_unequal_size_by_hand():
    """One token of projections 4, 3 and three of 2, 1.5, 1, 0.5, 0, -1; n = 1 of two latents.

    s_n^dec is 3 in the first batch (index 1) and 0.5 in the second (index 3); of all eight it is 1
    (index 4). Deviations from the mean 1.125, times 1/2 and 3/2 of the mean size, are +-0.9375.
    """
    batches = [[[4.0, 3.0]], [[2.0, 1.0], [0.5, 1.5], [-1.0, 0.0]], []]
    x = [torch.tensor(batch).reshape(-1, 2) for batch in batches]
    statistics = measure_projections(x, torch.eye(2), torch.zeros(2), 1.0, [1])
    table = s_n_dec_table(statistics).set_index("statistic")
    assert table.loc["batch_mean", "value"] == 1.125
    assert table.loc["batch_mean", "standard_error"] == pytest.approx(0.9375, abs=1e-12)
    assert abs(table.loc["pooled", "value"] - 1) <= RESOLUTION_BOUND
    assert set(table["batches"]) == {2} and set(table["tokens"]) == {4}


@pytest.mark.numbers
def test_the_pooled_value_does_not_depend_on_the_batches():
    """8,292 tokens in batches of 4,096 leave 100 for the last."""
    x = tokens(1, 8292, seed=7)[0]
    whole, parts = measure([x], [4, 8]), measure(x.split(4096), [4, 8])
    rows = whole["statistic"] == "pooled"
    wanted = whole["value"][rows]
    np.testing.assert_allclose(parts["value"][rows], wanted, rtol=0, atol=2 * RESOLUTION_BOUND)


@pytest.mark.numbers
def test_the_bias_is_subtracted_and_the_scale_applied_once():
    x, shift = tokens(2, 128, seed=2), torch.full((D_IN,), 3.0)
    plain = measure(x, [4])
    moved = measure((x + shift) * 10, [4], scale=0.1, b_dec=shift * 10)
    np.testing.assert_allclose(moved["value"], plain["value"], atol=2 * RESOLUTION_BOUND)


def test_standard_errors_are_the_spread_over_repetitions():
    tables = [measure(tokens(12, 96, seed=100 + i), [3]) for i in range(60)]
    for row, statistic in enumerate(("batch_mean", "pooled")):
        values = [table["value"][row] for table in tables]
        errors = [table["standard_error"][row] for table in tables]
        assert tables[0]["statistic"][row] == statistic
        assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.25)


def test_no_batch():
    with pytest.raises(InputError, match="no batch of held-out tokens; cache more"):
        measure([], [4])


def test_an_activation_that_is_not_finite_names_the_batch():
    x = tokens(3, 64, seed=3)
    x[1, 5, 2] = math.nan
    with pytest.raises(InputError, match=r"batch 1 of the held-out tokens .* not finite; verify"):
        measure(x, [4])


def test_a_value_beyond_the_histogram_is_refused():
    with pytest.raises(InputError, match=r"n 4 is beyond -20\.\.40 training units; check"):
        measure(tokens(2, 64, seed=4), [4], scale=1e4)


def test_a_decoder_without_unit_norm_is_refused():
    with pytest.raises(InputError, match="decoder row"):
        measure_projections(tokens(1, 64, seed=5), 2 * unit_rows(), torch.zeros(D_IN), 1.0, [4])
