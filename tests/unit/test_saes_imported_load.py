"""Every layout through SAELens' loaders: its codes against those of the layout's own formula."""

import pytest
import sae_lens
import torch

import imported_toy as toy
from correct_l0.errors import InputError
from correct_l0.saes.imported.load import CHECKED_WITH, load_imported
from correct_l0.saes.saved import load_saved_sae, write_saved_sae

X = torch.randn(40, toy.D_IN, generator=torch.Generator().manual_seed(9))
JUMPRELU = "jumprelu"


def load(folder, name, layout, origin="nobody/saes", **more):
    return load_imported(name, layout, origin, lambda file: folder / file, **more)


def assert_does(sae, codes, p, *, norms=True):
    """Codes of unit-norm decoders are those of the layout times the norms of the rows."""
    lengths = p["W_dec"].norm(dim=1) if norms else torch.ones(len(p["W_dec"]))
    found = sae.encode(X)
    assert torch.allclose(found, codes * lengths, atol=2e-5)
    assert 0 < (found != 0).sum() < found.numel()
    assert torch.allclose(sae.decode(found), codes @ p["W_dec"] + p["b_dec"], atol=2e-5)


def jumprelu(p, *, centred=False):
    pre = (X - p["b_dec"] * centred) @ p["W_enc"] + p["b_enc"]
    return torch.relu(pre) * (pre > p["threshold"])


def topk(p, k, *, centred):
    pre = (X - p["b_dec"] * centred) @ p["W_enc"] + p["b_enc"]
    values, places = pre.topk(k, dim=1)
    return torch.zeros_like(pre).scatter(1, places, values.relu())


def test_sae_lens_is_the_version_that_this_was_checked_with():
    assert sae_lens.__version__.startswith(f"{CHECKED_WITH}.")


@pytest.mark.parametrize("origin", ["google/gemma-scope-2b-pt-res", "my saes"])
def test_gemma_scope(tmp_path, origin):
    p = toy.parts()
    toy.write_gemma_2(tmp_path / "layer_12/width_16k/average_l0_4", p)
    sae, facts = load(tmp_path, "layer_12/width_16k/average_l0_4", "gemma_2", origin)
    assert_does(sae, jumprelu(p), p)
    assert facts["unit_norm"] and facts["hook_name"] == "blocks.12.hook_resid_post"


def test_a_folder_of_gemma_scope_may_have_any_name(tmp_path):
    toy.write_gemma_2(tmp_path / "mine", toy.parts())
    sae, facts = load(tmp_path, "mine", "gemma_2", "my saes")
    assert sae.d_in == toy.D_IN and facts["hook_name"] is None


def test_gemma_scope_2(tmp_path):
    p = toy.parts()
    name = "resid_post/layer_7_width_16k_l0_small"
    toy.write_gemma_3(tmp_path / name, p)
    sae, facts = load(tmp_path, name, "gemma_3", "google/gemma-scope-2-1b-pt")
    assert_does(sae, jumprelu(p), p)
    assert facts["hook_name"] == "blocks.7.hook_resid_post"


def test_batchtopk_of_dictionary_learning_with_its_threshold(tmp_path):
    p = toy.unit(toy.parts())
    toy.write_batchtopk(tmp_path / "t_0", p, threshold=0.6)
    sae, _ = load(tmp_path, "t_0", "dictionary_learning_1", k=4)
    p["threshold"] = torch.full((toy.D_SAE,), 0.6)
    assert sae.form == JUMPRELU
    assert_does(sae, jumprelu(p, centred=True), p)


def test_a_threshold_that_was_never_set_is_run_as_top_k(tmp_path):
    p = toy.unit(toy.parts())
    toy.write_batchtopk(tmp_path / "t_0", p, threshold=-1.0)
    sae, _ = load(tmp_path, "t_0", "dictionary_learning_1", k=3)
    assert (sae.form, sae.k) == ("topk", 3)
    assert_does(sae, topk(p, 3, centred=True), p)
    with pytest.raises(InputError, match="threshold was never set, and its files tell no k"):
        load(tmp_path, "t_0", "dictionary_learning_1")


