"""A saved SAE: SAELens' numbers without SAELens, and what is refused."""

import re

import pytest
import torch
from sae_lens import SAE

from correct_l0.errors import InputError
from correct_l0.saes.saved import SavedSae, load_saved_sae, open_trained_sae
from probing_toy import D_IN, D_SAE, write_sae


@pytest.mark.parametrize("apply_b_dec_to_input", [True, False])
def test_codes_have_saelens_bits(tmp_path, apply_b_dec_to_input):
    write_sae(tmp_path, apply_b_dec_to_input=apply_b_dec_to_input)
    sae, theirs = load_saved_sae(tmp_path / "sae"), SAE.load_from_disk(str(tmp_path / "sae"))
    x = 3 * torch.randn(128, D_IN, generator=torch.Generator().manual_seed(0))
    codes = sae.encode(x)
    assert torch.equal(codes, theirs.encode(x))
    assert 0 < (codes != 0).float().mean() < 0.5
    assert (sae.d_in, sae.d_sae) == (D_IN, D_SAE)


def test_codes_of_some_latents_in_the_order_asked(tmp_path):
    write_sae(tmp_path)
    sae = load_saved_sae(tmp_path / "sae")
    x = 3 * torch.randn(128, D_IN, generator=torch.Generator().manual_seed(0))
    columns = torch.randperm(D_SAE, generator=torch.Generator().manual_seed(1))[:64]
    assert torch.equal(sae.encode(x, columns), sae.encode(x)[:, columns])


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("normalize_activations", "layer_norm", "none"),
        ("reshape_activations", "hook_z", "none"),
    ],
)
def test_other_kinds_of_sae_are_refused(tmp_path, key, value, wanted):
    write_sae(tmp_path, **{key: value})
    message = f"{key} is '{value}', not '{wanted}'; save the SAE in its inference form"
    with pytest.raises(InputError, match=re.escape(message)):
        load_saved_sae(tmp_path / "sae")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"architecture": "batchtopk"},
            "is 'batchtopk', not one of jumprelu, topk, abstopk, decoder; save",
        ),
        ({"architecture": "topk"}, "topk without a k, at least 1; save the SAE again"),
        (
            {"architecture": "topk", "k": 3, "rescale_acts_by_decoder_norm": True},
            "the decoder's norms are not folded into the encoder",
        ),
    ],
)
def test_other_forms_of_sae_are_refused(tmp_path, changed, message):
    write_sae(tmp_path, **changed)
    with pytest.raises(InputError, match=re.escape(message)):
        load_saved_sae(tmp_path / "sae")


@pytest.mark.parametrize(
    ("form", "expected"), [("topk", [[3.0, 0, 0, 2.0]]), ("abstopk", [[3.0, -4.0, 0, 0]])]
)
def test_the_k_largest_of_a_token_by_hand(form, expected):
    one, zero = torch.eye(4), torch.zeros(4)
    sae = SavedSae(one, zero, one, zero, zero, form=form, k=2)
    assert sae.encode(torch.tensor([[3.0, -4.0, 1.0, 2.0]])).tolist() == expected
    assert sae.encode(torch.tensor([[-1.0, -2.0, -3.0, 5.0]])).count_nonzero() == (
        1 if form == "topk" else 2
    )


def test_a_missing_or_torn_file(tmp_path):
    write_sae(tmp_path)
    weights = tmp_path / "sae" / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged SAE"):
        load_saved_sae(tmp_path / "sae")
    weights.unlink()
    with pytest.raises(InputError, match="missing; train this SAE again"):
        load_saved_sae(tmp_path / "sae")


def test_a_trained_sae_is_held_against_its_manifest(tmp_path):
    manifest = write_sae(tmp_path)
    sae, facts = open_trained_sae(manifest)
    assert facts["activation_scale"] == 1.5
    assert sae.d_sae == D_SAE
    weights = tmp_path / "sae" / "sae_weights.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(InputError, match="bytes differ from its manifest's checksum"):
        open_trained_sae(manifest)
