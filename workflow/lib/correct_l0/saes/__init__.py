"""BatchTopK SAEs: one per target L0 and seed, trained on cached activations.

`RECIPE` changes when the same settings, seed and activations give other numbers.
"""

RECIPE = 3
