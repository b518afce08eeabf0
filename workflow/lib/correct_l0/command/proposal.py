"""Settings of a study of a person's own model and text, with sizes that fit both.

What is proposed, and why: the width is the activations', as two seeds of a wider SAE agree only
after far more training; each latent sees 10,000 tokens, as with few the seeds find different
latents and no L0 can be named; the L0 are searched from a sixtieth of the width to two fifths of
it, where worlds of known truth have theirs; two seeds, without which stability is unknown.
docs/your-model.md says the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from correct_l0.command.named import beside, model_config, separator_of, text_section
from correct_l0.errors import InputError
from correct_l0.settings.base import plain_name
from correct_l0.sources.language_model.checks import check_hook_name
from correct_l0.sources.language_model.model_files import (
    block_index,
    count_layers,
    count_positions,
    hidden_size,
    is_local,
)

WIDTH = 1
"""Latents to a dimension of the activations."""

WIDEST = 2
"""Latents to a dimension, beyond which the L0 grow with the width no more."""

LOWEST, HIGHEST = 1 / 60, 1 / 2.5
"""L0 that are searched, to a latent."""

BUDGET = 36
"""The most trainings of the search."""

TOKENS_PER_LATENT = 10_000
"""Training tokens to a latent."""

FEWEST_PER_LATENT = 1000
"""Training tokens to a latent without which no answer is to be hoped for."""


USED = 0.8
"""Share of what a text is thought to hold that is asked of it."""

MOST_CACHED = 100_000_000
"""Most tokens cached unasked; training goes over them again."""

MOST_EPOCHS = 20
"""Times that training goes over the cached tokens, unasked."""

MOST_HELD_OUT = 100_000
"""Tokens held out, of a text that has them."""

LEAST_TOKENS = 50_000
"""Asked of any text: of fewer too little is held out to measure on."""

FEWEST_LATENTS = 16
"""Latents that leave room for a search."""

ENCODERS = ("bert", "roberta", "mpnet", "electra", "camembert", "xlm-roberta", "distilbert")
"""Model types that see a text from both sides: a document is a context."""


@dataclass(frozen=True)
class Wishes:
    """What was asked for; empty or 0: to be proposed."""

    model: str = ""
    text: str = ""
    hook: str = ""
    d_sae: int = 0
    training_tokens: int = 0
    text_field: str = "text"


class Asked:
    """Asks a person on the terminal."""

    def __call__(self, question: str, proposal: str = "") -> str:
        """Return the answer, the proposal where it is empty."""
        shown = f" [{proposal}]" if proposal else ""
        return input(f"{question}{shown}: ").strip() or proposal

    def choose(self, question: str, options: Sequence[str], proposal: str) -> str:
        """Return an option by its number, or whatever else was typed."""
        for number, option in enumerate(options):
            print(f"  {number:>3}  {option}")
        answer = self(question, proposal)
        is_number = answer.isdecimal() and int(answer) < len(options)
        return options[int(answer)] if is_number else answer


@dataclass(frozen=True)
class Proposal:
    """The settings of a new study, remarks for the comments beside them, and what to say aloud."""

    settings: dict[str, Any]
    remarks: dict[str, str]
    warnings: tuple[str, ...] = ()


def propose(wishes: Wishes, config: Path, ask: Asked | None = None) -> Proposal:
    """Return the settings of a study of a person's model and text.

    Parameters
    ----------
    wishes
        What was asked for.
    config
        The file it is for: relative paths are made to start from its folder.
    ask
        Asks for what the wishes leave open; None: nobody is there to answer.

    Raises
    ------
    InputError
        If the model or the text is not named or cannot be used.
    """
    source = wishes.model or (ask("Your model: a folder, or a name on the hub") if ask else "")
    if not source:
        raise InputError("--model is not set; name a model's folder or its name on the hub")
    known = model_config(source)
    layers, d_in = count_layers(known), hidden_size(known)
    if not layers or not d_in:
        raise InputError(
            f"model {source!r}: its config.json names no number of blocks and no width; write "
            "hook_name and d_in by hand after config/config.yaml"
        )
    hook = _hook(wishes, layers, ask)
    text = wishes.text or (
        ask("Your text: files (mine/*.jsonl), or a dataset's name") if ask else ""
    )
    if not text:
        raise InputError("--text is not set; name text files, or a dataset on the hub")
    section, thought = text_section(text, wishes.text_field, config.parent)
    d_sae = wishes.d_sae or _number(ask, "Latents", WIDTH * d_in)
    if d_sae < FEWEST_LATENTS:
        raise InputError(
            f"{d_sae} latents are too few to search an L0; give {FEWEST_LATENTS} or more"
        )
    room = MOST_CACHED if thought is None else max(int(USED * thought), LEAST_TOKENS)
    held_out = _round(min(MOST_HELD_OUT, room // 10))
    most = min(TOKENS_PER_LATENT * d_sae, MOST_EPOCHS * (room - held_out))
    tokens = wishes.training_tokens or _number(ask, "Training tokens", _round(most))
    if thought is not None and thought < LEAST_TOKENS:
        raise InputError(
            f"text {text!r} holds about {thought:,.0f} tokens, and a study takes {LEAST_TOKENS:,} "
            "at the least, better millions; name more text"
        )
    cached = _round(min(tokens, room - held_out, MOST_CACHED))
    batch = min(4096, max(256, _power(tokens // 4000)), held_out)
    encoder = known.get("model_type") in ENCODERS
    positions = count_positions(known) or 1024
    name = plain_name(config.stem, "study")
    activations = {
        "cache": name,
        "model": {"source": beside(source, config.parent) if is_local(source) else source},
        "hook_name": hook,
        "d_in": d_in,
        "text": section,
        "context_size": min(128 if encoder else 1024, positions),
        "packing": "documents" if encoder else "concatenate",
        **({} if encoder else {"separator": separator_of(source)}),
        "special_tokens": "drop" if encoder else "keep",
        "training_tokens": cached,
        "held_out_tokens": held_out,
    }
    saes = {
        "d_sae": d_sae,
        "l0": searched(d_sae, d_in),
        "seeds": [0, 1],
        "training": {
            "training_tokens": tokens,
            "batch_tokens": batch,
            "lr": 1e-3 if d_sae <= 4096 else 3e-4,
        },
    }
    epochs = tokens / cached
    remarks = {
        "d_in": f"the width of this model, {layers} blocks deep",
        "l0": "searched: six points, then more where the answer is; or a list",
        "seeds": "two or more: an L0 is named where they find the same latents",
        "d_sae": f"{d_sae / d_in:.3g} to a dimension",
        "training_tokens of saes": f"{tokens / d_sae:,.0f} to a latent"
        + (f", {epochs:.1f} times over the cached ones" if epochs > 1.05 else ""),
        "training_tokens of activations": "cached for training"
        if thought is None
        else f"cached for training; the text is thought to hold {thought:,.0f} or so",
    }
    settings = {"study": name, "activations": activations, "saes": saes}
    few = tokens < FEWEST_PER_LATENT * d_sae
    warning = (
        f"only {tokens / d_sae:,.0f} training tokens to a latent, and below {FEWEST_PER_LATENT:,} "
        "no answer is to be hoped for: give more text or more training tokens, or fewer latents"
    )
    return Proposal(settings, remarks, (warning,) if few else ())


def searched(d_sae: int, d_in: int) -> dict[str, int]:
    """Return the proposed search for the L0 of a width.

    Examples
    --------
    >>> searched(384, 384)
    {'from': 6, 'to': 150, 'budget': 36}

    The L0 of an SAE of many latents are those of twice as many as dimensions:

    >>> searched(32_768, 2304) == searched(4608, 2304)
    True
    """
    latents = min(d_sae, WIDEST * d_in)
    lowest, highest = max(1, round(LOWEST * latents)), _round(int(HIGHEST * latents))
    return {"from": lowest, "to": highest, "budget": BUDGET}


def _number(ask: Asked | None, question: str, proposal: int) -> int:
    if ask is None:
        return proposal
    answer = ask(question, str(proposal)).replace(",", "").replace("_", "")
    if not answer.isdecimal() or int(answer) < 1:
        raise InputError(f"{question} {answer!r}: not a whole number above 0; type digits")
    return int(answer)


def _hook(wishes: Wishes, layers: int, ask: Asked | None) -> str:
    options = [f"blocks.{block}.hook_resid_post" for block in range(layers)]
    hook = wishes.hook
    if not hook:
        middle = options[(layers - 1) // 2]
        asked = "The tensor, by number: the residual stream after each block"
        hook = ask.choose(asked, options, middle) if ask else middle
    check_hook_name(hook)
    block = block_index(hook)
    if block is not None and block >= layers:
        raise InputError(
            f"hook {hook!r}: the model has {layers} blocks, 0 to {layers - 1}; name one of them"
        )
    return hook


def _round(tokens: int) -> int:
    """Return a number that a reader takes in at once: two digits, then zeros.

    Examples
    --------
    >>> _round(131_072), _round(8191)
    (130000, 8100)
    """
    step = 10 ** max(0, int(math.log10(max(tokens, 1))) - 1)
    return tokens // step * step


def _power(value: int) -> int:
    """Return the power of two at or below a value.

    Examples
    --------
    >>> _power(1919), _power(0)
    (1024, 1)
    """
    return int(2 ** (max(value, 1).bit_length() - 1))
