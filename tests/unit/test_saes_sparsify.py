"""TopK SAEs in sparsify's folders, read and written by both."""

import json

import pytest
import torch
from sparsify import SparseCoder, SparseCoderConfig

import correct_l0
from correct_l0.errors import InputError
from saes_toy import D_IN, D_SAE, ToyStore, settings_of, train_toy


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("topk")
    train_toy(folder, settings_of("topk", l0=4))
    return correct_l0.load_sae(folder / "sae")


def dense(coder, x):
    found = coder.encode(x)
    return torch.zeros(len(x), D_SAE).scatter_(1, found.top_indices, found.top_acts)


def test_sparsify_loads_what_is_written_to_the_same_codes(trained, tmp_path):
    cfg, weights = correct_l0.save_for_sparsify(tmp_path / "new", trained)
    theirs = SparseCoder.load_from_disk(tmp_path / "new")
    x = ToyStore().rest[:300]
    with torch.no_grad():
        codes = trained.encode(x)
        torch.testing.assert_close(dense(theirs, x), codes, rtol=1e-5, atol=1e-5)
        out = theirs(x).sae_out
    torch.testing.assert_close(out, trained.decode(codes), rtol=1e-5, atol=1e-5)
    # What sparsify itself writes of it is the same.
    theirs.save_to_disk(tmp_path / "theirs")
    assert json.loads((tmp_path / "theirs/cfg.json").read_text()) == json.loads(cfg.read_text())
    assert correct_l0.load_sae(tmp_path / "theirs").W_enc.equal(trained.W_enc)
    assert weights.stat().st_mode & 0o777 == 0o644


def test_what_sparsify_saved_is_loaded_to_its_codes(tmp_path):
    torch.manual_seed(0)
    theirs = SparseCoder(D_IN, SparseCoderConfig(num_latents=D_SAE, k=5))
    with torch.no_grad():
        theirs.encoder.bias.normal_(std=0.1)
        theirs.b_dec.normal_()
    theirs.save_to_disk(tmp_path)
    ours, x = correct_l0.load_sae(tmp_path), ToyStore().rest[:300]
    assert (ours.form, ours.k, ours.d_in, ours.d_sae) == ("topk", 5, D_IN, D_SAE)
    with torch.no_grad():
        torch.testing.assert_close(ours.encode(x), dense(theirs, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "groupmax"}, "activation is 'groupmax', only 'topk' is an SAE here; name"),
        ({"transcode": True}, "transcode is True, only False is an SAE here; name another"),
        ({"k": "many"}, "damaged SAE .*; save it again"),
        (None, "cfg.json: missing; save the SAE again"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(trained, tmp_path, change, message):
    cfg, _ = correct_l0.save_for_sparsify(tmp_path, trained)
    if change is None:
        cfg.unlink()
    else:
        cfg.write_text(json.dumps(json.loads(cfg.read_text()) | change))
    with pytest.raises(InputError, match=message) as error:
        correct_l0.load_sae(tmp_path)
    assert "\n" not in str(error.value)


def test_another_form_is_not_exported(trained, tmp_path):
    other = type(trained)(**{**vars(trained), "form": "jumprelu", "k": None})
    with pytest.raises(InputError, match="the SAE is jumprelu, sparsify's are topk on centred"):
        correct_l0.save_for_sparsify(tmp_path, other)
