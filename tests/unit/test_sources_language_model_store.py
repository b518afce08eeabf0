"""The store: its format, every row of the failure table, resuming, sealing, verifying."""

import errno
import hashlib
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import torch
import zarr

from correct_l0.command import main
from correct_l0.errors import InputError
from correct_l0.sources.language_model import cache as cache_module
from correct_l0.sources.language_model import layout, shards
from correct_l0.sources.language_model.layout import COLUMNS, Layout, count_jobs, job_windows
from correct_l0.sources.language_model.reader import TrainingStream, open_store
from correct_l0.sources.language_model.seal import verify
from correct_l0.sources.language_model.store import ShardWriter
from correct_l0.sources.language_model.window import row_norms, shuffle_order, statistics
from language_model_toy import (
    BOS,
    ToyModel,
    jobs_of,
    run_job,
    seal_toy,
    shard_files,
    stage_toy,
    toy_acts,
    toy_cache,
    toy_settings,
)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """16 rows of 4 float16 values per chunk: four chunks per shard."""
    monkeypatch.setattr(layout, "CHUNK_BYTES", 16 * 4 * 2)


@pytest.fixture(params=[2, 3], ids=["one writer", "two writers"])
def writers(request, monkeypatch):
    """As many as a machine of so many processors has."""
    monkeypatch.setattr(cache_module, "processors", lambda: request.param)
    return request.param - 1


@pytest.fixture
def manifest(tmp_path):
    return toy_cache(tmp_path)


def acts_shard(manifest, split="training", shard=1):
    return manifest.parent / "store" / split / "acts" / "c" / str(shard) / "0"


