"""A Hugging Face dataset as a stream of documents that goes on where it broke off.

The documents are kept on disk as they come, each time with the place in the dataset that they reach
to: neither a connection that breaks nor a job that is stopped costs what was read before. They are
shuffled behind that, so that their order does not depend on where the stream broke.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from correct_l0.errors import DISK_FULL, InputError
from correct_l0.provenance.manifest import read_or_empty, write_json
from correct_l0.sources.language_model.settings import Text

PIECE_DOCUMENTS = 1000
"""Documents that are kept at a time; after a break the last piece is read again."""

WAITS_S = (1, 2, 4, 8, 16, 32, 64, 128)
"""Seconds before each attempt to go on, while none brings a piece."""

NETWORK = (
    "aiohttp", "fsspec", "httpcore", "httpcore2", "httpx", "httpx2", "huggingface_hub", "requests",
    "urllib3",
)  # fmt: skip
"""Packages whose errors are those of a connection, besides the system's own."""

Field = Callable[[Any], str]
Position = tuple[int, dict[str, Any] | None]
"""The shards that are read to their end, and `state_dict` within the next one."""

BEGINNING: Position = (0, None)


def stream_dataset(text: Text, seed: int, field: Field, kept: Path | None = None) -> Iterator[str]:
    """Yield the documents of a dataset, the order drawn with the seed.

    Its shards come in an order that is drawn, one after the other, through a shuffle buffer.

    Parameters
    ----------
    text
        Settings of the text.
    seed
        Seed of the order.
    field
        Returns the text of a row.
    kept
        A folder that keeps what is read until the text is staged.

    Raises
    ------
    InputError
        If the dataset cannot be opened, or breaks off time and again.
    """
    documents = _documents(text, seed, field, kept)
    return shuffled(documents, text.shuffle_buffer, np.random.default_rng([seed, 1]))


def _documents(text: Text, seed: int, field: Field, kept: Path | None) -> Iterator[str]:
    identity = json.dumps([text.model_dump(mode="json"), seed], sort_keys=True)
    store = None if kept is None else Kept(kept, identity)
    if store is not None:
        yield from store.read()
    rows = open_dataset(text)
    order = np.random.default_rng([seed, 0]).permutation(rows.num_shards).tolist()
    start = BEGINNING if store is None else store.position
    where = f"dataset {text.dataset!r}"
    for piece, position in persistent(rows, order, start, field, where):
        if store is not None:
            store.add(piece, position)
        yield from piece


def open_dataset(text: Text) -> Any:
    """Return a dataset to stream.

    Raises
    ------
    InputError
        If it cannot be opened.
    """
    import datasets

    try:
        return datasets.load_dataset(
            text.dataset,
            text.dataset_config,
            split=text.dataset_split,
            revision=text.dataset_revision,
            streaming=True,
        )
    except Exception as error:
        if not isinstance(error, (OSError, ValueError, RuntimeError)) and not is_of_network(error):
            raise
        raise InputError(
            f"dataset {text.dataset!r} cannot be opened ({_reason(error)}); check its name, "
            "configuration and split, or stage the text where there is network"
        ) from None


def persistent(
    rows: Any, order: list[int], position: Position, field: Field, where: str
) -> Iterator[tuple[list[str], Position]]:
    """Yield pieces of a dataset and where each ends, going on after a break.

    Raises
    ------
    InputError
        If the stream breaks again after each wait.
    """
    documents, waits = 0, iter(WAITS_S)
    while True:
        try:
            for piece, after in _pieces(rows, order, position, field):
                yield piece, after
                position, documents, waits = after, documents + len(piece), iter(WAITS_S)
            return
        except Exception as error:
            if not is_of_network(error):
                raise
            reason = _reason(error)
        wait = next(waits, None)
        if wait is None:
            raise InputError(
                f"{where} broke off ({reason}) and did so again in {len(WAITS_S)} attempts to go "
                "on; what was read is kept: run again once the connection holds"
            )
        print(f"{where} broke off after {documents} documents ({reason}); going on in {wait} s")
        time.sleep(wait)


def _pieces(
    rows: Any, order: list[int], position: Position, field: Field
) -> Iterator[tuple[list[str], Position]]:
    first, state = position
    for number in range(first, len(order)):
        shard = rows.shard(num_shards=len(order), index=order[number])
        if state is not None:
            shard.load_state_dict(state)
        piece: list[str] = []
        for row in shard:
            piece.append(field(row))
            if len(piece) == PIECE_DOCUMENTS:
                yield piece, (number, shard.state_dict())
                piece = []
        yield piece, (number + 1, None)
        state = None


def is_of_network(error: BaseException) -> bool:
    """Tell whether an error may be gone at the next attempt."""
    if isinstance(error, InputError):
        return False
    if isinstance(error, OSError):
        return error.errno not in DISK_FULL
    kinds = type(error).__mro__
    return any(kind.__module__.partition(".")[0] in NETWORK for kind in kinds)


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def shuffled(
    documents: Iterable[str], buffer: int, generator: np.random.Generator
) -> Iterator[str]:
    """Yield documents in an order drawn within a buffer: each as one of so many that came before.

    Examples
    --------
    >>> list(shuffled("abcdef", 3, np.random.default_rng(0)))
    ['c', 'b', 'e', 'f', 'd', 'a']
    """
    held: list[str] = []
    for document in documents:
        if len(held) < buffer:
            held.append(document)
            continue
        i = int(generator.integers(buffer))
        yield held[i]
        held[i] = document
    yield from (held[i] for i in generator.permutation(len(held)))


class Kept:
    """Documents on disk, and the place in the dataset that they reach to.

    Parameters
    ----------
    folder
        Where they are.
    identity
        What they are read from; those of another dataset or order are deleted.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.path = folder / "documents.jsonl.zst"
        self._index, self._identity = folder / "position.json", identity
        index = read_or_empty(self._index) if self._index.exists() else {}
        self.bytes, self.position = 0, BEGINNING
        size = self.path.stat().st_size if self.path.exists() else 0
        if index.get("identity") == identity and size >= index["bytes"]:
            self.bytes, self.position = index["bytes"], tuple(index["position"])
        folder.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            # A piece whose place was not written is torn, or is read again.
            file.truncate(self.bytes)

    def read(self) -> Iterator[str]:
        """Yield the documents that are there.

        Raises
        ------
        InputError
            If they are damaged.
        """
        unpack = zstandard.ZstdDecompressor().stream_reader
        with open(self.path, "rb") as file:
            lines = io.TextIOWrapper(unpack(file, read_across_frames=True), encoding="utf-8")
            while True:
                try:
                    if not (line := lines.readline()):
                        return
                    document = json.loads(line)
                except (zstandard.ZstdError, ValueError):
                    raise InputError(
                        f"{self.path}: damaged; delete {self.path.parent} and run again"
                    ) from None
                yield document

    def add(self, piece: list[str], position: Position) -> None:
        """Keep one more piece and where it ends."""
        lines = "".join(f"{json.dumps(document)}\n" for document in piece)
        data = zstandard.ZstdCompressor(write_checksum=True).compress(lines.encode())
        with open(self.path, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.bytes, self.position = self.bytes + len(data), position
        write_json(
            self._index,
            {"identity": self._identity, "bytes": self.bytes, "position": list(position)},
        )
