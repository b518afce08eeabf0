"""The SAE with the true features, by hand."""

from __future__ import annotations

import json

import pytest
import torch

from correct_l0.settings.canonical import canonical
from correct_l0.sources.synthetic.make import make
from correct_l0.sources.synthetic.settings import Synthetic
from correct_l0.sources.synthetic.store import SyntheticStore, open_world
from paper import small_model
from paper.truth import ground_truth_sae, ground_truth_table


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> SyntheticStore:
    """The paper's toy model."""
    folder = tmp_path_factory.mktemp("world")
    make(folder, canonical(Synthetic(held_out_tokens=40_960)))
    return open_world(folder / "manifest.json")


def test_the_ground_truth_at_below_and_above_the_true_l0(world):
    table = ground_truth_table(world, [5.0, 11.0, 25.0]).set_index("l0")
    # The paper's MSE at L0 5 is 4.88.
    assert table.loc[5, "mse"] == pytest.approx(4.88, rel=0.05)
    assert table.loc[5, "l0_measured"] == pytest.approx(5, rel=0.02)
    for l0 in (11, 25):
        assert table.loc[l0, "mse"] == pytest.approx(0, abs=1e-9)
        assert table.loc[l0, "l0_measured"] == pytest.approx(10.9525, abs=0.15)
        assert table.loc[l0, "variance_explained"] == pytest.approx(1, abs=1e-6)


def test_it_loses_the_magnitudes_below_its_threshold(world):
    """Orthonormal features: the error is the sum of the squares left out."""
    sae, x = ground_truth_sae(world.truth.directions, 0.9), world.held_out(0, 4096)
    magnitudes = world.truth.magnitudes(0, 4096)
    lost = (magnitudes * (magnitudes <= 0.9)).square().sum(dim=1)
    error = (sae.decode(sae.encode(x)) - x).square().sum(dim=1)
    assert error.numpy() == pytest.approx(lost.numpy(), abs=1e-5)


def test_the_small_world_starts_at_the_truth():
    world = small_model.world_of(0.4, seed=3)
    weights = small_model.true_weights(world)
    assert torch.allclose(weights.W_dec @ weights.W_enc, torch.eye(5), atol=1e-6)
    assert world.correlation[0, 1:].tolist() == pytest.approx([0.4] * 4)
    assert world.probabilities.tolist() == pytest.approx([0.4] * 5)


def test_runs_of_the_small_model_are_those_the_claims_read():
    runs = small_model.runs_of(small_model.FULL, 0.4)
    assert ("true_l0", 2.0, "random") in runs
    assert ("init", 1.8, "truth") in runs
    assert [l0 for name, l0, _ in runs if name == "mixing_l0"] == list(small_model.FULL.mixing_l0)
    assert small_model.runs_of(small_model.FULL, 0.3) == [("mixing_correlation", 1.8, "truth")]


def test_the_settings_of_the_small_model_say_what_its_numbers_depend_on():
    full, quick = (json.loads(m.settings()) for m in (small_model.FULL, small_model.QUICK))
    assert full["training"] == {"batch_tokens": 1024, "training_tokens": 15_000_000}
    assert quick["training"]["lr"] == 1e-3
    assert "seeds" not in full
