"""How each number of a toy study is computed, and where the paper contradicts itself, in words."""

from __future__ import annotations

from correct_l0.reading.curve import PRIOR_WEIGHT
from correct_l0.report.methods import METHODS as LANGUAGE_MODEL_METHODS
from correct_l0.toy_model.report.claims.judgement import MOST
from correct_l0.toy_model.report.claims.sweep import RIGHT
from correct_l0.toy_model.report.claims.training import REACHED

SHARED = ("c_dec", "Minimum and its set", "Jump and elbow")
"""What is computed as in the language-model study, by the same functions."""

_SHARED_TEXTS = tuple((name, text) for name, text in LANGUAGE_MODEL_METHODS if name in SHARED)

TOY_METHODS: tuple[tuple[str, str], ...] = (
    (
        "The toy model",
        "Every sample is the sum of the features that fire, each times a magnitude max(0, mean + "
        "std · noise). A feature fires where its Gaussian is above its probability's quantile; "
        "the Gaussians are correlated. The true L0 is the mean number of features that fire: the "
        "sum of the probabilities, whatever the correlations.",
    ),
    (
        "L0",
        "Mean number of active latents per sample. The target is BatchTopK's k in training; "
        "fractions are allowed, as k times the batch is rounded down to whole latents.",
    ),
    (
        "Best cosine",
        "Latents are matched to true features, one to one, so that the sum of |cosine| is largest "
        "(Hungarian assignment). A feature's best cosine is that with its latent. A latent, or the "
        f"mean over features, is called right from {RIGHT:g} on.",
    ),
    (
        "s_n^dec",
        "Z = (x − b_dec) W_decᵀ over one batch of b samples, its b · d_sae values in descending "
        "order, the one at position n · b, counted from 0. On unit norms decoder rows are first "
        "brought to length 1; on raw norms they are as trained, so that rows of different length "
        "weigh differently. The verdict reads unit norms.",
    ),
    (
        "The SAE with the true features",
        "W_enc is the transpose of the features, W_dec the features, biases are zero; L0 is set by "
        "BatchTopK, as for a trained one.",
    ),
    *_SHARED_TEXTS,
    (
        "Noise",
        "Points are compared by paired differences over seeds. Few seeds estimate a variance "
        "badly, so a pair's own variance, with weight (seeds − 1), is averaged with the curve's "
        f"typical one, with weight {PRIOR_WEIGHT:g}. With one seed the curve's raggedness stands "
        "in.",
    ),
    (
        "Held against the truth",
        "The curves are read without the truth. The answer finds the true L0 where the L0 it "
        "names is the grid point nearest to it; otherwise the truth lies inside its interval, or "
        "it misses.",
    ),
    (
        "Verdicts of the ledger",
        "Each is computed from the tables by the threshold in its row. A claim about one SAE is "
        f"tested for each seed: reproduced where it holds in at least {MOST:.0%} of them, partly "
        "where in some. “Level” means within 2 standard errors. Confounded as published: what was "
        "run does not test what is claimed. Not run: this study has no data for it.",
    ),
    (
        "Transitions",
        "L0 changes linearly, in fractional steps. The text's schedule (25,000 steps, then 5,000 "
        "at the end) needs 30,000 steps, so a batch of 500 for 15M samples. In the code the batch "
        "is 1024 and the training ends after 14,648 steps, before the ramp. Here a run counts for "
        f"a claim only where its last L0 is within {REACHED:g} of the intended one.",
    ),
    (
        "Where the paper contradicts itself",
        "Batch size: 500 in section 3, 1024 in appendix A.2 and in the code. Firing probabilities: "
        "the text's line, from 0.345 to 0.05, sums to 9.875 and not to the stated 11; the code's, "
        "from 0.388, sums to 10.95. Automatic L0: the formula subtracts the bias from the slope, "
        "which makes a descending optimiser raise L0, while the text wants it lower; both are run. "
        "Variance explained: “more than twice” at L0 1 and 2 fits shares of the squared norm; "
        "about the mean, the right SAE explains less than none at L0 1. Figure 2 of the early "
        "version shows n = 12 and 20, its text speaks of 18 and 22.",
    ),
)