def test_topk_of_dictionary_learning_keeps_norms_that_cannot_be_folded(tmp_path):
    p = toy.parts()
    toy.write_batchtopk(tmp_path / "t", p, threshold=-1.0, dict_class="AutoEncoderTopK")
    sae, facts = load(tmp_path, "t", "dictionary_learning_1")
    assert not facts["unit_norm"]
    assert_does(sae, topk(p, 4, centred=True), p, norms=False)


def test_sparsify_with_its_own_writer(tmp_path):
    state = toy.write_sparsify(tmp_path / "layers.5", seed=1)
    assert state["b_dec"].abs().min() > 0
    sae, facts = load(tmp_path, "layers.5", "sparsify")
    p = {
        "W_enc": state["encoder.weight"].T, "b_enc": state["encoder.bias"],
        "W_dec": state["W_dec"], "b_dec": state["b_dec"],
    }  # fmt: skip
    assert facts["hook_name"] == "blocks.5.hook_resid_post"
    assert_does(sae, topk(p, 4, centred=True), p)


def test_llama_scope_takes_raw_activations(tmp_path):
    p = toy.parts()
    name = "Llama3_1-8B-Base-L7R-8x"
    toy.write_llama_scope(tmp_path / name, p)
    sae, _ = load(tmp_path, name, "llama_scope", "fnlp/Llama3_1-8B-Base-LXR-8x")
    scale = toy.D_IN**0.5 / 4
    p["threshold"] = torch.full((toy.D_SAE,), 0.5 * scale)
    pre = (X * scale) @ p["W_enc"] + p["b_enc"]
    codes = torch.relu(pre) * (pre > p["threshold"])
    found = sae.encode(X)
    lengths = p["W_dec"].norm(dim=1) / scale
    assert torch.allclose(found, codes * lengths, atol=2e-5)
    assert torch.allclose(sae.decode(found), (codes @ p["W_dec"] + p["b_dec"]) / scale, atol=2e-5)


def test_qwen_scope_is_one_file(tmp_path):
    p = toy.unit(toy.parts(d_in=2048, d_sae=16))
    state = {"W_enc": p["W_enc"].T, "W_dec": p["W_dec"].T, "b_enc": p["b_enc"], "b_dec": p["b_dec"]}
    toy.write(tmp_path, {"layer3.sae.pt": state})
    origin = "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_5"
    sae, _ = load(tmp_path, "layer3.sae.pt", "qwen_scope", origin)
    assert (sae.form, sae.k, sae.d_in, sae.d_sae) == ("topk", 5, 2048, 16)
    assert not sae.apply_b_dec_to_input
    # What the model card of these SAEs does: no ReLU, and b_dec is not subtracted from the input.
    x = torch.randn(40, 2048, generator=torch.Generator().manual_seed(2))
    pre_acts = x @ state["W_enc"].T + state["b_enc"]
    values, places = pre_acts.topk(5, dim=-1)
    acts = torch.zeros_like(pre_acts).scatter_(-1, places, values)
    # Of 16 latents five are above zero at nearly every row; elsewhere SAELens' ReLU makes zeros.
    positive = (values > 0).all(dim=1)
    assert positive.sum() > 30
    found = sae.encode(x)
    assert torch.allclose(found, acts.relu(), atol=1e-4)
    expected = acts[positive] @ state["W_dec"].T + state["b_dec"]
    assert torch.allclose(sae.decode(found[positive]), expected, atol=1e-3)


@pytest.mark.parametrize("architecture", ["standard", "jumprelu", "topk"])
def test_sae_lens_with_its_own_writer(tmp_path, architecture):
    p = toy.parts()
    cfg = {"k": 4, "rescale_acts_by_decoder_norm": True} if architecture == "topk" else {}
    theirs = toy.write_sae_lens(tmp_path / "a", architecture, p, **cfg)
    sae, facts = load(tmp_path, "a", "sae_lens")
    found = sae.encode(X)
    assert facts["unit_norm"] and 0 < (found != 0).sum() < found.numel()
    with torch.no_grad():
        assert torch.allclose(sae.decode(found), theirs(X), atol=2e-5)
        assert torch.equal(found != 0, theirs.encode(X) != 0)


