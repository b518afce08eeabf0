"""What can be said about somebody's files of activations in a moment. No torch."""

from __future__ import annotations

import os

from correct_l0.errors import InputError
from correct_l0.sources.stored import is_path
from correct_l0.sources.stored.settings import Stored


def check_stored(settings: Stored, batch_tokens: int = 1) -> None:
    """Hold files of activations against the settings.

    Parameters
    ----------
    settings
        With the paths of the files.
    batch_tokens
        Rows of the largest training batch.

    Raises
    ------
    InputError
        If the files cannot be used, their rows are of another width, or there are too few.
    """
    rows = settings.rows
    if rows.d_in != settings.d_in:
        raise InputError(
            f"stored.d_in {settings.d_in}: the rows of {settings.path} are {rows.d_in} wide; set "
            f"stored.d_in: {rows.d_in}"
        )
    left = len(rows) - settings.held_out_tokens
    if left < batch_tokens:
        raise InputError(
            f"stored.held_out_tokens {settings.held_out_tokens:,} leaves {max(0, left):,} of the "
            f"{len(rows):,} rows of {settings.path} to train on, fewer than the {batch_tokens:,} "
            "of a batch; lower it or the batch"
        )
    documents = settings.documents
    if documents is not None and is_path(documents) and not os.path.exists(documents):
        raise InputError(f"stored.documents: {documents} does not exist; correct it")
