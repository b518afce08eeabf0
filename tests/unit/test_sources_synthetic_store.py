"""A synthetic world on disk: made, opened, trained on, held against the truth, refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import digest_of
from correct_l0.sources.synthetic import RECIPE
from correct_l0.sources.synthetic.make import make
from correct_l0.sources.synthetic.settings import Synthetic
from correct_l0.sources.synthetic.store import BLOCK_TOKENS, open_world
from correct_l0.sources.synthetic.world import build_world, firing_rates

SECTION = {
    "features": 30, "d_in": 32, "bias": 0.5, "held_out_tokens": 2500, "seed": 3,
    "firing": {"law": "linear", "p_max": 0.5, "p_min": 0.1}, "correlation": None,
    "hierarchy": {"roots": 2, "branching": 2, "depth": 2, "exclusive": 0.5, "scaled": True},
}  # fmt: skip
PLAIN = {"held_out_tokens": 2500}


@pytest.fixture(scope="module", params=[SECTION, PLAIN], ids=["trees", "paper"])
def made(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    manifest = make(folder, json.dumps(request.param))
    return folder, manifest, Synthetic.model_validate(request.param)


def test_the_world_comes_back_whole(made):
    folder, manifest, settings = made
    store, expected = open_world(folder / "manifest.json"), build_world(settings)
    for name, value in vars(expected).items():
        found = getattr(store.world, name)
        if name == "tree":
            assert (found is None) == (value is None)
            assert found is None or np.array_equal(found.exclusive, value.exclusive)
            assert found is None or found.size == value.size
        else:
            assert np.array_equal(found, value)
            assert np.asarray(found).dtype == np.asarray(value).dtype
    assert (store.d_in, store.n_held_out) == (settings.d_in, 2500)
    assert store.digest == digest_of(folder / "manifest.json")
    assert (manifest["stage"], manifest["recipe"]) == ("make_world", RECIPE)


def test_the_same_settings_make_the_same_world(made, tmp_path):
    folder, manifest, _ = made
    make(tmp_path, manifest["parameters"])
    assert digest_of(tmp_path / "manifest.json") == digest_of(folder / "manifest.json")
    assert (tmp_path / "world.npz").read_bytes() == (folder / "world.npz").read_bytes()


def test_held_out_rows_and_what_fires_in_them(made):
    folder, _, _ = made
    store = open_world(folder / "manifest.json")
    whole, magnitudes = store.held_out(0, 2500), store.truth.magnitudes(0, 2500)
    assert whole.shape == (2500, store.d_in) and whole.dtype == torch.float32
    for start, stop in ((0, 10), (1000, 1030), (BLOCK_TOKENS, 2 * BLOCK_TOKENS), (7, 7), (0, 2500)):
        assert torch.equal(store.held_out(start, stop), whole[start:stop])
        assert torch.equal(store.truth.fires(start, stop), magnitudes[start:stop] > 0)
    rebuilt = magnitudes @ store.truth.directions + torch.from_numpy(store.world.bias)
    assert torch.allclose(rebuilt, whole, atol=1e-5)
    with pytest.raises(InputError, match="rows 0:2501 leave the 2500 held-out samples; ask for"):
        store.held_out(0, 2501)


def test_training_samples_are_others_than_those_held_out(made):
    folder, _, settings = made
    store = open_world(folder / "manifest.json")
    stream = store.stream(settings.seed, BLOCK_TOKENS)
    assert not torch.equal(stream.batch(0), store.held_out(0, BLOCK_TOKENS))
    ahead = store.stream(settings.seed, BLOCK_TOKENS, prefetch=True, threads=2)
    assert torch.equal(ahead.batch(4), stream.batch(4))


def test_the_constants_of_the_paper(tmp_path):
    """11 features of mean square 1 + 0.15^2 fire on average: E|x|^2 = 10.9525 x 1.0225 = 11.199."""
    manifest = make(tmp_path, "{}")
    store = open_world(tmp_path / "manifest.json")
    norms = store.held_out(0, 100_000).norm(dim=1).double()
    assert norms.square().mean().item() == pytest.approx(11.199, abs=0.08)
    assert store.mean_norm == pytest.approx(norms.mean().item(), abs=4 * 2**0.5 * 0.9 / 316)
    assert norms.std().item() < 0.9
    assert manifest["true_l0"] == pytest.approx(10.9525, abs=1e-6)
    assert manifest["true_l0_from"] == "formula" == store.truth.true_l0_from


def test_where_there_is_no_formula_the_true_l0_is_measured(tmp_path):
    section = SECTION | {"correlation": {"kind": "low_rank", "rank": 2, "scale": 1e-3}}
    manifest = make(tmp_path, json.dumps(section))
    assert manifest["true_l0_from"] == "measured on 102400 samples"
    # Correlations of a millionth: next to independent, where there is a formula.
    expected = firing_rates(build_world(Synthetic.model_validate(SECTION)))
    truth = open_world(tmp_path / "manifest.json").truth
    errors = np.sqrt(expected * (1 - expected) / 102_400)
    assert np.abs((truth.rates - expected) / errors).max() < 4
    assert truth.true_l0 == pytest.approx(truth.rates.sum())


def test_damaged_worlds_are_refused(made, tmp_path):
    folder, manifest, _ = made
    make(tmp_path, manifest["parameters"])
    world = tmp_path / "world.npz"
    world.write_bytes(world.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"world\.npz: bytes differ .*; delete .* and run again"):
        open_world(tmp_path / "manifest.json")
    other = json.loads((folder / "manifest.json").read_text()) | {"stage": "train_sae"}
    (tmp_path / "manifest.json").write_text(json.dumps(other))
    with pytest.raises(InputError, match="stage is 'train_sae', not 'make_world'; name the"):
        open_world(tmp_path / "manifest.json")
    with pytest.raises(InputError, match="missing; run the job that makes it again"):
        open_world(tmp_path / "nothing.json")
