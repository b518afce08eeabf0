"""The sizes at which the check works: the paper's, and small ones for a CPU."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shapes:
    """All sizes of a run of the check."""

    d_in: int
    """Width of the activations of the steps that are timed, and of the study."""
    d_sae: int
    batch_tokens: int
    checked: tuple[int, int, int]
    """(d_in, d_sae, batch_tokens) of the steps held against float64, many of them."""
    grouped: tuple[int, int, int]
    """The same of the trainings whose bits are compared."""
    grouped_l0: tuple[int, ...]
    grouped_steps: int
    checked_l0: tuple[int, ...]
    step_l0: tuple[int, ...]
    """Target L0 of the timed steps, and of the group."""
    timed_steps: int
    """Steps per round."""
    rounds: int
    product: int
    """Rows and columns of the square products that tell the card's rate."""
    copied_bytes: int
    model: dict[str, int]
    """What differs from Gemma-2-2b in the configuration of the language model."""
    context_tokens: int
    model_batch: int
    """Contexts per forward pass."""
    cached_tokens: int
    held_out_tokens: int
    study_steps: int
    projected_n: tuple[int, ...]
    compiled_rival: bool
    """Whether SAELens' compiled step is tried, which takes a compiler and a minute."""


FULL = Shapes(
    d_in=2304,
    d_sae=32768,
    batch_tokens=4096,
    checked=(2304, 8192, 1024),
    grouped=(256, 2048, 1024),
    grouped_l0=(8, 50, 200),
    grouped_steps=60,
    checked_l0=(8, 50, 200, 1000),
    step_l0=(20, 50, 200, 500),
    timed_steps=10,
    rounds=3,
    product=8192,
    copied_bytes=2**32,
    model={"num_hidden_layers": 14},
    context_tokens=1024,
    model_batch=16,
    cached_tokens=2**21,
    held_out_tokens=8 * 4096,
    study_steps=300,
    projected_n=(8, 16, 32, 64, 128, 256, 512, 1024),
    compiled_rival=True,
)

SMALL = Shapes(
    d_in=32,
    d_sae=1024,
    batch_tokens=128,
    checked=(32, 1200, 64),
    grouped=(16, 64, 128),
    grouped_l0=(2, 8, 20),
    grouped_steps=40,
    checked_l0=(8, 50, 200, 1000),
    step_l0=(20, 50, 200, 500),
    timed_steps=1,
    rounds=1,
    product=256,
    copied_bytes=2**20,
    model={
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "vocab_size": 100,
    },
    context_tokens=64,
    model_batch=4,
    cached_tokens=2**12,
    held_out_tokens=8 * 128,
    study_steps=12,
    projected_n=(8, 16, 32, 64, 128, 256, 512),
    compiled_rival=False,
)
