"""The experiments of a toy study, one module each.

`RECIPE` changes when the same settings and seed give other numbers.
"""

RECIPE = 1
