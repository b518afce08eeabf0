"""Stability of pairs of seeds, by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from correct_l0.errors import InputError
from correct_l0.metrics import assignment
from correct_l0.metrics.assignment import assign, cosine_blocks
from correct_l0.metrics.stability.files import read_stability, write_stability
from correct_l0.metrics.stability.measure import compare_seeds, reproduced_share, stability_table
from cuda_toy import Numbers, Places


def normal(rows, d_in, seed=0):
    return torch.randn(rows, d_in, generator=torch.Generator().manual_seed(seed))


def turned(angles):
    """The first rows of the identity, each turned by an angle into a dimension of its own."""
    angles, basis = torch.deg2rad(torch.tensor(angles)), torch.eye(2 * len(angles))
    first, second = basis[: len(angles)], basis[len(angles) :]
    return first, angles.cos()[:, None] * first + angles.sin()[:, None] * second


def test_a_permuted_decoder_is_the_same():
    W_dec = normal(60, 20)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    (pair,) = compare_seeds({3: W_dec, 1: 2 * W_dec[order]})
    assert pair.seeds == (1, 3)
    assert pair.partners.tolist() == order.tolist()
    row = stability_table([pair]).iloc[0]
    assert row["pw_mcc"] == pytest.approx(1, abs=1e-6)
    assert (row["share_above"], row["number_above"]) == (1, 60)
    # A cosine off by 1e-7 is an angle of 4e-4.
    assert row["reproduced_share"] == pytest.approx(1, abs=1e-3)
    assert row["subspace_agreement"] == pytest.approx(1, abs=1e-6)
    assert math.isnan(row["subspace_agreement_of_others"])


def test_decoders_on_a_device_are_compared_there():
    first, second = normal(60, 20), normal(60, 20, seed=1)
    second[:30] = first[:30] + 0.1 * second[:30]
    (expected,) = compare_seeds({0: first, 1: second})
    with Places():
        (found,) = compare_seeds({0: first.to("cuda"), 1: second.to("cuda")})
        with pytest.raises(AssertionError, match="mixes devices"):
            compare_seeds({0: first.to("cuda"), 1: second})
    assert found.partners.tolist() == expected.partners.tolist()
    assert found.cosines.tolist() == expected.cosines.tolist()
    assert (found.agreement, found.agreement_of_others) == (
        expected.agreement,
        expected.agreement_of_others,
    )


def test_the_host_waits_for_no_block_of_cosines(monkeypatch):
    """The values of all blocks are asked for at once, at the end of a pass."""
    waited = []
    cpu = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: (waited.append(len(x)), cpu(x))[1])
    monkeypatch.setattr(assignment, "BLOCK_ROWS_CPU", 7)
    assign(normal(70, 9), normal(70, 9, seed=1))
    assert set(waited) == {70}
    with Numbers():
        blocks = [block for _, block in cosine_blocks(normal(70, 9), normal(70, 9))]
    assert len(blocks) == 10


def test_known_angles():
    first, second = turned([0.0, 20.0, 60.0, 90.0])
    (pair,) = compare_seeds({0: first, 1: second})
    expected = np.cos(np.radians([0, 20, 60, 90]))
    assert pair.cosines == pytest.approx(expected, abs=1e-6)
    row = stability_table([pair]).iloc[0]
    assert row["pw_mcc"] == pytest.approx(expected.mean(), abs=1e-6)
    # cos 20 degrees = .940 is above .9, cos 60 degrees is not.
    assert (row["share_above"], row["number_above"]) == (0.5, 2)
    assert row["matching_error_bound"] < 1e-6


def test_the_opposite_of_a_latent_is_another_latent():
    (pair,) = compare_seeds({0: torch.tensor([[0.0, 2.0]]), 1: torch.tensor([[0.0, -1.0]])})
    assert pair.cosines.tolist() == [-1]


def test_surplus_latents_of_a_wide_sae_are_not_counted():
    features = torch.linalg.qr(normal(64, 64))[0][:20]
    decoders = {seed: torch.cat([features, normal(20, 64, seed)])[torch.randperm(40)]
                for seed in (1, 2)}  # fmt: skip
    row = stability_table(compare_seeds(decoders)).iloc[0]
    assert (row["share_above"], row["number_above"]) == (0.5, 20)
    assert row["reproduced_share"] == pytest.approx(0.5, abs=0.03)
    assert row["pw_mcc"] > 0.55


def test_random_decoders_are_at_chance():
    row = stability_table(compare_seeds({0: normal(300, 64), 1: normal(300, 64, 1)})).iloc[0]
    assert row["pw_mcc"] == pytest.approx(row["chance_pw_mcc"], abs=0.005)
    assert row["number_above"] == row["chance_share_above"] == 0
    assert row["reproduced_share"] == pytest.approx(row["chance_reproduced_share"], abs=0.005)
    assert row["chance_reproduced_share"] < 0.02
    assert abs(row["subspace_agreement"]) < 4 * row["subspace_agreement_spread"]


def test_latents_that_turn_within_one_plane():
    # Two stay. The other two turn by 45 degrees in the plane of axes 2 and 3, and still fill it.
    first = torch.eye(8)[:4]
    half = math.sqrt(0.5)
    second = first.clone()
    second[2:, 2:4] = torch.tensor([[half, half], [half, -half]])
    (pair,) = compare_seeds({0: first, 1: second})
    row = stability_table([pair]).iloc[0]
    assert row["number_above"] == 2
    assert row["subspace_agreement"] == pytest.approx(1, abs=1e-6)
    assert row["subspace_agreement_of_others"] == pytest.approx(1, abs=1e-6)


def test_reproduced_share_is_the_area_under_the_shares_within_an_angle():
    cosines = np.random.default_rng(0).uniform(-0.2, 1, 500)
    chance = math.acos(0.3)
    angles = np.linspace(0, chance, 2001)
    shares = [(np.arccos(cosines) < angle).mean() for angle in angles]
    area = np.trapezoid(shares, angles) / chance
    assert reproduced_share(cosines, 0.3) == pytest.approx(area, abs=1e-3)


def test_every_pair_of_seeds_and_their_files(tmp_path):
    decoders = {seed: normal(10, 6, seed) for seed in (4, 0, 2)}
    pairs = compare_seeds(decoders)
    table = stability_table(pairs)
    assert table[["seed_a", "seed_b"]].values.tolist() == [[0, 2], [0, 4], [2, 4]]
    paths = write_stability(tmp_path, pairs)
    assert [path.name for path in paths] == ["stability.csv", "stability.npz"]
    read, arrays = read_stability(tmp_path)
    pd.testing.assert_frame_equal(read, table)
    assert arrays["seeds"].tolist() == [[0, 2], [0, 4], [2, 4]]
    assert arrays["cosines"].mean(axis=1) == pytest.approx(table["pw_mcc"], abs=1e-6)
    a, b = decoders[2].numpy(), decoders[4].numpy()[arrays["partners"][2]]
    by_hand = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert arrays["cosines"][2] == pytest.approx(by_hand, abs=1e-6)


def test_one_seed():
    with pytest.raises(InputError, match=r"1 seed, stability compares at least 2; add a seed"):
        compare_seeds({0: normal(4, 3)})


def test_decoders_of_two_shapes():
    with pytest.raises(InputError, match=r"seeds 0 and 5 .* \(4, 3\) and \(6, 3\), not one; comp"):
        compare_seeds({0: normal(4, 3), 5: normal(6, 3)})
