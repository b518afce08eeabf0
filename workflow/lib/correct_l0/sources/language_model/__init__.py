"""Activation caches: text, forward passes, Zarr shards, and their readers.

`RECIPE` changes when the same settings and text give other numbers in the cache.
"""

RECIPE = 1
