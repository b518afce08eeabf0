"""Stability: whether SAEs that differ only in their seed find the same latents.

Incoming: the decoders of one point of a sweep, one per seed. Rows may have any length. No truth is
needed.

`RECIPE` changes when the same decoders give other numbers.
"""

RECIPE = 1
ALONG = "stability_training.csv"
"""How alike seeds were along their training, where their decoders were kept."""