def test_what_was_not_fetched_is_no_part_of_the_sae(tmp_path):
    """The hub's cache has no log of the latents' sparsity, which SAELens looks for."""
    toy.write_sae_lens(tmp_path / "a", "jumprelu", toy.parts())

    def find(name):
        if not (tmp_path / name).exists():
            raise InputError(f"{name} is not in the hub's cache")
        return tmp_path / name

    sae, _ = load_imported("a", "sae_lens", "me/mine", find)
    assert sae.d_sae == toy.D_SAE
    (tmp_path / "a/sae_weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"^a/sae_weights.safetensors: missing; delete"):
        load_imported("a", "sae_lens", "me/mine", find)


def test_a_gated_sae_is_a_jumprelu_one(tmp_path):
    p = toy.parts()
    del p["threshold"]
    p |= {"b_gate": p["b_enc"], "b_mag": 0.2 * p["b_enc"], "r_mag": torch.linspace(-0.5, 0.5, 12)}
    theirs = toy.write_sae_lens(tmp_path / "a", "gated", p)
    sae, _ = load(tmp_path, "a", "sae_lens")
    with torch.no_grad():
        assert torch.allclose(sae.decode(sae.encode(X)), theirs(X), atol=2e-5)


def test_of_matching_pursuit_the_decoder_is_read(tmp_path):
    p = toy.unit(toy.parts())
    toy.write_sae_lens(tmp_path / "mp/l0-4", "matching_pursuit", p, max_iterations=4)
    sae, _ = load(tmp_path, "mp/l0-4", "sae_lens")
    write_saved_sae(tmp_path / "sae", sae, {})
    again = load_saved_sae(tmp_path / "sae")
    assert torch.equal(again.W_dec, p["W_dec"]) and torch.equal(again.b_dec, p["b_dec"])
    assert (again.d_in, again.d_sae, again.form) == (toy.D_IN, toy.D_SAE, "decoder")
    with pytest.raises(InputError, match=r"^codes of this SAE are not computed here"):
        again.encode(X)
    # Read by SAELens its codes would be those of another rule: it is none of its architectures.
    with pytest.raises(KeyError, match="decoder"):
        sae_lens.SAE.load_from_disk(tmp_path / "sae")


def test_what_is_written_is_read_again(tmp_path):
    p = toy.parts()
    toy.write_gemma_2(tmp_path / "layer_1", p)
    sae, _ = load(tmp_path, "layer_1", "gemma_2")
    write_saved_sae(tmp_path / "sae", sae, {})
    assert torch.equal(load_saved_sae(tmp_path / "sae").encode(X), sae.encode(X))


class Code:
    """Something that is no tensor."""


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: p["W_dec"].__setitem__(3, 0.0), "1 of 12 decoder rows are zero"),
        (lambda p: p["b_enc"].__setitem__(3, torch.nan), "1 values of b_enc are not finite"),
    ],
)
def test_weights_that_are_no_sae_are_one_line(tmp_path, damage, words):
    p = toy.parts()
    damage(p)
    toy.write_gemma_2(tmp_path / "layer_1", p)
    with pytest.raises(InputError, match=f"^layer_1: {words}[^\n]*name another SAE$"):
        load(tmp_path, "layer_1", "gemma_2")


def test_anything_but_tensors_is_not_opened(tmp_path):
    toy.write_batchtopk(tmp_path / "t", toy.unit(toy.parts()), threshold=1.0)
    torch.save({"encoder.weight": Code()}, tmp_path / "t/ae.pt")
    with pytest.raises(InputError, match=r"^t: cannot be read as dictionary_learning_1 .it holds"):
        load(tmp_path, "t", "dictionary_learning_1")


def test_a_file_cut_off_is_one_line(tmp_path):
    toy.write_gemma_2(tmp_path / "layer_1", toy.parts())
    file = tmp_path / "layer_1/params.npz"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(InputError, match=r"^layer_1: cannot be read as gemma_2"):
        load(tmp_path, "layer_1", "gemma_2")
