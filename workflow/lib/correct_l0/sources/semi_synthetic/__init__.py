"""The semi-synthetic source: activations that an existing SAE decodes from its own codes.

In: an SAE in its folder, the sealed activation cache it was trained on. Out: a source whose firing
rates, correlations and geometry are a language model's own, and whose features, the SAE's latents,
are known. On disk it is small: which latents fire, and how often.

`RECIPE` changes when the same SAE and cache give other samples.
"""

RECIPE = 1

STAGE = "make_semi_synthetic"
