"""The toy model: its features are known, so a reading of the curves can be held against the truth.

In: a configuration with a `toy_model` section. Out: SAEs trained on sums of known features, the
same decoder metrics as in a language model, and experiments that only a known truth allows.

`RECIPE` changes when the same settings and seeds give other numbers.
"""

RECIPE = 1

SAE_STAGE = "train_toy_sae"
PART_STAGE = "train_toy_saes"
METRICS_STAGE = "project_toy_decoders"
EXPERIMENT_STAGE = "run_toy_experiment"
TABLES_STAGE = "gather_toy_tables"
