"""A model's tokenizer: loaded without a hub, and what is asked of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from correct_l0.errors import InputError


def load_tokenizer(folder: Path | str) -> Any:
    """Return the tokenizer in a model's folder.

    Raises
    ------
    InputError
        If the folder has none, or one that cannot be read.
    """
    from transformers import AutoTokenizer

    reason = "its vocabulary holds special tokens only"
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
        # Without a file of its vocabulary, transformers makes an empty one.
        if set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
            return tokenizer
    except Exception as error:  # Whatever transformers makes of a damaged file.
        reason = f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
    raise InputError(
        f"model folder '{folder}' has no usable tokenizer ({reason}); "
        "put the model's tokenizer.json there"
    )


def special_ids(tokenizer: Any) -> tuple[int, ...]:
    """Return the ids of BOS, EOS, [CLS], [SEP], [PAD] and [MASK], as far as there are any."""
    names = ("bos", "eos", "cls", "sep", "pad", "mask")
    ids = (getattr(tokenizer, f"{name}_token_id") for name in names)
    return tuple(sorted({i for i in ids if i is not None}))


def separator_id(separator: str, tokenizer: Any) -> int | None:
    """Return the token between documents: that of `bos` or `eos`, None for `none`.

    Raises
    ------
    InputError
        If the tokenizer has no such token, with the separators that it allows.
    """
    if separator == "none":
        return None
    token = getattr(tokenizer, f"{separator}_token_id")
    if token is None:
        others = ["eos"] if separator == "bos" and tokenizer.eos_token_id is not None else []
        others += ["bos"] if separator == "eos" and tokenizer.bos_token_id is not None else []
        raise InputError(
            f"separator '{separator}' needs a token {separator.upper()} and the model's tokenizer "
            f"has none; set activations.separator: {' or '.join([*others, 'none'])}"
        )
    return int(token)


def tokenizer_digest(tokenizer: Any) -> str:
    """Return a sha256 that identifies a tokenizer."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    content = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab()))
    return hashlib.sha256(content.encode()).hexdigest()
