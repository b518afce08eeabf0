"""Every claim that is judged: of the paper's toy models, its later versions, its companion."""

from __future__ import annotations

from functools import partial

from paper.claims import (
    later,
    metrics,
    others,
    reconstruction,
    sweep,
    training,
)
from paper.claims.judgement import MOST, Claim

SWEEP = "The toy model and the sweep over L0"
METRICS = "Which L0 the decoder metrics name"
TRAINING = "L0 that changes during training"
OTHERS = "Small model, superposition, JumpReLU"
THEORY = "Theory"
LANGUAGE_MODELS = "Language models (later versions)"
HEDGING = "Hedging (the companion paper, arXiv 2505.11756)"

_SEEDS = f"in {MOST:.0%} of the seeds"
_NEARLY = f"; partly: in some, or {sweep.NEARLY_RIGHT:g} in {MOST:.0%}"
_EXACT = (
    f"mean best cosine of at least {sweep.RIGHT:g} and the worst feature's of at least "
    f"{sweep.NEARLY_RIGHT:g} {_SEEDS}; partly: in some, or a mean of {sweep.NEARLY_RIGHT:g} in "
    f"{MOST:.0%}"
)
_BARELY = f"; partly: in some, or below {sweep.RIGHT:g} in {MOST:.0%}"
_WRONG = f"mean best cosine below {sweep.NEARLY_RIGHT:g} {_SEEDS}{_BARELY}"
_LOWEST = "lowest mean over seeds at the grid point nearest to the true L0"
_ALL_LOWEST = f"{_LOWEST}, for all n; partly: for half of the n there or level with it"
_READINGS = "by every reading of the rule that was run; partly: by one"
_FOUND = f"within {training.SETTLED:g} of the true L0 and settled {_SEEDS}, {_READINGS}"
_AUTO = "early app. A.4; later app. A.11"
_TRANSITION = "early app. A.3, fig. 8; later fig. 16"
_BATCHES = ((500, "batch of the text"), (1024, "batch of the code"))
_RUNS = f"in {MOST:.0%} of the runs that reach 11"
_RIGHT_RUNS = f"mean best cosine of at least {sweep.RIGHT:g} {_RUNS}{_NEARLY}"
_WRONG_RUNS = f"mean best cosine below {sweep.NEARLY_RIGHT:g} {_RUNS}{_BARELY}"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "true_l0", SWEEP, "On average 11 features fire", "early sec. 3", "11",
        f"within {sweep.TRUE_L0_TOLERANCE:g} of it", "sweep", sweep.true_l0,
    ),
    Claim(
        "text_probabilities", SWEEP,
        "Probabilities that fall linearly from 0.345 to 0.05, with a true L0 of 11", "early sec. 3",
        "11",
        f"the text's line sums to within {sweep.TRUE_L0_TOLERANCE:g} of it; confounded where only "
        "the code's does",
        "sweep", sweep.text_probabilities,
    ),
    Claim(
        "recovers", SWEEP, "At L0 11 the SAE exactly learns the true features",
        "early sec. 3, fig. 1b; later fig. 1", "exactly", _EXACT, "sweep", sweep.recovers,
    ),
    Claim(
        "low_all_wrong", SWEEP, "At L0 5 every latent is affected",
        "early sec. 3, fig. 1a; later fig. 1", "every latent",
        f"at most {sweep.FEW_LATENTS:.0%} of the latents with a cosine of {sweep.RIGHT:g} {_SEEDS}",
        "sweep", sweep.low_is_all_wrong,
    ),
    Claim(
        "low_mixes_correlated", SWEEP, "At L0 5 latents mix components of correlated features",
        "early sec. 3, fig. 1a; later fig. 1", "figure",
        "rank correlation of cosine and correlation of the firings, both signed, over pairs of at "
        f"least {sweep.CLEAR_RANK:g} {_SEEDS}",
        "sweep", sweep.low_mixes_correlated,
    ),
    Claim(
        "low_breaks_frequent", SWEEP, "At L0 5 latents of frequent features are broken most",
        "early sec. 3, fig. 1a; later fig. 1", "figure",
        f"rank correlation of a latent's cosine with its feature's probability of at most "
        f"−{sweep.CLEAR_RANK:g} {_SEEDS}",
        "sweep", sweep.low_breaks_frequent,
    ),
    Claim(
        "high_mixes", SWEEP, "At L0 18 the SAE learns degenerate mixtures",
        "early sec. 3, fig. 1c; later fig. 1", "figure", _WRONG, "sweep", sweep.high_mixes,
    ),
    Claim(
        "high_many_right", SWEEP, "At L0 18 many latents are right all the same",
        "early sec. 3, fig. 1c; later fig. 1", "many",
        f"at least {sweep.MANY_LATENTS:.0%} of the latents with a cosine of {sweep.RIGHT:g} "
        f"{_SEEDS}",
        "sweep", sweep.high_has_many_right,
    ),
    Claim(
        "further_worse", SWEEP, "The further L0 is from the true one, the more broken the SAE",
        "early sec. 3", "stated",
        f"rank correlation of distance and mean best cosine of at most −{sweep.STRONG_RANK:g} on "
        "both sides; partly: on one",
        "sweep", sweep.further_is_worse,
    ),
    Claim(
        "mse", SWEEP, "At L0 5 the wrong SAE has a lower MSE than the right one",
        "early sec. 3.1; later sec. 3.3", "2.73 against 4.88",
        f"lower {_SEEDS}, both values within {reconstruction.MSE_TOLERANCE:.0%}; partly: only "
        "lower",
        "sweep", reconstruction.wrong_reconstructs_better,
    ),
    Claim(
        "crossing", SWEEP,
        "Trained SAEs explain more variance than the right one below the true L0 only",
        "early app. A.2, fig. 6; later fig. 4", "crosses at 11",
        f"ahead by more than {reconstruction.BEATS:g} from the lowest L0 on without a gap and "
        f"nowhere above the true L0; partly: up to {reconstruction.CROSSING_TOLERANCE:g} above it",
        "sweep", reconstruction.beats_only_below,
    ),
    Claim(
        "twice_variance", SWEEP, "At L0 1 and 2 they explain more than twice the variance",
        "early app. A.2, fig. 7; later fig. 5", "over 2 times",
        f"more than {reconstruction.TWICE:g} times at both {_SEEDS}, as shares of the squared "
        "norm (about the mean, the right SAE explains less than none at L0 1)",
        "sweep",
        reconstruction.twice_the_variance,
    ),
    Claim(
        "little_resemblance", SWEEP, "At L0 1 and 2 latents bear little resemblance to features",
        "early app. A.2, fig. 7; later fig. 5", "figure",
        f"mean best cosine below {sweep.HALF_OF_SQUARE:.3f} (half of the squared norm) at both "
        f"{_SEEDS}",
        "sweep", sweep.little_resemblance,
    ),
    Claim(
        "s_n_published", METRICS, "s_n^dec is minimal at the true L0 for n = 12, 18, 20, 22",
        "early sec. 3.2, fig. 2; later fig. 18", "11", _ALL_LOWEST, "sweep",
        partial(metrics.s_n_lowest, ns=metrics.PUBLISHED_N, norm="unit"),
    ),
    Claim(
        "s_n_all", METRICS, "s_n^dec is minimal at the true L0 for every n in 12 to 25",
        "authors' code; later app. A.9", "11", _ALL_LOWEST, "sweep",
        partial(metrics.s_n_lowest, ns=metrics.ALL_N, norm="unit"),
    ),
    Claim(
        "s_n_all_raw", METRICS, "The same with decoder rows as trained, not brought to unit norm",
        "authors' code; later app. A.9", "11", _ALL_LOWEST, "sweep",
        partial(metrics.s_n_lowest, ns=metrics.ALL_N, norm="raw"),
    ),
    Claim(
        "s_n_flat_above", METRICS, "s_n^dec is flat where L0 is slightly above the true one",
        "early sec. 3.2, fig. 2", "figure",
        f"rises by at most {metrics.FLAT_ABOVE_SHARE:.0%} of its jump up to "
        f"{metrics.FLAT_ABOVE_REACH:g} times the true L0, for each published n; partly: for some",
        "sweep", metrics.flat_above,
    ),
    Claim(
        "s_n_shallower", METRICS, "A larger n has a shallower slope towards the minimum",
        "early sec. 4, fig. 2; later fig. 18", "figure",
        f"rank correlation of n and the fall per unit of L0 of at most −{sweep.STRONG_RANK:g}; "
        "partly: the largest n falls less than the smallest",
        "sweep", metrics.shallower_with_n,
    ),
    Claim(
        "c_dec", METRICS, "c_dec is minimal at the true L0", "later fig. 6", "11",
        f"{_LOWEST}; partly: level with the true L0", "sweep", metrics.c_dec_lowest,
    ),
    Claim(
        "down", TRAINING, "From L0 20 down to 11 the SAE ends with correct features", _TRANSITION,
        "correct", _RIGHT_RUNS, "transitions",
        partial(training.transition, direction="down", right=True),
    ),
    *(
        Claim(
            f"down_{batch}", TRAINING, f"The same, with a batch of {batch}",
            f"{_TRANSITION}; {source}", "correct", _RIGHT_RUNS, "transitions",
            partial(training.transition, direction="down", right=True, batch_size=batch),
        )
        for batch, source in _BATCHES
    ),
    Claim(
        "up", TRAINING, "From L0 2 up to 11 the features stay wrong", _TRANSITION, "wrong",
        _WRONG_RUNS, "transitions",
        partial(training.transition, direction="up", right=False),
    ),
    *(
        Claim(
            f"up_{batch}", TRAINING, f"The same, with a batch of {batch}",
            f"{_TRANSITION}; {source}", "wrong", _WRONG_RUNS, "transitions",
            partial(training.transition, direction="up", right=False, batch_size=batch),
        )
        for batch, source in _BATCHES
    ),
    Claim(
        "up_as_published", TRAINING, "The same with the schedule of the authors' code",
        f"{_TRANSITION}; 25,000 steps of ramp within 14,648", "wrong",
        f"confounded where L0 ends more than {training.REACHED:g} from 11", "transitions",
        training.published_upward_schedule,
    ),
    Claim(
        "auto", TRAINING, "The automatic L0 works very well in toy models", _AUTO, "stated",
        f"finds the true L0 from every start above it, {_READINGS} or from some", "auto_l0",
        training.automatic_overall,
    ),
    *(
        Claim(
            f"auto_{start}", TRAINING, f"The automatic L0 started at {start} ends at the true L0",
            _AUTO, "11", _FOUND, "auto_l0", partial(training.automatic, start_l0=start),
        )
        for start in (25, 20, 15)
    ),
    Claim(
        "auto_5", TRAINING, "Started too low, at 5, the automatic L0 does not recover the features",
        _AUTO, "wrong", f"mean best cosine below {sweep.NEARLY_RIGHT:g} {_SEEDS}, {_READINGS}",
        "auto_l0",
        partial(training.automatic_from_below, start_l0=5),
    ),
    Claim(
        "small_recovers", OTHERS, "Five features: at the true L0, 2, the SAE has them",
        "later figs. 2-3, 11-14", "figure",
        f"mean best cosine of at least {sweep.RIGHT:g} in {MOST:.0%} of the SAEs, both signs of "
        f"the correlation, from random starts{_NEARLY}",
        "small_model", others.small_recovers,
    ),
    Claim(
        "small_leaves", OTHERS, "Five features: at L0 1.8 the SAE leaves the truth it started from",
        "later figs. 2-3, 11-14", "figure",
        f"mixing of at least {others.MIXED:g} for both correlations {_SEEDS}", "small_model",
        others.small_leaves_truth,
    ),
    Claim(
        "mixing_correlation", OTHERS, "Mixing grows with the correlation", "later figs. 11-14",
        "figure",
        f"rank correlation with |correlation| of at least {sweep.STRONG_RANK:g} on both sides of "
        "zero; partly: on one",
        "small_model", others.mixing_by_correlation,
    ),
    Claim(
        "mixing_l0", OTHERS, "Mixing falls as L0 rises from 1.7 to 2, where it is gone",
        "later figs. 11-14", "figure",
        f"rank correlation with L0 of at most −{sweep.STRONG_RANK:g}, and below {others.MIXED:g} "
        "at the highest; partly: one of the two",
        "small_model", others.mixing_by_l0,
    ),
    Claim(
        "superposition_recovers", OTHERS,
        "50 features in 40 dimensions: the SAE at the true L0 is the nearest to them",
        "later fig. 15", "figure", f"highest mean best cosine at the true L0 {_SEEDS}",
        "superposition", others.superposition_recovers,
    ),
    Claim(
        "superposition_c_dec", OTHERS,
        "50 features in 40 dimensions: c_dec is minimal at the true L0", "later fig. 15", "11",
        f"{_LOWEST}; partly: level with the true L0", "superposition",
        partial(metrics.c_dec_lowest, table="superposition"),
    ),
    Claim(
        "jumprelu_sticks", OTHERS, "JumpReLU: over a range of lambda L0 sticks near 11",
        "later fig. 7", "near 11",
        f"within {others.STICKS_WITHIN:.0%} of the true L0 over a factor of "
        f"{others.STICKS_OVER:g} of lambda; partly: at two neighbouring lambdas",
        "jumprelu", others.jumprelu_sticks,
    ),
    Claim(
        "jumprelu_c_dec", OTHERS, "JumpReLU: c_dec is minimal near the true L0", "later fig. 7",
        "near 11", f"lowest at an L0 within {others.STICKS_WITHIN:.0%} of it {_SEEDS}",
        "jumprelu", others.jumprelu_c_dec,
    ),
    *(
        Claim(
            f"loss_{name}", THEORY,
            f"A tied latent that mixes two features with weight {alpha:g} has this expected loss",
            "later version, theory", f"{loss:g}",
            f"formula within {others.LOSS_TOLERANCE:g}, simulation within "
            f"{others.SIMULATED_TOLERANCE:.0%}; partly: one of the two",
            "theory", partial(others.expected_loss, alpha=alpha, published=loss),
        )
        for name, alpha, loss in (("right", 1.0, 0.4), ("mixed", 0.6, 0.154))
    ),
    *(
        Claim(
            f"{study}_{what}", LANGUAGE_MODELS, f"{called}: {of} at about {published}",
            where, published,
            f"within a factor of {later.NEAR:g}; partly: of 2", "language_models",
            partial(later.c_dec_at, study=study, what=what, low=low, high=high),
        )
        for study, what, called, of, where, published, low, high in (
            ("gemma-2-2b-layer-12", "minimum", "Gemma-2-2b layer 12", "c_dec is lowest",
             "later versions", "200", 200, 200),
            ("gemma-2-2b-layer-12-jumprelu", "minimum", "Gemma-2-2b layer 12, JumpReLU",
             "c_dec is lowest", "later versions", "250 to 300", 250, 300),
            ("gemma-2-2b-layer-5", "elbow", "Gemma-2-2b layer 5", "the elbow of c_dec is",
             "later versions", "200", 200, 200),
            ("llama-3.2-1b-layer-7", "minimum", "Llama-3.2-1b layer 7", "c_dec is lowest",
             "later versions", "200", 200, 200),
            ("llama-3.2-1b-layer-7", "elbow", "Llama-3.2-1b layer 7", "the elbow of c_dec is",
             "later versions", "200", 200, 200),
        )
    ),
    Claim(
        "gemma-2-2b-layer-20_read", LANGUAGE_MODELS,
        "Gemma-2-2b layer 20: c_dec falls to a lowest point inside the grid",
        "later versions", "figure", "c_dec is read, neither flat nor lowest at an end",
        "language_models", partial(later.c_dec_is_read, study="gemma-2-2b-layer-20"),
    ),
    *(
        Claim(
            f"one_latent_{case}", HEDGING, f"One latent, two {case} features: {claim}",
            "toy models, one latent", published,
            f"|cosine| with the other feature {limit} {later.CLEAR:g} {_SEEDS}", "hedging",
            partial(later.part_of_other, case=case, sign=sign),
        )
        for case, claim, published, limit, sign in (
            ("independent", "the latent is right", "no part", "below", 0),
            ("hierarchical", "it has a part of the child", "positive", "(positive) at least", 1),
            ("correlated", "it has a part of the other", "positive", "(positive) at least", 1),
            ("anti-correlated", "it has a negative part of the other", "negative",
             "(negative) at least", -1),
        )
    ),
    Claim(
        "two_latents_absorb", HEDGING,
        "With a latent for each, a parent and its child are absorbed instead",
        "toy models, two latents", "figure",
        f"the child's latent has the parent, and the parent's encoder none of the child (a cosine "
        f"of {later.CLEAR:g} or more) {_SEEDS}",
        "hedging", later.absorbs,
    ),
    *(
        Claim(
            f"hedging_by_width_{name}", HEDGING,
            f"The narrower an SAE, the more it hedges: {of}", where, published,
            f"rank correlation of width and hedging rate of at most −{sweep.STRONG_RANK:g} at "
            f"{MOST:.0%} of the L0; partly: at some",
            "widths", partial(later.falls_with_width, study=study, why=why),
        )
        for name, of, where, published, study, why in (
            ("gemma", "Gemma-2-2b layer 12, 128 to 65,536 latents, 64 new ones", "hedging rate",
             "falls", "gemma-2-2b-layer-12-widths", later.NEEDS),
            ("synthetic", "200 known features, 25 to 400 latents, 8 new ones",
             "abstract, on known features", "falls", "synthetic-width", "not run"),
        )
    ),
)  # fmt: skip
"""The ledger, in the order of the page."""
