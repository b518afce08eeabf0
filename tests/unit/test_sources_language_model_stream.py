"""The training stream: every row once per epoch, a pure function of the step, well mixed."""

import numpy as np
import pytest
import torch

from correct_l0.errors import InputError
from correct_l0.sources.language_model import layout, stream
from correct_l0.sources.language_model.reader import TrainingStream, open_store
from language_model_toy import toy_cache, write_documents

GROUPS = {"memory_bytes": 0, "group_chunks": 4}
MODES = pytest.mark.parametrize("mode", [{}, GROUPS], ids=["memory", "groups"])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CHUNK_BYTES", 16 * 4 * 2)
        return open_store(toy_cache(tmp_path_factory.mktemp("stream")))


@MODES
def test_each_epoch_holds_every_row_once(store, mode):
    """300 rows in batches of 50: steps 0 to 5 are one epoch, 6 to 11 the next, in another order."""
    stream = TrainingStream(store, 3, 50, **mode)
    epochs = [
        torch.cat([stream.row_numbers(step) for step in range(start, start + 6)])
        for start in (0, 6)
    ]
    for rows in epochs:
        assert rows.sort().values.tolist() == list(range(300))
    assert not torch.equal(*epochs)


@MODES
def test_batches_are_the_rows_they_name(store, mode):
    stream = TrainingStream(store, 3, 70, **mode)
    whole = store.rows("training", 0, 300)
    for step in (0, 1, 4, 9):
        batch = stream.batch(step)
        assert batch.dtype == torch.float32
        assert torch.equal(batch, whole[stream.row_numbers(step)])


@MODES
def test_a_batch_may_end_one_epoch_and_begin_the_next(store, mode):
    """Steps 0 to 4 of 70 rows are 350 rows: 300 of the first epoch and 50 of the second."""
    stream = TrainingStream(store, 0, 70, **mode)
    rows = torch.cat([stream.row_numbers(step) for step in range(5)]).tolist()
    assert sorted(rows[:300]) == list(range(300))
    assert len(set(rows[300:])) == 50


@MODES
def test_resuming_at_a_step_gives_the_same_batches(store, mode):
    steps = [TrainingStream(store, 5, 64, **mode).batch(step) for step in (0, 3, 11)]
    running = TrainingStream(store, 5, 64, **mode)
    uninterrupted = [running.batch(step) for step in range(12)]
    for step, batch in zip((0, 3, 11), steps, strict=True):
        assert torch.equal(batch, uninterrupted[step])
    assert torch.equal(running.batch(2), uninterrupted[2])


@MODES
def test_batches_made_ahead_are_the_same_as_stored(store, mode):
    plain, ahead = (TrainingStream(store, 5, 64, prefetch=p, **mode) for p in (False, True))
    for step in (0, 1, 2, 7, 8, 3):
        batch, rows = ahead.batch(step), plain.batch(step)
        assert (batch.dtype, rows.dtype) == (getattr(torch, store.dtype), torch.float32)
        assert torch.equal(batch.float(), rows)


def test_chunks_read_by_several_threads_give_the_same_batches(store):
    one, three = (TrainingStream(store, 5, 64, read_threads=n, **GROUPS) for n in (1, 3))
    for step in range(7):
        assert torch.equal(one.batch(step), three.batch(step))


@MODES
def test_a_batch_that_is_kept_is_not_written_over(store, mode):
    stream = TrainingStream(store, 3, 50, **mode)
    kept = [stream.batch(step) for step in range(6)]
    view = kept[1][10:20]
    expected = [batch.clone() for batch in kept]
    del kept[1:3]
    for step in range(6, 20):
        stream.batch(step)
    assert torch.equal(view, expected[1][10:20])
    for batch, same in zip(kept, [expected[0], *expected[3:]], strict=True):
        assert torch.equal(batch, same)


def test_autograd_keeps_a_batch_that_it_saved(store):
    batches = TrainingStream(store, 3, 50)
    weight = torch.ones(4, requires_grad=True)
    first = batches.batch(0).clone()
    loss = (batches.batch(0) * weight).sum()
    for step in range(1, 8):
        batches.batch(step)
    loss.backward()
    assert torch.equal(weight.grad, first.sum(dim=0))


def test_memory_of_batches_nothing_refers_to_is_used_again(store):
    batches = TrainingStream(store, 3, 50)
    assert len({batches.batch(step).data_ptr() for step in range(20)}) == 1
    held = batches.batch(20)
    assert batches.batch(21).data_ptr() != held.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_rows_are_gathered_block_by_block(monkeypatch, dtype):
    """Blocks of 8 rows of 3 values of 2 bytes: 29 rows are three blocks and a rest."""
    monkeypatch.setattr(stream, "BLOCK_BYTES", 48)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(100, 3, generator=generator).to(dtype)
    order = torch.randperm(100, generator=generator)[:29]
    out = torch.full((29, 3), torch.nan)
    stream.gather(values, order, out)
    assert torch.equal(out, values[order].float())


@MODES
def test_seeds_give_other_orders(store, mode):
    first, second = (TrainingStream(store, seed, 64, **mode).row_numbers(0) for seed in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("batch_tokens", [0, 301])
def test_a_batch_that_does_not_fit_is_refused(store, batch_tokens):
    with pytest.raises(InputError, match=rf"batch_tokens {batch_tokens} is not between 1 and the"):
        TrainingStream(store, 0, batch_tokens)


def same_document_pairs(documents, rows, batch):
    """Return the mean number of pairs of rows per batch that come from one document."""
    counts = [
        np.unique(documents[rows[start : start + batch]], return_counts=True)[1]
        for start in range(0, len(rows), batch)
    ]
    return np.mean([(c * (c - 1) // 2).sum() for c in counts])


@pytest.mark.parametrize("mode", [{}, {"memory_bytes": 0, "group_chunks": 128}])
def test_rows_of_a_document_meet_no_more_often_than_chance(tmp_path, monkeypatch, mode):
    """About a thousand documents of 4 to 64 tokens; chance is exact, from their lengths.

    Expected excess of the order by groups: rows / (chunks per group * rows per window), here
    32768 / (128 * 8192) = 3%.
    """
    monkeypatch.setattr(layout, "CHUNK_BYTES", 32 * 4 * 2)
    batch = 2048
    write_documents(tmp_path, documents=1300, words=63, seed=1)
    manifest = toy_cache(
        tmp_path,
        packing="documents",
        context_size=64,
        training_tokens=32_768,
        held_out_tokens=64,
        shard_tokens=4096,
        shuffle_tokens=8192,
        shards_per_job=100,
    )
    store = open_store(manifest)
    assert store.layout.chunk_rows == 32
    documents = store.column("training", "document_id", 0, store.n_training)
    sizes = np.unique(documents, return_counts=True)[1]
    n = len(documents)
    chance = batch * (batch - 1) / 2 * (sizes * (sizes - 1)).sum() / (n * (n - 1))
    stream = TrainingStream(store, 0, batch, **mode)
    order = torch.cat([stream.row_numbers(step) for step in range(2 * n // batch)]).numpy()
    assert same_document_pairs(documents, order, batch) == pytest.approx(chance, rel=0.05)
    in_file = np.lexsort((np.arange(n), documents))
    assert same_document_pairs(documents, in_file, batch) > 10 * chance
