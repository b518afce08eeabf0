"""Sparse probing of SAE latents, by the protocol of Kantamneni et al. as in sae-probes 0.4.2.

Incoming: an SAE and the probing activations of the cache. Outgoing: F1, accuracy and AUC per task
and number of latents in the probe.

`RECIPE` changes when the same SAE, activations and settings give other numbers, `CACHE_RECIPE` when
the same model and prompts give other activations of the prompts.
"""

RECIPE = 1
CACHE_RECIPE = 1
