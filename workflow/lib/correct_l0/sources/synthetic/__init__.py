"""The synthetic source: a world whose features are known, so an answer can be held against it.

In: settings of the features' directions, firings and magnitudes. Out: a world (arrays and a
manifest), an endless stream of samples to train on, held-out samples, and the truth about these.

`RECIPE` changes when the same settings and seeds give other samples.
"""

RECIPE = 1

STAGE = "make_world"
