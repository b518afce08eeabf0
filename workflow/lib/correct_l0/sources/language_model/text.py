"""Text staged for a cache: split by document, tokenised, packed into contexts."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import read_manifest, replacing, write_manifest
from correct_l0.sources.language_model import RECIPE
from correct_l0.sources.language_model.documents import mend, read_documents, reserved_texts
from correct_l0.sources.language_model.english import EnglishWords
from correct_l0.sources.language_model.layout import SPLITS, identity_settings
from correct_l0.sources.language_model.packing import ConcatenatePacker, Contexts, DocumentPacker
from correct_l0.sources.language_model.places import NOWHERE, Places
from correct_l0.sources.language_model.settings import Activations
from correct_l0.sources.language_model.tokenizer import separator_id, special_ids, tokenizer_digest
from correct_l0.sources.sae_probes import resolve_tasks

BATCH_DOCUMENTS = 1024
ARRAYS = ("tokens", "documents", "starts", "row_starts")


def split_of(document: str, seed: int, held_out_fraction: float) -> str:
    """Return a document's split, from a hash of its text and the seed.

    The same text falls into the same split wherever it comes from and however often.

    Examples
    --------
    >>> [split_of(text, 0, 0.5) for text in ("one", "two", "three", "four")]
    ['training', 'held_out', 'training', 'held_out']
    """
    key = hashlib.blake2b(document.encode(), digest_size=8, salt=seed.to_bytes(8, "little"))
    share = int.from_bytes(key.digest(), "little") / 2**64
    return "held_out" if share < held_out_fraction else "training"


@dataclass
class Counts:
    """What became of the documents.

    Attributes
    ----------
    read
        Documents taken from the source.
    mended
        Those of them with half a character, which U+FFFD replaces.
    repeated, reserved
        Those left out, as texts that came before and as texts of probing tasks.
    training, held_out
        Those that the rows of each split are of.
    """

    read: int = 0
    mended: int = 0
    repeated: int = 0
    reserved: int = 0
    training: int = 0
    held_out: int = 0


def stage_text(
    activations: Activations, tokenizer: Any, folder: Path | str, places: Places = NOWHERE
) -> dict[str, Any]:
    """Write the contexts of both splits and `manifest.json`; stop when enough are gathered.

    Parameters
    ----------
    activations
        Settings of the cache.
    tokenizer
        The model's tokenizer.
    folder
        Receives `{split}_{array}.npy` for each split and array of `Contexts.arrays`.
    places
        Where text files are that the settings name by their content.

    Returns
    -------
    dict
        Facts about the tokenizer and the special tokens, as in the manifest.

    Raises
    ------
    InputError
        If the text cannot be read, holds too few tokens, or the tokenizer lacks the token that
        separates documents.
    """
    a, folder = activations, Path(folder)
    specials = special_ids(tokenizer)
    dropped = specials if a.special_tokens == "drop" else ()
    contexts = {split: Contexts(a.context_size, dropped, _rows(a, split)) for split in SPLITS}
    packers = {split: _packer(a, tokenizer, contexts[split]) for split in SPLITS}
    counts, english = Counts(), EnglishWords()
    kept = folder / ".stream"
    found = read_documents(places.fill(a).text, a.seed, kept)
    documents = _assign(a, found, contexts, counts, english)
    number = 0
    while batch := list(islice(documents, BATCH_DOCUMENTS)):
        tokens = _tokenise(a, tokenizer, [document for _, document in batch])
        for (split, _), ids in zip(batch, tokens, strict=True):
            packers[split].add(number, np.asarray(ids, dtype=np.int32))
            number += 1
    _check_enough(a, contexts, counts)
    counts.training = contexts["training"].used_documents()
    counts.held_out = contexts["held_out"].used_documents()
    if counts.mended:
        print(f"{counts.mended} documents with half a character, which U+FFFD replaces")
    files = _write_arrays(folder, contexts)
    separated: dict[str, Any] = {}
    if a.packing == "concatenate":
        token = separator_id(a.separator, tokenizer)
        separated = {"separator": a.separator, "separator_token_id": token}
    facts = {
        "tokenizer": tokenizer_digest(tokenizer),
        "special_ids": list(specials),
        "dropped_ids": list(dropped),
        "bos_token_id": tokenizer.bos_token_id,
    }
    write_manifest(
        folder / "manifest.json",
        stage="stage_text",
        recipe=RECIPE,
        parameters=identity_settings(a),
        inputs={},
        outputs=files,
        **facts,
        documents=vars(counts),
        english_words=english.share,
        rows={split: contexts[split].rows for split in SPLITS},
        source=a.text.model_dump(mode="json"),
        packing=a.packing,
        **separated,
        special_tokens=a.special_tokens,
        context_size=a.context_size,
        seed=a.seed,
    )
    shutil.rmtree(kept, ignore_errors=True)
    return facts


def _rows(activations: Activations, split: str) -> int:
    a = activations
    return a.training_tokens if split == "training" else a.held_out_tokens


def _packer(
    a: Activations, tokenizer: Any, contexts: Contexts
) -> ConcatenatePacker | DocumentPacker:
    if a.packing == "documents":
        return DocumentPacker(contexts)
    separator = separator_id(a.separator, tokenizer)
    return ConcatenatePacker(contexts, separator if a.separator == "bos" else None, separator)


def _assign(
    a: Activations,
    documents: Iterable[str],
    contexts: dict[str, Contexts],
    counts: Counts,
    english: EnglishWords,
) -> Iterator[tuple[str, str]]:
    """Yield (split, document) for the splits that are not full, each text once."""
    reserved = reserved_texts(resolve_tasks(a.text.reserve_tasks))
    fraction = a.held_out_tokens / (a.held_out_tokens + a.training_tokens)
    seen: set[bytes] = set()
    for document in documents:
        if all(part.full for part in contexts.values()):
            return
        document, mended = mend(document)
        english.add(document)
        counts.read += 1
        counts.mended += mended
        key = hashlib.blake2b(document.encode(), digest_size=12).digest()
        if document in reserved:
            counts.reserved += 1
        elif key in seen:
            counts.repeated += 1
        else:
            seen.add(key)
            split = split_of(document, a.seed, fraction)
            if not contexts[split].full:
                yield split, document


def _tokenise(a: Activations, tokenizer: Any, documents: list[str]) -> list[list[int]]:
    if a.packing == "concatenate":
        return tokenizer(documents, add_special_tokens=False, verbose=False)["input_ids"]
    return tokenizer(documents, truncation=True, max_length=a.context_size)["input_ids"]


def _check_enough(a: Activations, contexts: dict[str, Contexts], counts: Counts) -> None:
    short = [split for split in SPLITS if not contexts[split].full]
    if short:
        found = ", ".join(
            f"{contexts[split].rows} of {contexts[split].wanted_rows} {split} tokens"
            for split in short
        )
        raise InputError(
            f"the text holds too few tokens: {found}, in {counts.read} documents of which "
            f"{counts.repeated} repeated and {counts.reserved} reserved for probing; add text or "
            "lower activations.training_tokens or activations.held_out_tokens"
        )


def _write_arrays(folder: Path, contexts: dict[str, Contexts]) -> list[Path]:
    files = []
    for split in SPLITS:
        for name, values in contexts[split].arrays().items():
            files.append(folder / f"{split}_{name}.npy")
            with replacing(files[-1]) as temporary:
                np.save(temporary, values)
    return files


class StagedText:
    """Staged contexts of a split, mapped from disk.

    Parameters
    ----------
    folder
        The folder that `stage_text` wrote.
    split
        `training` or `held_out`.
    """

    def __init__(self, folder: Path | str, split: str) -> None:
        manifest = read_manifest(Path(folder) / "manifest.json")
        self.dropped_ids = tuple(manifest["dropped_ids"])
        arrays = {
            name: np.load(Path(folder) / f"{split}_{name}.npy", mmap_mode="r") for name in ARRAYS
        }
        self._tokens, self._documents = arrays["tokens"], arrays["documents"]
        self.starts, self.row_starts = arrays["starts"], arrays["row_starts"]

    def covering(self, start: int, stop: int) -> range:
        """Return the contexts that hold the rows [start, stop)."""
        first = int(np.searchsorted(self.row_starts, start, side="right")) - 1
        after = int(np.searchsorted(self.row_starts, stop, side="left"))
        return range(first, after)

    def tokens(self, context: int) -> np.ndarray:
        """Return the tokens of a context."""
        return np.asarray(self._tokens[self.starts[context] : self.starts[context + 1]])

    def documents(self, context: int) -> np.ndarray:
        """Return the document of each token of a context."""
        return np.asarray(self._documents[self.starts[context] : self.starts[context + 1]])
