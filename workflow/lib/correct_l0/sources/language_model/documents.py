"""Documents, one at a time, from each kind of text source."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from correct_l0.errors import InputError
from correct_l0.sources.language_model.settings import Text
from correct_l0.sources.sae_probes import data_folder, read_table, task_file

FORMATS = (".txt", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
HALF_CHARACTERS = re.compile("[\ud800-\udfff]")


def read_documents(text: Text, seed: int, kept: Path | None = None) -> Iterator[str]:
    """Yield the documents of a text source; white space alone is no document.

    The sae-probes texts come in an order drawn with the seed, files in their own order, a streamed
    dataset through a shuffle buffer.

    Parameters
    ----------
    text
        Settings of the text.
    seed
        Seed of the order.
    kept
        A folder that keeps what is read of a streamed dataset.

    Raises
    ------
    InputError
        If a file is missing, empty, not UTF-8, not in its format or lacks the text field; if a
        dataset cannot be opened.
    """
    if text.source == "sae-probes":
        documents: Iterable[str] = shuffled_probe_texts(seed)
    elif text.source == "files":
        documents = (d for name in text.files for d in read_file(Path(name), text.text_field))
    else:
        from correct_l0.sources.language_model.streamed import stream_dataset

        where = f"dataset {text.dataset!r}"
        documents = stream_dataset(
            text, seed, lambda row: _field(row, text.text_field, where), kept
        )
    return (document for document in documents if document.strip())


# sae-probes


def _prompts(path: Path) -> list[str]:
    table = read_table(path, f"text '{path.name.partition('.')[0]}' of sae-probes", ["prompt"])
    return [str(prompt) for prompt in table["prompt"]]


def shuffled_probe_texts(seed: int) -> list[str]:
    """Return every different text of sae-probes, in an order drawn with the seed."""
    import numpy as np

    paths = sorted((data_folder() / "cleaned_data").glob("*.csv.zst"))
    texts = list(dict.fromkeys(text for path in paths for text in _prompts(path)))
    return [texts[i] for i in np.random.default_rng(seed).permutation(len(texts))]


def reserved_texts(tasks: Iterable[str]) -> set[str]:
    """Return the texts of probing tasks, which are kept out of the cache."""
    return {text for task in tasks for text in _prompts(task_file(task))}


# files


def read_file(path: Path, text_field: str) -> Iterator[str]:
    """Yield the documents of a .txt, .jsonl, .jsonl.gz, .jsonl.zst or .parquet file.

    Raises
    ------
    InputError
        See `read_documents`.
    """
    kind = check_format(path)
    if not path.is_file():
        raise InputError(f"text file '{path}' does not exist; correct text.files")
    reader: Callable[..., Iterator[str]]
    reader = {".txt": _read_txt, ".parquet": _read_parquet}.get(kind, _read_jsonl)
    found = False
    for document in reader(path, text_field):
        found = found or bool(document.strip())
        yield document
    if not found:
        raise InputError(f"text file '{path}' is empty; name one with text")


def check_format(path: Path) -> str:
    """Return the ending of a text file's name that tells its format.

    Raises
    ------
    InputError
        If it is none of `FORMATS`.
    """
    name = path.name.lower()
    kind = next((suffix for suffix in FORMATS if name.endswith(suffix)), None)
    if kind is None:
        raise InputError(f"text file '{path}': unknown format; one of {', '.join(FORMATS)}")
    return kind


def open_file(path: Path) -> IO[bytes]:
    """Open a text file for reading bytes, unpacked where it is packed."""
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if path.suffix == ".zst":
        import pyarrow as pa

        # The zstandard package takes a file that is cut off for one that ends there.
        unpacked = pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
        return io.BufferedReader(unpacked)  # type: ignore[type-var]
    return path.open("rb")


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what reading a damaged file raises into an error that says what to do.

    Raises
    ------
    InputError
        If the file is cut off or is not what its name says.
    """
    try:
        yield
    except Exception as error:
        if not _is_damage(error):
            raise
        reason = str(error).splitlines()[0]
        raise InputError(
            f"text file '{path}' is damaged or cut off ({reason}); replace it"
        ) from None


def _is_damage(error: Exception) -> bool:
    """Tell whether gzip, zlib or pyarrow, which takes time to import, complains of a file."""
    if isinstance(error, OSError):
        # Those of the system have a number.
        return error.errno is None
    damage = (EOFError, zlib.error, UnicodeDecodeError)
    return isinstance(error, damage) or type(error).__module__ == "pyarrow.lib"


def mend(document: str) -> tuple[str, bool]:
    """Return a document with U+FFFD for every half of a character, and whether there was one.

    JSON can say the half of a surrogate pair; no tokenizer takes it.

    Examples
    --------
    >>> mend("a \\ud83d b")
    ('a \ufffd b', True)
    """
    mended, halves = HALF_CHARACTERS.subn("\ufffd", document)
    return mended, halves > 0


def undecodable(path: Path, offset: int) -> InputError:
    """Return the error for a file that is not UTF-8 at a byte offset (after unpacking)."""
    return InputError(
        f"text file '{path}' is not UTF-8: byte {offset} cannot be decoded; convert it to UTF-8"
    )


def _read_lines(path: Path) -> Iterator[str]:
    offset = 0
    with damage_named(path), open_file(path) as file:
        for line in file:
            yield decode(line, path, offset)
            offset += len(line)


def decode(data: bytes, path: Path, offset: int) -> str:
    """Return the text of bytes that stand at an offset of a file (after unpacking).

    Raises
    ------
    InputError
        If they are not UTF-8, or hold a NUL, as UTF-16 does.
    """
    try:
        text = data.decode("utf-8-sig" if offset == 0 else "utf-8")
    except UnicodeDecodeError as error:
        raise undecodable(path, offset + error.start) from None
    if "\0" in text:
        raise undecodable(path, offset + data.index(b"\0"))
    return text


def _read_txt(path: Path, _: str) -> Iterator[str]:
    paragraph: list[str] = []
    for line in _read_lines(path):
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield "".join(paragraph).strip()
            paragraph = []
    if paragraph:
        yield "".join(paragraph).strip()


def _read_jsonl(path: Path, text_field: str) -> Iterator[str]:
    for number, line in enumerate(_read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(
                f"text file '{path}' line {number} is not JSON; a .jsonl file has one object a line"
            ) from None
        yield _field(row, text_field, f"text file '{path}' line {number}")


def _read_parquet(path: Path, text_field: str) -> Iterator[str]:
    import pyarrow.parquet as pq

    with damage_named(path):
        table = pq.ParquetFile(path)
        names = table.schema_arrow.names
        if text_field not in names:
            raise InputError(
                f"text file '{path}' has no column {text_field!r}, only {', '.join(names)}; "
                "set text.text_field"
            )
        for batch in table.iter_batches(columns=[text_field]):
            for value in batch.column(0).to_pylist():
                yield _field({text_field: value}, text_field, f"text file '{path}'")


def _field(row: Any, text_field: str, where: str) -> str:
    """Return a row's text; a missing value is an empty document."""
    if not isinstance(row, dict) or text_field not in row:
        names = ", ".join(map(str, row)) if isinstance(row, dict) else type(row).__name__
        raise InputError(f"{where} has no field {text_field!r}, only {names}; set text.text_field")
    value = row[text_field]
    if value is not None and not isinstance(value, str):
        raise InputError(
            f"{where}: field {text_field!r} holds {type(value).__name__}, not text; "
            "set text.text_field"
        )
    return value or ""
