"""Whether a text is English, by its commonest words: what scores on English tasks then mean."""

from __future__ import annotations

import re

COMMONEST = frozenset(
    ["the", "and", "that", "with", "this", "from", "are", "were", "which", "have", "not"]
)
"""Words that are common in English, and not in other languages that use its letters."""

DOCUMENTS, CHARACTERS = 2000, 5000
"""So many documents are looked at, the first ones that are read, and so much of each."""


class EnglishWords:
    """Counts words of documents, and how many are among English's commonest.

    Examples
    --------
    >>> words = EnglishWords()
    >>> words.add("The cat and the dog.")
    >>> words.add("Die Katze und der Hund")
    >>> words.share
    0.3
    """

    def __init__(self) -> None:
        self._documents = self._words = self._common = 0

    def add(self, document: str) -> None:
        """Count a document; nothing once enough were counted."""
        if self._documents == DOCUMENTS:
            return
        found = re.findall(r"\w+", document[:CHARACTERS].lower())
        self._documents += 1
        self._words += len(found)
        self._common += sum(word in COMMONEST for word in found)

    @property
    def share(self) -> float | None:
        """Share of the words that are among the commonest; None of no words."""
        return self._common / self._words if self._words else None
