"""A semi-synthetic source: rows and truth by hand, against SAELens, opened again, refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import digest_of
from correct_l0.saes.saved import SavedSae, load_saved_sae, write_saved_sae
from correct_l0.settings.canonical import canonical
from correct_l0.sources import open_source
from correct_l0.sources.language_model.reader import open_store
from correct_l0.sources.semi_synthetic import RECIPE
from correct_l0.sources.semi_synthetic.checks import check_semi_synthetic
from correct_l0.sources.semi_synthetic.settings import SemiSynthetic
from correct_l0.sources.semi_synthetic.store import BLOCK_TOKENS, make
from semi_synthetic_toy import hand_made, random_sae, write_random

ROWS = 1001


def opened(folder, wanted):
    make(folder / "world", canonical(SemiSynthetic.model_validate(wanted)), load_saved_sae)
    return open_source(folder / "world" / "manifest.json", load_saved_sae)


@pytest.fixture(scope="module", params=["none", "shuffled"])
def by_hand(request, tmp_path_factory):
    """The source of `hand_made`, and the rows of its cache."""
    folder = tmp_path_factory.mktemp("hand")
    wanted = hand_made(folder, residual=request.param)
    return opened(folder, wanted), open_store(wanted["activations"]), request.param


def test_held_out_rows_are_the_cache_s_less_what_the_sae_does_not_explain(by_hand):
    store, cache, residual = by_hand
    expected = cache.held_out(0, ROWS)
    # The third latent never fires: -token is the residual, of the row 500 further or none.
    expected[:, 2] = expected[:, 2].roll(-(ROWS // 2)) if residual == "shuffled" else 0
    whole = store.held_out(0, ROWS)
    assert torch.equal(whole, expected)
    for start, stop in ((0, 10), (495, 505), (BLOCK_TOKENS - 30, ROWS), (7, 7)):
        assert torch.equal(store.held_out(start, stop), whole[start:stop])
    with pytest.raises(InputError, match="rows 0:1002 leave the 1001 held-out rows; ask for fewer"):
        store.held_out(0, 1002)


def test_training_batches_are_those_of_the_cache(by_hand):
    store, cache, residual = by_hand
    own, stream = cache.stream(5, 100), store.stream(5, 100)
    ahead = store.stream(5, 100, prefetch=True, threads=2)
    for step in (2, 0, 31):
        expected = own.batch(step).clone()
        expected[:, 2] = expected[:, 2].roll(1) if residual == "shuffled" else 0
        assert torch.equal(stream.batch(step), expected)
        assert torch.equal(ahead.batch(step), expected)


def test_the_truth_is_the_latents_that_fire(by_hand):
    store, cache, _ = by_hand
    truth, rows = store.truth, cache.held_out(0, ROWS)
    # token, position / 2 (in units of a unit direction the position itself), and 1.
    assert store.latents.tolist() == [0, 1, 3]
    assert torch.equal(truth.directions, torch.eye(4)[[0, 1, 3]])
    assert torch.equal(truth.magnitudes(0, ROWS), rows[:, [0, 1, 3]])
    assert torch.equal(truth.fires(3, 9), rows[3:9, [0, 1, 3]] > 0)
    moved = int((rows[:, 1] > 0).sum())
    assert 0 < moved < ROWS
    np.testing.assert_array_equal(truth.rates, [1, moved / ROWS, 1])
    assert truth.true_l0 == (2 * ROWS + moved) / ROWS
    assert truth.true_l0_from == "measured on 1001 held-out rows"


def test_the_mean_norm_is_that_of_the_first_training_rows(by_hand):
    store, cache, _ = by_hand
    own, stream = cache.stream(0, BLOCK_TOKENS), store.stream(0, BLOCK_TOKENS)
    rows = torch.cat([stream.batch(step) for step in range(2)]).double()
    # 3,000 rows make two whole batches.
    assert len(own.batch(0)) == BLOCK_TOKENS
    assert store.mean_norm == pytest.approx(rows.norm(dim=1).mean().item(), rel=1e-6)


def test_what_is_saved_of_it(by_hand):
    store, cache, _ = by_hand
    manifest = store.manifest
    assert (manifest["stage"], manifest["recipe"]) == ("make_semi_synthetic", RECIPE)
    assert (manifest["features"], manifest["d_in"], manifest["held_out_tokens"]) == (3, 4, ROWS)
    assert manifest["inputs"]["activations"] == cache.digest
    assert store.metadata == {**cache.metadata, "model_name": "semi-synthetic"}
    assert (store.d_in, store.n_held_out) == (4, ROWS)


@pytest.mark.parametrize("topk", [False, True], ids=["jumprelu", "topk"])
def test_rows_are_those_of_saelens(tmp_path, topk):
    from sae_lens import SAE

    wanted = write_random(tmp_path)
    wanted = {name: str(tmp_path / path) for name, path in wanted.items()}
    if topk:
        given = vars(random_sae())
        write_saved_sae(wanted["sae"], SavedSae(**{**given, "form": "topk", "k": 5}), {})
    store = opened(tmp_path, wanted | {"held_out_tokens": 1500})
    cache, other = open_store(wanted["activations"]), SAE.load_from_disk(wanted["sae"])
    for found, x in (
        (store.held_out(0, 1500), cache.held_out(0, 1500)),
        (store.stream(3, 512).batch(9), cache.stream(3, 512).batch(9)),
    ):
        with torch.no_grad():
            expected = other.decode(other.encode(x))
        assert (found - expected).abs().max() < 1e-5
        assert (found - x).norm() > 0.1 * x.norm()
    truth = store.truth
    rebuilt = truth.magnitudes(0, 1500) @ truth.directions + random_sae().b_dec
    assert (rebuilt - store.held_out(0, 1500)).abs().max() < 1e-5
    assert truth.true_l0 == pytest.approx(truth.rates.sum())


def test_the_same_settings_make_the_same_source(tmp_path):
    wanted = hand_made(tmp_path)
    first = opened(tmp_path, wanted).digest
    make(tmp_path / "again", canonical(SemiSynthetic.model_validate(wanted)), load_saved_sae)
    assert digest_of(tmp_path / "again" / "manifest.json") == first


def refused(wanted, words):
    with pytest.raises(InputError, match=words) as error:
        check_semi_synthetic(SemiSynthetic.model_validate(wanted), "results/other")
    assert len(str(error.value).splitlines()) == 1


def test_what_is_refused_before_anything_runs(tmp_path):
    wanted = hand_made(tmp_path)
    check_semi_synthetic(SemiSynthetic.model_validate(wanted), "results/other")
    with pytest.raises(InputError, match="in the study's own folder, where its own SAEs go; give"):
        check_semi_synthetic(SemiSynthetic.model_validate(wanted), tmp_path)
    refused(wanted | {"sae": "no"}, r"semi_synthetic\.sae: no/cfg\.json is missing; name a folder")
    refused(wanted | {"activations": "no.json"}, r"\.activations: no\.json is missing; name the")
    refused(wanted | {"held_out_tokens": 1501}, "held_out_tokens 1501 is above the 1500 held-out")
    cache = Path(wanted["activations"])
    refused(
        wanted | {"activations": str(cache.parent / "text" / "manifest.json")},
        "stage of .* is 'stage_text', not 'seal_activations'; name the manifest",
    )
    write_saved_sae(tmp_path / "wide", random_sae(), {})
    refused(wanted | {"sae": str(tmp_path / "wide")}, "takes activations 16 wide, .* holds 4 wide")
    signed = SavedSae(**{**vars(random_sae(4)), "form": "abstopk", "k": 2})
    write_saved_sae(tmp_path / "signed", signed, {})
    refused(wanted | {"sae": str(tmp_path / "signed")}, "an abstopk SAE, fire with either sign")


def test_an_sae_of_which_no_latent_fires_is_refused(tmp_path):
    wanted = hand_made(tmp_path)
    write_saved_sae(wanted["sae"], random_sae(4, threshold=1e6), {})
    with pytest.raises(InputError, match=r"none of its latents fires on 1001 held-out rows of .*;"):
        opened(tmp_path, wanted)


def test_another_sae_or_cache_than_it_was_made_from_is_refused(tmp_path):
    wanted = hand_made(tmp_path)
    path = tmp_path / "world" / "manifest.json"
    opened(tmp_path, wanted)
    write_saved_sae(wanted["sae"], random_sae(4), {})
    with pytest.raises(InputError, match=r"sae: another than .* was made from; delete .* and run"):
        open_source(path, load_saved_sae)
    opened(tmp_path, wanted)
    cache = Path(wanted["activations"])
    manifest = json.loads(cache.read_text())
    cache.write_text(json.dumps(manifest | {"recipe": manifest["recipe"] + 1}))
    with pytest.raises(InputError, match=r"manifest\.json: another than .* was made from; delete"):
        open_source(path, load_saved_sae)
    truth = tmp_path / "world" / "truth.npz"
    truth.write_bytes(truth.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"truth\.npz: bytes differ .*; delete .* and run again"):
        open_source(path, load_saved_sae)
