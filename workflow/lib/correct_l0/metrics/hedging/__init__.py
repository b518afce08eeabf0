"""Hedging: how far latents move into the space of new latents, once these are there.

Incoming: one trained SAE and the rows it was trained on. `RECIPE` changes when the same SAE, rows
and settings give other numbers.
"""

RECIPE = 1
