"""The tables of a toy study: their columns, in order. A table without rows keeps its columns.

`l0` is the target, `l0_measured` what the SAE does on samples it was not trained on, `mse` the
squared error per sample summed over d_in, `mean_best_cosine` and `min_best_cosine` the mean and the
smallest |cosine| of the true features with their latents (one latent per feature).
"""

from __future__ import annotations

COLUMNS: dict[str, tuple[str, ...]] = {
    "points": (
        "l0", "l0_measured", "seed", "mse", "variance_explained", "power_explained",
        "mean_best_cosine", "min_best_cosine", "dead_latents", "wall_s", "steps", "samples",
        "batch_size", "device", "code_version",
    ),
    "c_dec": ("l0", "l0_measured", "seed", "value"),
    "s_n_dec": ("l0", "l0_measured", "seed", "n", "norm", "value"),
    "truth": ("quantity", "value"),
    "ground_truth": (
        "l0", "l0_measured", "mse", "variance_explained", "power_explained", "c_dec",
    ),
    "ground_truth_s_n_dec": ("n", "value"),
    "features": ("feature", "probability", "rate"),
    "correlations": ("i", "j", "configured", "expected", "measured"),
    "cosines": ("experiment", "run", "l0", "seed", "latent", "feature", "cosine"),
    "transitions": (
        "run", "direction", "start_l0", "end_l0", "batch_size", "ramp_steps", "final_steps", "seed",
        "l0_end_reached", "mean_best_cosine", "min_best_cosine", "c_dec",
    ),
    "trajectories": (
        "experiment", "run", "rule", "start_l0", "seed", "step", "samples", "l0", "s_n_dec",
        "c_dec",
    ),
    "small_model": (
        "experiment", "correlation", "l0", "seed", "init", "mixing", "mean_best_cosine", "mse",
    ),
    "superposition": (
        "l0", "l0_measured", "seed", "d_in", "mse", "mean_best_cosine", "c_dec",
    ),
    "s_n_dec_superposition": ("l0", "l0_measured", "seed", "n", "value"),
    "jumprelu": ("lambda", "seed", "l0_measured", "c_dec", "mean_best_cosine", "mse"),
    "auto_l0": (
        "rule", "start_l0", "seed", "l0_end", "steps_to_settle", "settled", "mean_best_cosine",
        "c_dec", "failed",
    ),
}  # fmt: skip
"""Columns by table.

points, ground_truth
    `variance_explained` is 1 - squared error / squared distance from the mean; `power_explained` is
    1 - squared error / squared norm, which the paper's "more than twice" at L0 1 and 2 fits.
truth
    `quantity` is one of: true_l0_formula (sum of the probabilities), true_l0_measured,
    true_l0_text_formula (the sum by the paper's text), features, d_in, c_dec_features (mean
    absolute cosine of the true features), superposition_true_l0, superposition_c_dec_features.
correlations
    Each pair i < j once. `configured`: of the Gaussians; `expected`: of the firings, by the
    bivariate normal distribution; `measured`: of the firings, on samples.
cosines
    `latent` counts in the order of the matched features: latent 3 is the one matched to feature 3;
    latents beyond the number of features come last. `run` is `l0_<l0>` where nothing else
    distinguishes the runs. Experiments: sweep, ground_truth, transitions, small_model,
    superposition.
transitions
    `run` is the schedule's name, `direction` is `down` or `up`. `l0_end_reached` is the L0 of the
    last training step.
trajectories
    Along the training, at equal distances. `rule` is `fixed` for transitions; `s_n_dec` is what the
    rule reads and missing where it reads none.
small_model
    `experiment`: true_l0, init, mixing_correlation or mixing_l0. `mixing`: mean over the other
    latents of |cosine| with feature 0 (see `matching.mixing`). `init`: random or truth.
auto_l0
    `steps_to_settle`: the step after which L0 stays within the tolerance of where it ends;
    `failed`: the reason in words, empty where the rule ended at the true L0.
"""

TABLES = tuple(COLUMNS)
