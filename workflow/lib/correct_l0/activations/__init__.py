"""Activation caches: text, forward passes, Zarr shards, and their readers.

`RECIPE` changes when the same settings and text give other numbers in the cache,
`PROBING_RECIPE` when they give other activations of the probing prompts.
"""

RECIPE = 1
PROBING_RECIPE = 1
