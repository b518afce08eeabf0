"""A dataset that breaks in the middle goes on where it stood, in the order it would have had."""

import collections
import json
import sys

import datasets
import httpx
import numpy as np
import pytest
from huggingface_hub.errors import HfHubHTTPError

from correct_l0.errors import InputError
from correct_l0.sources.language_model import streamed, text
from correct_l0.sources.language_model.documents import read_documents
from correct_l0.sources.language_model.settings import Text
from correct_l0.sources.language_model.streamed import Kept, is_of_network, shuffled
from correct_l0.sources.language_model.text import StagedText
from language_model_toy import WordTokenizer, toy_settings

# The library that the installed huggingface_hub reaches a hub by.
HTTP = sys.modules[
    next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError").__module__
]

SHARDS, ROWS = 3, 50
SETTINGS = Text(source="datasets", dataset="some/set", shuffle_buffer=20)
BREAKS = [
    ConnectionError("reset by peer"),
    OSError("429 Client Error: Too Many Requests"),
    TimeoutError(),
    FileNotFoundError("gone"),
    httpx.RemoteProtocolError("not all bytes"),
    httpx.ReadTimeout("slow"),
    # What reaches the hub is not the same library with every version.
    HTTP.RemoteProtocolError("not all bytes"),
    HTTP.ReadTimeout("slow"),
]


class Faulty:
    """A streamed dataset of three shards, of which some rows fail so many times."""

    def __init__(self, monkeypatch):
        self.fails = collections.Counter()
        self.error = ConnectionError("reset by peer")
        self.read = collections.Counter()
        self.waits = []
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: self._open())
        monkeypatch.setattr(streamed, "PIECE_DOCUMENTS", 8)
        monkeypatch.setattr(streamed.time, "sleep", self.waits.append)

    def _open(self):
        return datasets.IterableDataset.from_generator(
            self._rows, gen_kwargs={"shards": list(range(SHARDS))}
        )

    def _rows(self, shards):
        for shard in shards:
            for row in range(ROWS):
                self.read[shard, row] += 1
                if self.fails[shard, row] > 0:
                    self.fails[shard, row] -= 1
                    raise self.error
                yield {"text": f"w{100 * shard + row} w7 w8"}


@pytest.fixture
def faulty(monkeypatch):
    return Faulty(monkeypatch)


def test_every_document_comes_once_in_an_order_of_the_seed(faulty, tmp_path):
    documents = list(read_documents(SETTINGS, 0))
    assert len(set(documents)) == len(documents) == SHARDS * ROWS
    assert documents == list(read_documents(SETTINGS, 0, tmp_path))
    assert documents != list(read_documents(SETTINGS, 1))


@pytest.mark.parametrize("error", BREAKS, ids=lambda error: type(error).__name__)
def test_a_break_changes_neither_documents_nor_their_order(faulty, tmp_path, error, capsys):
    wanted = list(read_documents(SETTINGS, 0))
    faulty.error = error
    faulty.fails.update({(1, 0): 1, (1, 20): 2, (2, 49): 1})
    assert list(read_documents(SETTINGS, 0, tmp_path)) == wanted
    # The waits begin anew after each piece that came.
    assert sorted(faulty.waits) == [1, 1, 1, 2]
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4 and all("dataset 'some/set' broke off after" in line for line in said)


def test_a_stream_that_stays_broken_is_one_line_and_what_came_is_kept(faulty, tmp_path):
    wanted = list(read_documents(SETTINGS, 0))
    faulty.fails[1, 20] = 9
    with pytest.raises(InputError) as told:
        list(read_documents(SETTINGS, 0, tmp_path))
    assert str(told.value) == (
        "dataset 'some/set' broke off (ConnectionError: reset by peer) and did so again in 8 "
        "attempts to go on; what was read is kept: run again once the connection holds"
    )
    assert faulty.waits == [1, 2, 4, 8, 16, 32, 64, 128]
    faulty.read.clear()
    assert list(read_documents(SETTINGS, 0, tmp_path)) == wanted
    # Of two shards the rows are not asked for again that were kept before the break.
    assert sum(faulty.read.values()) <= SHARDS * ROWS - ROWS