def flip_bit(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


# Format


def test_the_format_is_the_specified_one(manifest):
    metadata = json.loads((manifest.parent / "store/training/acts/zarr.json").read_text())
    assert metadata["shape"] == [300, 4]
    assert metadata["data_type"] == "float16"
    assert metadata["fill_value"] == "NaN"
    assert metadata["dimension_names"] == ["row", "d_in"]
    assert metadata["chunk_grid"]["configuration"]["chunk_shape"] == [64, 4]
    (sharding,) = metadata["codecs"]
    assert sharding["name"] == "sharding_indexed"
    assert sharding["configuration"]["chunk_shape"] == [16, 4]
    assert [codec["name"] for codec in sharding["configuration"]["codecs"]] == ["bytes", "crc32c"]
    assert metadata["attributes"]["logical_dtype"] == "float16"
    assert len(metadata["attributes"]["mean"]) == 4
    root = zarr.open_group(manifest.parent / "store", mode="r").attrs
    assert root["hook_name"] == "blocks.0.hook_resid_post"
    assert root["context_size"] == 8
    assert root["model"]["source"] == "package:none"
    assert root["packages"]["zarr"] == zarr.__version__


def test_acts_belong_to_their_tokens_and_zarr_reads_the_same(manifest):
    store = open_store(manifest)
    for split, rows in (("training", 300), ("held_out", 100)):
        token, position = (store.column(split, c, 0, rows) for c in ("token_id", "position"))
        acts = store.rows(split, 0, rows)
        assert acts.dtype == torch.float32
        assert torch.equal(acts, toy_acts(token, position))
        array = zarr.open_group(manifest.parent / "store", mode="r")[split]
        assert np.array_equal(array["acts"][:], acts.numpy().astype(np.float16))
        assert np.array_equal(array["token_id"][:], token)
        assert np.array_equal(array["position"][:], position)
        assert np.array_equal(array["document_id"][:], store.column(split, "document_id", 0, rows))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_shards_are_written_to_the_byte_as_zarr_writes_them(tmp_path, dtype, monkeypatch):
    """Training ends in a shard of 44 rows, whose third chunk has 12 of 16 and whose fourth none."""
    monkeypatch.setattr(shards, "SYNC_BYTES", 100)
    settings, cache = stage_toy(tmp_path, dtype=dtype)
    for job in jobs_of(settings):
        run_job(settings, cache, job)
    expected = shard_files(cache)
    for path in sorted(cache.glob("store/*/*/zarr.json")):
        array = zarr.open_array(path.parent, mode="r+", config={"write_empty_chunks": True})
        rows = array[:]
        shutil.rmtree(path.parent / "c")
        array[:] = rows
    assert shard_files(cache) == expected
    record = json.loads((cache / "records/training_000004.json").read_text())
    for column, file in record["files"].items():
        data = shards.shard_path(cache / "store", "training", column, 4).read_bytes()
        assert file == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_what_is_on_the_disk_leaves_the_memory_as_it_is_written(tmp_path, monkeypatch):
    """Nine chunks of 32 bytes, each with its checksum: after 100 bytes or more, and at the end."""
    at = []

    def said(file, start, length, advice):
        at.append(os.fstat(file).st_size)
        assert (start, length, advice) == (0, 0, os.POSIX_FADV_DONTNEED)
        raise OSError(errno.ENOSYS, "no such hint here")

    monkeypatch.setattr(shards, "SYNC_BYTES", 100)
    monkeypatch.setattr(os, "posix_fadvise", said)
    rows = np.arange(72, dtype=np.float32).reshape(18, 4)
    written = shards.write_shard(tmp_path / "shard", rows, 9, 2, 0.0)
    # The index: 9 offsets and lengths, and its checksum.
    assert at == [104, 212, 320, 9 * 36 + 144, 9 * 36 + 148]
    assert written["bytes"] == (tmp_path / "shard").stat().st_size == at[-1]


@pytest.mark.parametrize("rows", [1, 255, 256, 4099, 16_384, 36_865])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_sums_have_the_bits_of_whole_blocks(rows, dtype):
    acts = torch.randn(rows, 24, generator=torch.Generator().manual_seed(rows)).to(dtype)
    norms, sums = statistics(acts)
    blocks = [block.double() for block in acts.split(16_384)]
    assert torch.equal(norms, torch.cat([block.norm(dim=1) for block in blocks]))
    assert torch.equal(row_norms(acts), norms)
    whole = torch.stack([block.sum(dim=0) for block in blocks]).sum(dim=0)
    assert sums["vector_sum"] == whole.tolist()
    assert sums["norm_sum"] == sum(float(part.sum()) for part in norms.split(16_384))


@pytest.mark.parametrize("special_tokens", ["keep", "drop"])
def test_rows_are_those_of_the_contexts_shuffled_within_windows(tmp_path, special_tokens):
    """Contexts of 7 tokens: windows of 128 rows begin and end inside contexts."""
    settings, cache = stage_toy(tmp_path, context_size=7, special_tokens=special_tokens)
    for job in jobs_of(settings):
        run_job(settings, cache, job)
    store = open_store(seal_toy(settings, cache))
    tokens, documents = (
        np.load(cache / f"text/training_{name}.npy") for name in ("tokens", "documents")
    )
    positions = np.arange(len(tokens)) % 7
    kept = np.flatnonzero(tokens != BOS) if special_tokens == "drop" else np.arange(len(tokens))
    stream = {"token_id": tokens, "document_id": documents, "position": positions}
    for window in Layout.of(settings).windows()[:3]:
        order = kept[window.start : window.stop][shuffle_order(settings.seed, window)]
        for column, values in stream.items():
            stored = store.column("training", column, window.start, window.stop)
            assert stored.tolist() == values[order].tolist()
    assert not np.array_equal(store.column("training", "token_id", 0, 128), tokens[kept[:128]])


def test_partial_ranges_are_slices_of_the_whole(manifest):
    store = open_store(manifest)
    whole = store.held_out(0, 100)
    for start, stop in ((0, 0), (0, 5), (7, 23), (16, 32), (60, 70), (95, 100)):
        assert torch.equal(store.held_out(start, stop), whole[start:stop])
    with pytest.raises(InputError, match=r"rows 90:101 leave the 100 rows of held_out"):
        store.held_out(90, 101)


def test_mean_and_mean_norm_are_of_the_training_rows(manifest):
    store = open_store(manifest)
    rows = store.rows("training", 0, 300).double()
    assert store.mean_norm == pytest.approx(rows.norm(dim=1).mean().item(), rel=1e-12)
    assert torch.allclose(store.mean.double(), rows.mean(dim=0), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_other_types_come_back_exactly(tmp_path, dtype):
    """Tokens up to 1010 need 10 bits: bfloat16 keeps 8, so rows come back rounded to it."""
    store = open_store(toy_cache(tmp_path, dtype=dtype))
    token, position = (store.column("training", c, 0, 300) for c in ("token_id", "position"))
    expected = toy_acts(token, position).to(getattr(torch, dtype)).float()
    assert torch.equal(store.rows("training", 0, 300), expected)
    metadata = json.loads((tmp_path / "toy/store/training/acts/zarr.json").read_text())
    assert metadata["attributes"]["logical_dtype"] == dtype
    assert metadata["data_type"] == {"float32": "float32", "bfloat16": "uint16"}[dtype]
    if dtype == "bfloat16":
        fill = torch.tensor([metadata["fill_value"]], dtype=torch.uint16).view(torch.bfloat16)
        assert torch.isnan(fill).all()


# The failure table


def test_a_missing_shard_is_refused_at_open(manifest):
    acts_shard(manifest).unlink()
    with pytest.raises(
        InputError, match=r"acts/c/1/0: missing; `correct-l0 verify .* --repair`, then run"
    ):
        open_store(manifest)


@pytest.mark.parametrize("size", [0, 100])
def test_a_truncated_shard_is_refused_at_open(manifest, size):
    os.truncate(acts_shard(manifest), size)
    with pytest.raises(InputError, match=rf"acts/c/1/0: {size} bytes, not 596"):
        open_store(manifest)


def test_a_flipped_bit_is_refused_when_it_is_read(manifest):
    """Shard 1 holds rows 64 to 127; byte 140 is in its second chunk, rows 80 to 95."""
    flip_bit(acts_shard(manifest), 140)
    store = verify(manifest, "indexes")
    assert store.rows("training", 64, 80).shape == (16, 4)
    for start, stop in ((80, 96), (85, 86)):
        with pytest.raises(InputError, match=r"acts/c/1/0: wrong checksum of chunk 1"):
            store.rows("training", start, stop)
    with pytest.raises(InputError, match="wrong checksum of chunk 1"):
        TrainingStream(store, 0, 10)
    stream = TrainingStream(store, 0, 100, memory_bytes=0, group_chunks=2)
    with pytest.raises(InputError, match="wrong checksum of chunk 1"):
        for step in range(3):
            stream.batch(step)
    with pytest.raises(InputError, match=r"acts/c/1/0: wrong checksum; `correct-l0 verify"):
        verify(manifest, "checksums")


@pytest.mark.parametrize("piece_bytes", [1, 24, 50])
def test_a_chunk_read_in_pieces_is_the_chunk_and_every_bit_of_it_is_checked(
    manifest, monkeypatch, piece_bytes
):
    """Rows of 8 bytes in pieces of 1, 3 and 6; the last shard's third chunk holds 12 of 16 rows."""
    whole = open_store(manifest).rows("training", 0, 300)
    monkeypatch.setattr(shards, "PIECE_BYTES", piece_bytes)
    assert torch.equal(open_store(manifest).rows("training", 0, 300), whole)
    path = acts_shard(manifest, shard=4)
    chunk = 2 * (16 * 8 + 4)
    for offset in (chunk, chunk + 12 * 8 - 1, chunk + 12 * 8, chunk + 16 * 8 + 3):
        flip_bit(path, offset)
        with pytest.raises(InputError, match=r"acts/c/4/0: wrong checksum of chunk 2"):
            open_store(manifest).rows("training", 288, 300)
        flip_bit(path, offset)


def test_reads_that_return_less_than_asked_are_continued(manifest, monkeypatch):
    whole = open_store(manifest).rows("training", 0, 300)
    read = os.preadv
    monkeypatch.setattr(os, "preadv", lambda f, parts, at: read(f, [parts[0][:5]], at))
    assert torch.equal(open_store(manifest).rows("training", 0, 300), whole)


@pytest.mark.parametrize("kept", [0, 3, 4, 100, 131])
def test_a_file_that_ends_within_a_chunk_is_refused(manifest, kept):
    """A shard truncated after the store was opened and its index read."""
    store = open_store(manifest)
    assert store.rows("training", 64, 80).shape == (16, 4)
    os.truncate(acts_shard(manifest), 132 + kept)
    with pytest.raises(InputError, match=r"acts/c/1/0: chunk 1 is too short"):
        store.rows("training", 80, 96)


def test_a_flipped_bit_in_the_index_is_refused(manifest):
    path = acts_shard(manifest)
    flip_bit(path, path.stat().st_size - 10)
    store = verify(manifest, "sizes")
    with pytest.raises(InputError, match="wrong checksum of the shard's index"):
        store.rows("training", 64, 65)
    with pytest.raises(InputError, match="wrong checksum of the shard's index"):
        verify(manifest, "indexes")


def test_a_chunk_that_was_never_written_is_refused(manifest):
    path = acts_shard(manifest)
    data = bytearray(path.read_bytes())
    index = len(data) - 4 * 16 - 4
    data[index : index + 16] = b"\xff" * 16
    data[-4:] = google_crc32c.value(bytes(data[index:-4])).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="chunk 0 was never written"):
        open_store(manifest).rows("training", 64, 65)
    with pytest.raises(InputError, match="chunks were never written"):
        verify(manifest, "indexes")


def test_fill_values_with_good_checksums_are_refused(manifest):
    """What zarr returns for rows nobody wrote, written as if it were data."""
    array = zarr.open_array(manifest.parent / "store/training/acts", mode="r+")
    rows = array[64:128]
    rows[20] = np.nan
    array[64:128] = rows
    with pytest.raises(InputError, match=r"acts/c/1/0: holds rows that are not finite"):
        open_store(manifest).rows("training", 80, 96)
    with pytest.raises(InputError, match="wrong checksum"):
        verify(manifest, "checksums")


def test_a_changed_list_of_shards_is_refused(manifest):
    listing = manifest.parent / "shards.json"
    listing.write_text(listing.read_text().replace("596", "597", 1))
    with pytest.raises(InputError, match=r"shards.json: missing or changed since it was sealed"):
        open_store(manifest)


def put_bytes(name, content):
    """Return what puts other bytes into a file of the cache."""
    return lambda manifest: (manifest.parent / name).write_bytes(content)


def put_fill_values(manifest):
    array = zarr.open_array(manifest.parent / "store/training/acts", mode="r+")
    rows = array[64:128]
    rows[20] = np.nan
    array[64:128] = rows


def change_metadata(manifest):
    path = manifest.parent / "store/held_out/acts/zarr.json"
    path.write_text(path.read_text().replace("100", "101", 1))


DAMAGE = {
    "missing": lambda manifest: acts_shard(manifest).unlink(),
    "a column missing": lambda m: (m.parent / "store/training/position/c/2").unlink(),
    "the last missing": lambda manifest: acts_shard(manifest, "held_out", 1).unlink(),
    "empty": lambda manifest: os.truncate(acts_shard(manifest), 0),
    "truncated": lambda manifest: os.truncate(acts_shard(manifest), 100),
    "a flipped bit": lambda manifest: flip_bit(acts_shard(manifest), 140),
    "a flipped bit in the index": lambda manifest: flip_bit(acts_shard(manifest), 590),
    "the last's index": lambda manifest: flip_bit(acts_shard(manifest, "held_out", 1), 450),
    "fill values": put_fill_values,
    "metadata missing": lambda m: (m.parent / "store/training/acts/zarr.json").unlink(),
    "metadata torn": put_bytes("store/training/acts/zarr.json", b'{"shape": [300'),
    "metadata empty": put_bytes("store/training/token_id/zarr.json", b"{}"),
    "metadata changed": change_metadata,
    "the group's metadata": put_bytes("store/held_out/zarr.json", b"\xff"),
    "the store's metadata": put_bytes("store/zarr.json", b""),
    "the store missing": lambda manifest: shutil.rmtree(manifest.parent / "store"),
    "list changed": put_bytes("shards.json", b"{}"),
    "list missing": lambda manifest: (manifest.parent / "shards.json").unlink(),
    "manifest torn": put_bytes("manifest.json", b'{"stage": "seal'),
}


def follow(words):
    """Do what the words of an error say, up to running again."""
    command = re.search(r"`correct-l0 (.+ --repair)`, then run again$", words)
    if command:
        assert main(command[1].split()) == 0
        return
    before, paths = re.search(r"^(\S+): .*; delete (.+) and run again$", words).groups()
    for name in paths.split(" and "):
        path = Path(before if name == "it" else name)
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def run_again(settings, cache):
    """Run the jobs whose files are not there, as Snakemake does; return those that computed."""
    model, worked = ToyModel(), []
    for job in jobs_of(settings):
        if not (cache / f"parts/part_{job}.json").exists():
            read = model.contexts_read
            run_job(settings, cache, job, model)
            worked += [job] * (model.contexts_read > read)
    if not (cache / "manifest.json").exists():
        seal_toy(settings, cache)
    return worked


@pytest.mark.parametrize("kind", DAMAGE)
def test_the_printed_remedy_works_as_printed(manifest, tmp_path, kind):
    """The jobs own the shards 0-1, 2-3 and 4 of the training split, and the held-out ones."""
    settings, cache = toy_settings(tmp_path), manifest.parent
    files, sealed = shard_files(cache), manifest.read_bytes()
    whole = {path: path.stat().st_mtime_ns for path in (cache / "parts").iterdir()}
    DAMAGE[kind](manifest)
    with pytest.raises(InputError) as error:
        verify(manifest, "checksums")
    follow(str(error.value))
    worked = run_again(settings, cache)
    verify(manifest, "checksums")
    assert shard_files(cache) == files
    assert manifest.read_bytes() == sealed
    array = zarr.open_array(cache / "store/training/acts", mode="r")
    assert array.attrs["mean_norm"] == json.loads(sealed)["mean_norm"]
    damaged = {"a column missing": [1], "the last missing": [3], "the last's index": [3]}
    unharmed = "metadata" in kind or "list" in kind or "manifest" in kind
    expected = [0, 1, 2, 3] if kind == "the store missing" else damaged.get(kind, [0])
    assert worked == ([] if unharmed else expected)
    kept = {path for path, time in whole.items() if path.stat().st_mtime_ns == time}
    assert {int(path.stem[-1]) for path in whole.keys() - kept} == set(worked)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_damaged_shard_is_written_over_without_being_read(tmp_path, column):
    """A job that goes on where another was stopped, the disk damaged since."""
    settings, cache = stage_toy(tmp_path)
    run_job(settings, cache, 0)
    (cache / "parts/part_0.json").unlink()
    path = shards.shard_path(cache / "store", "training", column, 0)
    content = path.read_bytes()
    for size in (0, 20, len(content) - 1):
        path.write_bytes(content[:size])
        run_job(settings, cache, 0)
        assert path.read_bytes() == content
    flip_bit(path, len(content) - 10)
    run_job(settings, cache, 0)
    assert path.read_bytes() == content


def test_repair_of_a_whole_cache_deletes_nothing(manifest, capsys):
    before = {path: path.stat().st_mtime_ns for path in manifest.parent.rglob("*")}
    follow(f"`correct-l0 verify {manifest} --repair`, then run again")
    assert capsys.readouterr().out == f"{manifest.parent}: nothing damaged\n"
    assert {path: path.stat().st_mtime_ns for path in manifest.parent.rglob("*")} == before


def test_the_printed_command_runs_in_a_shell(manifest):
    acts_shard(manifest).unlink()
    with pytest.raises(InputError) as error:
        open_store(manifest)
    command = str(error.value).split("`")[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=True,
        env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert done.stdout.endswith("Run again: what was deleted is made anew.\n")
    assert f"{manifest}: deleted" in done.stdout


def test_another_manifest_is_refused(manifest):
    with pytest.raises(InputError, match="stage is 'stage_text', not 'seal_activations'"):
        open_store(manifest.parent / "text" / "manifest.json")


def test_jobs_own_whole_shards_each_once():
    sizes = Layout(4, "float16", 1000, 300, 64, 16, 3)
    jobs = job_windows(sizes, 4)
    owned = [(w.split, s) for job in jobs for w in job for s in sizes.window_shard_range(w)]
    assert len(owned) == len(set(owned)) == sizes.shards("training") + sizes.shards("held_out")
    assert [len(job) for job in jobs] == [2, 2, 2, 2]


def test_two_jobs_at_once_write_what_one_after_the_other_does(tmp_path):
    expected = shard_files(toy_cache(tmp_path).parent)
    settings, cache = stage_toy(tmp_path)
    for part in ("store", "records", "parts"):
        shutil.rmtree(cache / part)
    fork = multiprocessing.get_context("fork")
    workers = [
        fork.Process(target=run_job, args=(settings, cache, job)) for job in jobs_of(settings)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * len(workers)
    verify(seal_toy(settings, cache), "checksums")
    assert shard_files(cache) == expected


def test_a_shard_in_two_parts_is_refused(tmp_path):
    settings, cache = stage_toy(tmp_path)
    for job in jobs_of(settings):
        run_job(settings, cache, job)
    part = json.loads((cache / "parts/part_1.json").read_text())
    part["shards"][0]["shard"] = 0
    (cache / "parts/part_1.json").write_text(json.dumps(part))
    with pytest.raises(InputError, match="training shard 0 is in two parts") as error:
        seal_toy(settings, cache)
    follow(str(error.value))
    assert run_again(settings, cache) == []
    verify(cache / "manifest.json", "checksums")


def test_a_shard_in_no_part_or_beyond_the_last_is_refused(tmp_path):
    settings, cache = stage_toy(tmp_path)
    for job in jobs_of(settings):
        run_job(settings, cache, job)
    part = json.loads((cache / "parts/part_0.json").read_text())
    first = part["shards"][0]
    (cache / "parts/part_0.json").write_text(json.dumps({**part, "shards": part["shards"][1:]}))
    with pytest.raises(InputError, match="training shard 0 is in no part"):
        seal_toy(settings, cache)
    beyond = [*part["shards"], {**first, "shard": 9}]
    (cache / "parts/part_0.json").write_text(json.dumps({**part, "shards": beyond}))
    with pytest.raises(InputError, match="training shard 9 is beyond the last one") as error:
        seal_toy(settings, cache)
    follow(str(error.value))
    assert run_again(settings, cache) == []
    verify(cache / "manifest.json", "checksums")


def test_sealing_refuses_a_shard_that_was_lost_since(tmp_path):
    settings, cache = stage_toy(tmp_path)
    for job in jobs_of(settings):
        run_job(settings, cache, job)
    os.truncate(acts_shard(cache / "manifest.json"), 0)
    with pytest.raises(InputError, match=r"acts/c/1/0: 0 bytes, not 596") as error:
        seal_toy(settings, cache)
    assert not (cache / "manifest.json").exists()
    follow(str(error.value))
    assert run_again(settings, cache) == [0]
    verify(cache / "manifest.json", "checksums")


def test_one_file_is_written_once_per_shard_and_array(tmp_path, monkeypatch):
    settings, cache = stage_toy(tmp_path)
    run_job(settings, cache, 0)
    shutil.rmtree(cache / "records")
    moved = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (moved.append(b), replace(a, b))[1])
    run_job(settings, cache, 0)
    moved = [path for path in moved if cache / "store" in path.parents]
    assert len(moved) == len(set(moved)) == 2 * 4


def test_a_full_disk_is_one_clear_error_and_nothing_is_sealed(tmp_path, monkeypatch):
    settings, cache = stage_toy(tmp_path)
    run_job(settings, cache, 0)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("correct_l0.sources.language_model.store.write_shard", full)
    with pytest.raises(InputError, match=r"disk full or over quota, [\d,]+ bytes free; free space"):
        run_job(settings, cache, 1)
    assert not (cache / "parts/part_1.json").exists()
    with pytest.raises(InputError, match="missing"):
        seal_toy(settings, cache)


class NonFiniteModel(ToyModel):
    """One token of one context overflows."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def read_all(self, contexts, batch_tokens, dtype=torch.float32):
        for i, acts in super().read_all(contexts, batch_tokens):
            if i == 3:
                acts[2, 1] = self.value
            yield i, acts.to(dtype)


@pytest.mark.parametrize(
    ("dtype", "value", "remedy"),
    [
        ("float16", 7e4, "set activations.dtype to bfloat16 or float32"),
        ("float32", float("nan"), "set activations.model.dtype to float32"),
    ],
)
def test_non_finite_activations_are_refused(tmp_path, dtype, value, remedy):
    settings, cache = stage_toy(tmp_path, dtype=dtype)
    message = r"at blocks.0.hook_resid_post in row \d+ of training shard [01] \(1 rows of 64\).*"
    with pytest.raises(InputError, match=message + remedy):
        run_job(settings, cache, 0, NonFiniteModel(value))
    assert not (cache / "parts").exists()


def test_values_beyond_float16_are_fine_in_bfloat16(tmp_path):
    settings, cache = stage_toy(tmp_path, dtype="bfloat16")
    run_job(settings, cache, 0, NonFiniteModel(7e4))
    assert (cache / "parts/part_0.json").exists()


class Halted(ToyModel):
    """Waits, in the window of some number, until told to go on."""

    def __init__(self, at):
        super().__init__()
        self.at, self.windows = at, 0
        self.reads, self.goes_on = threading.Event(), threading.Event()

    def read_all(self, contexts, batch_tokens, dtype=torch.float32):
        self.windows += 1
        if self.windows == self.at:
            self.reads.set()
            assert self.goes_on.wait(60)
        yield from super().read_all(contexts, batch_tokens, dtype)


def test_a_window_is_written_while_the_next_one_is_computed(tmp_path, writers):
    """Three windows of training and one held out: the first is on disk while the second is read."""
    settings, cache = stage_toy(tmp_path, shards_per_job=20)
    run_job(settings, cache, 0)
    expected = shard_files(cache)
    for folder in ("store", "records", "parts"):
        shutil.rmtree(cache / folder)
    model = Halted(at=2)
    job = threading.Thread(target=run_job, args=(settings, cache, 0, model, True))
    job.start()
    assert model.reads.wait(60)
    its_records = [cache / "records" / f"training_00000{shard}.json" for shard in (0, 1)]
    while not all(record.exists() for record in its_records):
        time.sleep(0.01)
    assert sorted((cache / "records").glob("*.json")) == its_records
    model.goes_on.set()
    job.join()
    assert model.windows == 4
    assert shard_files(cache) == expected
    verify(seal_toy(settings, cache), "checksums")


def test_two_shards_are_written_at_once_where_there_are_processors(tmp_path, monkeypatch):
    """One waits for the other to begin; bytes and records are those of one after the other."""
    settings, cache = stage_toy(tmp_path, shards_per_job=20)
    monkeypatch.setattr(cache_module, "processors", lambda: 1)
    run_job(settings, cache, 0)
    records = sorted((cache / "records").iterdir())
    expected = shard_files(cache), [path.read_bytes() for path in records]
    listed = json.loads((cache / "parts/part_0.json").read_text())["shards"]
    for folder in ("store", "records", "parts"):
        shutil.rmtree(cache / folder)
    write, both = ShardWriter.write, threading.Barrier(2)

    def waits(self, split, shard, *arguments, **facts):
        if (split, shard) in (("training", 0), ("training", 1)):
            both.wait(60)
        return write(self, split, shard, *arguments, **facts)

    monkeypatch.setattr(ShardWriter, "write", waits)
    monkeypatch.setattr(cache_module, "processors", lambda: 3)
    run_job(settings, cache, 0, beside=True)
    assert (shard_files(cache), [path.read_bytes() for path in records]) == expected
    assert json.loads((cache / "parts/part_0.json").read_text())["shards"] == listed


def test_no_third_window_is_begun_before_the_first_is_written(tmp_path, monkeypatch, writers):
    settings, cache = stage_toy(tmp_path, shards_per_job=20)
    model, free = Halted(at=3), threading.Event()
    write = ShardWriter.write

    def slow(*arguments, **facts):
        assert free.wait(60)
        return write(*arguments, **facts)

    monkeypatch.setattr(ShardWriter, "write", slow)
    job = threading.Thread(target=run_job, args=(settings, cache, 0, model, True))
    job.start()
    while model.windows < 2:
        time.sleep(0.01)
    assert not model.reads.wait(0.3)
    free.set()
    assert model.reads.wait(60)
    for shard in (0, 1):
        assert (cache / "records" / f"training_00000{shard}.json").exists()
    model.goes_on.set()
    job.join()


def test_what_goes_wrong_in_writing_ends_the_job_that_computes(tmp_path, monkeypatch, writers):
    """And what was written before it stands, and beside it; no later window is written."""
    settings, cache = stage_toy(tmp_path, shards_per_job=20)
    write, written = ShardWriter.write, []

    def fails(self, split, shard, *arguments, **facts):
        if (split, shard) == ("training", 2):
            raise InputError("disk full")
        record = write(self, split, shard, *arguments, **facts)
        written.append((split, shard))
        return record

    monkeypatch.setattr(ShardWriter, "write", fails)
    model = ToyModel()
    with pytest.raises(InputError, match="disk full"):
        run_job(settings, cache, 0, model, beside=True)
    # The other shard of that window may be begun by then, and is finished.
    assert {0, 1} <= {shard for _, shard in written} <= {0, 1, 3}
    names = {f"{split}_{shard:06d}.json" for split, shard in written}
    assert {path.name for path in (cache / "records").glob("*.json")} == names
    assert not (cache / "parts").exists()


# One creator, resuming


def test_an_existing_store_is_kept_and_one_of_other_settings_refused(tmp_path):
    settings, cache = stage_toy(tmp_path)
    run_job(settings, cache, 0)
    before = shard_files(cache)
    run_job(settings, cache, 1)
    assert before.items() <= shard_files(cache).items()
    (cache / "parts/part_0.json").unlink()
    other, _ = stage_toy(tmp_path, seed=1)
    with pytest.raises(InputError, match="made with other settings, text or model; ") as error:
        run_job(other, cache, 0)
    follow(str(error.value))
    assert run_again(other, cache) == [0, 1, 2, 3]
    verify(cache / "manifest.json", "checksums")


def killed_at(moment, settings, cache, job):
    """Run a job in a process that SIGKILLs itself at its n-th rename; return its exit code."""

    def run():
        count = 0

        def guard(rename):
            def renamed(*arguments, **named):
                nonlocal count
                count += 1
                if count == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                return rename(*arguments, **named)

            return renamed

        pathlib.Path.replace = guard(pathlib.Path.replace)
        pathlib.Path.rename = guard(pathlib.Path.rename)
        os.replace = guard(os.replace)
        run_job(settings, cache, job, beside=True)

    worker = multiprocessing.get_context("fork").Process(target=run)
    worker.start()
    worker.join()
    return worker.exitcode


def test_a_job_killed_at_any_rename_goes_on_to_the_same_bytes(tmp_path, writers):
    """Renames of a job: metadata and store, 4 files and a record per shard, then the part."""
    settings, staged = stage_toy(tmp_path, training_tokens=128, held_out_tokens=30)
    complete = tmp_path / "complete" / "toy"
    shutil.copytree(staged, complete)
    for job in jobs_of(settings):
        run_job(settings, complete, job)
    expected = shard_files(complete)
    moment = finished = 0
    while not finished:
        moment += 1
        cache = tmp_path / f"killed_{moment}" / "toy"
        shutil.copytree(staged, cache)
        exit_code = killed_at(moment, settings, cache, 0)
        assert exit_code in (-signal.SIGKILL, 0)
        finished = exit_code == 0
        with pytest.raises(InputError, match="missing"):
            seal_toy(settings, cache)
        kept = {p.name: p.stat().st_mtime_ns for p in (cache / "records").glob("*.json")}
        for job in jobs_of(settings):
            run_job(settings, cache, job)
        for name, written in kept.items():
            assert (cache / "records" / name).stat().st_mtime_ns == written
        verify(seal_toy(settings, cache), "checksums")
        assert not [*cache.rglob("store/**/.*"), *cache.glob(".store.*")]
        assert shard_files(cache) == expected
    assert moment > 11


def test_finished_shards_are_not_computed_again(tmp_path):
    settings, cache = stage_toy(tmp_path)
    assert run_job(settings, cache, 0).contexts_read > 0
    (cache / "parts/part_0.json").unlink()
    assert run_job(settings, cache, 0).contexts_read == 0
    flip_bit(acts_shard(cache / "manifest.json", shard=1), 3)
    before = shard_files(cache)
    records = {p.name: p.stat().st_mtime_ns for p in (cache / "records").iterdir()}
    assert run_job(settings, cache, 0).contexts_read > 0
    written = {
        p.name for p in (cache / "records").iterdir() if records[p.name] != p.stat().st_mtime_ns
    }
    assert written == {"training_000001.json", "training_000001.norms.npy"}
    assert shard_files(cache) != before
    for job in jobs_of(settings):
        run_job(settings, cache, job)
    verify(seal_toy(settings, cache), "checksums")


def test_sealing_again_gives_the_same_manifest(manifest, tmp_path):
    before = manifest.read_bytes()
    settings, cache = stage_toy(tmp_path)
    shutil.rmtree(cache / "parts")
    for job in jobs_of(settings):
        assert run_job(settings, cache, job).contexts_read == 0
    seal_toy(settings, cache)
    assert manifest.read_bytes() == before


def test_the_number_of_jobs_is_settled_when_the_cache_is_staged(tmp_path):
    settings, cache = stage_toy(tmp_path)
    other = settings.model_copy(update={"shards_per_job": 100})
    assert count_jobs(cache, settings) == count_jobs(cache, other) == 4
    assert count_jobs(tmp_path / "elsewhere", other) == 1


def test_a_part_that_the_cache_does_not_have_is_one_line(tmp_path):
    settings, cache = stage_toy(tmp_path)
    with pytest.raises(InputError) as refused:
        run_job(settings, cache, 4)
    assert str(refused.value) == (
        f"{cache}/parts/part_4.json: the cache has 4 parts, the last is part_3.json; ask for one "
        "of these"
    )
