"""Documents' tokens into contexts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int


@dataclass
class Contexts:
    """Contexts of one split, collected in order.

    Parameters
    ----------
    context_size
        Tokens per context, special tokens included; `documents` contexts may be shorter.
    dropped_ids
        Tokens whose rows are not cached.
    wanted_rows
        Rows to collect.
    """

    context_size: int
    dropped_ids: tuple[int, ...]
    wanted_rows: int
    rows: int = 0
    _tokens: list[np.ndarray] = field(default_factory=list)
    _documents: list[np.ndarray] = field(default_factory=list)
    _row_counts: list[int] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether enough rows are collected."""
        return self.rows >= self.wanted_rows

    def append(self, tokens: Int[np.ndarray, " pos"], documents: Int[np.ndarray, " pos"]) -> None:
        """Add one context; nothing where the split is full."""
        if self.full:
            return
        kept = int(kept_rows(tokens, self.dropped_ids).sum())
        self._tokens.append(tokens.astype(np.int32))
        self._documents.append(documents.astype(np.int32))
        self._row_counts.append(kept)
        self.rows += kept

    def used_documents(self) -> int:
        """Return how many documents the wanted rows are of."""
        arrays = self.arrays()
        rows = arrays["documents"][kept_rows(arrays["tokens"], self.dropped_ids)]
        return len(np.unique(rows[: self.wanted_rows]))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the contexts end to end.

        Returns
        -------
        dict
            `tokens` and `documents` of shape (tokens,); `starts` of shape (contexts + 1,), where
            each context begins; `row_starts` of shape (contexts + 1,), its first row in the cache.
        """
        lengths = [len(tokens) for tokens in self._tokens]
        empty = np.empty(0, dtype=np.int32)
        return {
            "tokens": np.concatenate(self._tokens or [empty]),
            "documents": np.concatenate(self._documents or [empty]),
            "starts": np.cumsum([0, *lengths], dtype=np.int64),
            "row_starts": np.cumsum([0, *self._row_counts], dtype=np.int64),
        }


def kept_rows(
    tokens: Int[np.ndarray, " pos"], dropped_ids: tuple[int, ...]
) -> Bool[np.ndarray, " pos"]:
    """Return which tokens become rows of the cache.

    Examples
    --------
    >>> kept_rows(np.array([101, 7, 8, 102]), (101, 102)).tolist()
    [False, True, True, False]
    """
    kept = np.ones(len(tokens), dtype=bool)
    for dropped in dropped_ids:
        kept &= tokens != dropped
    return kept


class DocumentPacker:
    """One document per context, truncated; its tokenizer has added the special tokens."""

    def __init__(self, contexts: Contexts) -> None:
        self.contexts = contexts

    def add(self, document: int, tokens: Int[np.ndarray, " pos"]) -> None:
        """Add a document's tokens, special tokens included."""
        self.contexts.append(tokens, np.full(len(tokens), document))


class ConcatenatePacker:
    """Documents end to end in full contexts.

    A token may begin each context, and one may stand between two documents. A document that goes on
    in the next context does so after that context's first token, and one that begins there has that
    one before it, not two. What is left at the end and fills no context is dropped.

    Parameters
    ----------
    contexts
        Where full contexts go.
    begin
        The token that begins each context, if any.
    separator
        The token between two documents, if any.

    References
    ----------
    SAELens' `concat_and_batch_sequences` with a begin-of-batch and a separator token.

    Examples
    --------
    >>> def pack(begin, separator):
    ...     contexts = Contexts(context_size=4, dropped_ids=(), wanted_rows=8)
    ...     packer = ConcatenatePacker(contexts, begin, separator)
    ...     packer.add(0, np.array([5, 6])); packer.add(1, np.array([7, 8, 9, 4, 3, 5]))
    ...     return contexts.arrays()["tokens"].reshape(-1, 4).tolist()
    >>> pack(begin=1, separator=1)
    [[1, 5, 6, 1], [1, 7, 8, 9]]
    >>> pack(begin=None, separator=2), pack(begin=None, separator=None)
    ([[5, 6, 2, 7], [8, 9, 4, 3]], [[5, 6, 7, 8], [9, 4, 3, 5]])
    """

    def __init__(self, contexts: Contexts, begin: int | None, separator: int | None) -> None:
        self.contexts = contexts
        self.begin, self.separator = begin, separator
        self.size = contexts.context_size
        self.tokens = np.empty(self.size, dtype=np.int32)
        self.documents = np.empty(self.size, dtype=np.int32)
        self.used = 0

    def add(self, document: int, tokens: Int[np.ndarray, " pos"]) -> None:
        """Add a document's tokens, without special tokens."""
        done, begins = 0, True
        while done < len(tokens):
            before = self.begin if self.used == 0 else self.separator if begins else None
            if before is not None and tokens[done] != before:
                self._put(document, np.array([before]))
                if self.used == 0:
                    continue
            begins = False
            part = tokens[done : done + self.size - self.used]
            self._put(document, part)
            done += len(part)

    def _put(self, document: int, tokens: np.ndarray) -> None:
        end = self.used + len(tokens)
        self.tokens[self.used : end] = tokens
        self.documents[self.used : end] = document
        self.used = end
        if end == self.size:
            self.contexts.append(self.tokens, self.documents)
            self.used = 0