def test_a_dataset_that_cannot_be_reached_is_one_line(monkeypatch):
    def refuse(*_, **__):
        raise HTTP.ConnectError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(InputError, match=r"'some/set' cannot be opened \(ConnectError: no route"):
        streamed.open_dataset(SETTINGS)


def test_what_is_no_break_is_not_tried_again(faulty):
    for error in (ValueError("no JSON"), OSError(28, "No space left on device")):
        faulty.error, faulty.fails = error, collections.Counter({(1, 3): 1})
        with pytest.raises(type(error)):
            list(read_documents(SETTINGS, 0))
    assert faulty.waits == []
    assert not is_of_network(InputError("wrong field"))


def test_a_job_that_is_stopped_goes_on_from_its_pieces(faulty, tmp_path):
    wanted = list(read_documents(SETTINGS, 0))
    documents = read_documents(SETTINGS, 0, tmp_path)
    assert [next(documents) for _ in range(60)] == wanted[:60]
    documents.close()
    with open(tmp_path / "documents.jsonl.zst", "ab") as file:
        file.write(b"half a piece")
    faulty.read.clear()
    assert list(read_documents(SETTINGS, 0, tmp_path)) == wanted
    assert sum(faulty.read.values()) <= SHARDS * ROWS - 50


def test_pieces_of_another_dataset_or_order_are_not_taken(faulty, tmp_path):
    list(read_documents(SETTINGS, 0, tmp_path))
    faulty.read.clear()
    assert list(read_documents(SETTINGS, 1, tmp_path)) == list(read_documents(SETTINGS, 1))
    assert set(faulty.read.values()) == {2}


def test_damaged_pieces_are_one_line(faulty, tmp_path):
    list(read_documents(SETTINGS, 0, tmp_path))
    path = tmp_path / "documents.jsonl.zst"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"{path}: damaged; delete {tmp_path} and run again"):
        list(read_documents(SETTINGS, 0, tmp_path))
    # An index that cannot be read, or a file that is too short for it, is no start to go on from.
    for name, content in (("position.json", "{"), ("documents.jsonl.zst", "")):
        (tmp_path / name).write_text(content)
        assert Kept(tmp_path, json.dumps(0)).position == (0, None)


def test_staged_text_leaves_no_pieces_and_is_the_same_after_a_break(faulty, tmp_path):
    settings = toy_settings(
        tmp_path,
        text=SETTINGS.model_dump(),
        packing="documents",
        training_tokens=250,
        held_out_tokens=60,
    )
    text.stage_text(settings, WordTokenizer(), tmp_path / "whole")
    faulty.fails[1, 30] = 20
    with pytest.raises(InputError, match="broke off"):
        text.stage_text(settings, WordTokenizer(), tmp_path / "broken")
    assert (tmp_path / "broken" / ".stream" / "documents.jsonl.zst").stat().st_size
    faulty.fails.clear()
    text.stage_text(settings, WordTokenizer(), tmp_path / "broken")
    assert not (tmp_path / "broken" / ".stream").exists()
    whole, broken = (StagedText(tmp_path / name, "training") for name in ("whole", "broken"))
    assert np.array_equal(whole.row_starts, broken.row_starts)
    assert np.array_equal(whole.tokens(5), broken.tokens(5))


def test_the_shuffle_is_a_permutation_that_mixes():
    order = list(shuffled(map(str, range(1000)), 100, np.random.default_rng(0)))
    assert sorted(map(int, order)) == list(range(1000))
    assert list(shuffled("abc", 1, np.random.default_rng(0))) == ["a", "b", "c"]
    moved = [abs(place - int(number)) for place, number in enumerate(order)]
    assert 50 < np.mean(moved) < 150
