"""Recovery: which true features an SAE found, where the truth is known.

Incoming: one trained SAE, the directions of the true features, and held-out samples with the
features that fire on them. Rows of the decoder and directions may have any length.

`RECIPE` changes when the same SAE, features and samples give other numbers.
"""

RECIPE = 1
