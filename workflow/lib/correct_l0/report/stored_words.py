"""What is said of activations that came in somebody's files: how rows were held out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from correct_l0.sources.stored.settings import Stored


def stored_caveats(stored: Stored | None, index: Mapping[str, Any]) -> list[str]:
    """Return what of the rows is not known; nothing where their texts are, or of another source.

    Parameters
    ----------
    stored
        The settings.
    index
        The manifest of the source.
    """
    by = index.get("held_out_by")
    if stored is None or by not in ("blocks", "sequences"):
        return []
    what = (
        f"blocks of {stored.block_tokens:,} that lie together"
        if by == "blocks"
        else f"whole sequences of {index['sequence']:,}"
    )
    return [
        "The sequence structure of the activations is unknown: nothing tells which "
        f"{'rows' if by == 'blocks' else 'sequences'} belong to one text. Held-out rows are "
        f"{what}, and a text may give rows to training and to the metrics. Name the texts in "
        "stored.documents to keep them apart."
    ]


def stored_facts(stored: Stored, read: str = "") -> list[tuple[str, str]]:
    """Return what the report says of the source: which files, of which model where that is told.

    Parameters
    ----------
    stored
        The settings.
    read
        What the model is called that read the prompts of probing, if one did.

    Examples
    --------
    >>> stored_facts(Stored(path="/data/acts.npy", d_in=8, model_name="gpt2", hook_name="h"))
    [('Model', 'gpt2, h'), ('Activations', 'acts.npy')]
    """
    named = (stored.model_name or read.removeprefix("package:"), stored.hook_name)
    told = ", ".join(filter(None, named))
    name = stored.path.rstrip("/").rpartition("/")[2]
    return [*([("Model", told)] if told else []), ("Activations", name)]
