"""s_n^dec, c_dec and decoder projections: metrics that need an SAE's decoder and held-out tokens.

Incoming: one trained SAE and the held-out part of an activation cache. Everything is in the units
the SAE was trained in: raw activations times the SAE's `activation_scale`.

`RECIPE` changes when the same SAE, tokens and settings give other numbers.
"""

RECIPE = 2
