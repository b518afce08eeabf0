"""How each number is computed, in words, for the page."""

from __future__ import annotations

from correct_l0.reading.calibrated import DROP, NOMINAL, PULL_TOO_HIGH, PULL_TOO_LOW, STAYS
from correct_l0.reading.curve import PRIOR_WEIGHT
from correct_l0.reading.health import COSINE_LIMIT, MOVED_LIMIT, SLOPE_LIMIT
from correct_l0.reading.outlying import WEIGHT_LIMIT
from correct_l0.reading.peak import FEWEST_POINTS, ORTHOGONAL, OVERLAP, PROMINENCE, SMOOTHING
from correct_l0.reading.reading import (
    FLAT_ERRORS,
    SET_ERRORS,
    TOLERANCE_OF_JUMP,
    VALLEY_RATIO,
)
from correct_l0.reading.stability import EXCESS_LIMIT, SHARE_LIMIT
from correct_l0.saes.imported import MOST_OFF, NEAR
from correct_l0.stages import STAGES
from correct_l0.study.plan import Plan
from correct_l0.study.self_check import POINTS, SEEDS, SHARE
from correct_l0.study.train_on import DECAY, WARM_UP

_OF_ROOM = {
    "F1": "probing", "F1 peak": "probing", "Stability": "stability", "Recovery": "recovery",
    "Self-check": "self_check", "Training on": "train_on", "Hedging": "hedging",
    "Imported SAEs": "weights",
    "Time in training": "training", "Was the training long enough?": "training",
}  # fmt: skip


def methods_of(plan: Plan) -> list[tuple[str, str]]:
    """Return title and text of each method that a study uses."""
    there = {stage.room for stage in STAGES if stage.asked(plan)}
    there |= set() if plan.study.saes.imported else {"training"}
    return [(name, text) for name, text in METHODS if _OF_ROOM.get(name, "saes") in there]


METHODS: tuple[tuple[str, str], ...] = (
    (
        "Imported SAEs",
        "Read by SAELens' loaders, as they are: decoder norms folded into the encoder where that "
        "leaves the codes as they are, a BatchTopK SAE whose threshold was never set run as top-k. "
        f"L0 is as announced; where there are activations it is measured, and an SAE that is off "
        f"by more than {MOST_OFF:.0%} is refused. SAEs whose announced L0 differ by at most "
        f"{NEAR - 1:.0%} are replicates, as seeds are. Too low is the L0 of those at or below the "
        "lower end of the answer.",
    ),
    (
        "L0",
        "Mean number of active latents per token. The target is BatchTopK's k in training. After "
        "training one global threshold is set on held-out tokens so that the SAE, now a JumpReLU "
        "SAE, meets the target. Other architectures keep what they learnt: TopK takes the target "
        "of every token, JumpReLU's penalty is on the distance from it, and of other penalties "
        "the coefficient is swept. Measured L0 is what the SAE does on other held-out tokens.",
    ),
    (
        "c_dec",
        "Mean over all pairs i < j of |cos(w_i, w_j)|, w_i being the rows of W_dec. An SAE "
        "with too low an L0 mixes correlated features into one latent, so that latents overlap. "
        "Random directions in d dimensions have Γ(d/2) / (√π Γ((d+1)/2)), about sqrt(2 / (π d)): "
        "that is chance. Its level depends on architecture and loss as well, at one and the same "
        "L0, so that levels are compared within one of them only. Of a Matryoshka SAE c_dec of the "
        "rows of each prefix stands beside it.",
    ),
    (
        "s_n^dec",
        "Project the centred activations of a batch of b tokens on all decoder rows, Z = (x − "
        "b_dec) W_decᵀ, sort the b · d_sae values in descending order and take the one at "
        "position n · b, counted from 0. The authors' statistic is its mean over batches; the "
        "pooled one, over all tokens at once, is in the tables. Activations are scaled as in "
        "training, to a mean norm of sqrt(d_in). n has to be above the correct L0: only then is "
        "the n-th projection one on a latent that should not fire. It need not be above the L0 of "
        "every SAE, so each curve is read over the whole grid; one that names an L0 of its n or "
        "more contradicts what it rests on and is not counted.",
    ),
    (
        "F1",
        "Sparse probing after Kantamneni et al.: per task, the probe_k latents whose class means "
        "differ most, L1 logistic regression, weighted F1 on test; mean over tasks. A constant "
        "scores 1/3, a coin 1/2. About 19% of the test prompts of all 113 tasks also occur in "
        "their training rows; F1 without these is in the table, as an addition. Controls, where "
        "probing.controls asks for them, on every eighth task and one seed: the same with all "
        "labels in random order, which is chance for these latents, and with as many latents drawn "
        "at random in place of those chosen.",
    ),
    (
        "Noise",
        "Points are compared by paired differences: over seeds for the decoder metrics (plus the "
        "standard error over batches for s_n^dec), over tasks (bootstrap) and seeds for F1. Few "
        "seeds estimate a variance badly, so a pair's own variance, with weight (seeds − 1), is "
        f"averaged with the curve's typical one, with weight {PRIOR_WEIGHT:g}. With one seed, how "
        "far each point lies off the line between its neighbours stands in for the noise, and the "
        "report says that the spread over seeds is unknown.",
    ),
    (
        "The answer",
        "With two seeds or more, the L0 at which their latents agree best: of the reproduced "
        "share, mean over pairs of seeds, smoothed over log L0 by a local line with Gaussian "
        f"weights (standard deviation {SMOOTHING:g} median grid steps), the highest peak inside "
        f"the grid that the curve rises to by {PROMINENCE:g} or more from lower L0; between grid "
        "points by the parabola through the peak and its neighbours. The start of the grid is no "
        "peak: at an L0 of a few seeds can agree on latents that are no features. Nor "
        f"is one where c_dec is above {OVERLAP:g} times that of random directions. The interval "
        f"is where the share stays within {DROP:g} of its peak, and at least half the way to the "
        "points beside it. Where c_dec is lowest inside the "
        f"grid and at most {ORTHOGONAL:.2g} times that of random directions, the interval reaches "
        "there as well, and the L0 named is halfway between, on log L0. Where the truth is known "
        f"it held the right L0 in about {NOMINAL:.0%} of the answers; docs/calibration.md of the "
        "project counts them. An L0 between two points is "
        "told in numbers about 12% apart: other kernels move it by up to a percent, other seeds by "
        "more. "
        "s_n^dec and F1 are told "
        "beside it and refuse nothing. With one "
        f"seed, or fewer than {FEWEST_POINTS} L0, the answer is where c_dec and s_n^dec meet, "
        "unless F1 peaks elsewhere.",
    ),
    (
        "Minimum and its set",
        "The point with the lowest mean, and all points whose difference from it is within "
        f"{SET_ERRORS:g} standard errors.",
    ),
    (
        "Rise and elbow",
        "The whole rise is the metric at the lowest L0 minus its minimum. Going from the minimum "
        "to lower L0, the elbow is where the curve leaves the band of "
        f"{TOLERANCE_OF_JUMP:.0%} of the rise (or {SET_ERRORS:g} standard errors, if larger) above "
        "the minimum: an interval between two grid points, and a place in it interpolated on log "
        "L0. The curve names its upper end, the lowest L0 at its bottom; its interval reaches from "
        "its lower end to the right neighbour of the minimum, or of the elbow where the minimum is "
        f"more than {VALLEY_RATIO:g} times higher, in a shallow valley.",
    ),
    (
        "Outcomes",
        "Of the agreement of seeds: flat where it differs by less than "
        f"{PROMINENCE:g} over the grid; falls to the grid's end where it is highest there; no peak "
        "where it is highest at the start, and rises nowhere behind it. Of c_dec and s_n^dec: flat "
        f"where the whole rise is within {FLAT_ERRORS:g} standard errors; falls to the grid's end "
        "where they are lowest at the highest L0; starts too high where at the lowest; s_n^dec "
        "that names an L0 of n or more is not counted. Not trained enough: at a point "
        "the answer leans on, the median cosine of decoder rows with their initialisation is "
        f"above {COSINE_LIMIT:g}, or c_dec moved by more than {MOVED_LIMIT:.0%} of its rise in the "
        "last tenth of training. Leans on outlying rows: see there. Not reproducible: at a point "
        "the answer names, two seeds do not find the same latents. The metrics disagree, with one "
        "seed only: their intervals do not overlap, or F1 peaks outside.",
    ),
    (
        "Stability",
        "The decoders of two seeds of one L0 are matched one to one so that the sum of cosines is "
        "largest. The reproduced share is the mean of 1 − angle / chance angle over latents, "
        "at least 0 each, the chance angle being that of the mean cosine of random decoders of "
        "this size. Whether seeds agree at all is asked of two other numbers, means over pairs of "
        "seeds: the share of latents matched above 0.9, and the excess of the mean cosine over "
        "chance, (mean − chance) / (1 − chance). Seeds agree where the share is at least "
        f"{SHARE_LIMIT:g} or the excess at least {EXCESS_LIMIT:g}: worlds whose truth is known "
        "have more at their right L0, an SAE wider than its world by the share alone. Where they "
        "do not, at the point nearest to the peak (with too few points for one: from the elbow "
        "to the bottom of the curves), no L0 is named, as another seed would have other latents.",
    ),
    (
        "Recovery",
        "Only where the true features are known. Features and latents are matched one to one; the "
        "L0 of best recovery is the grid point with the highest mean |cosine|, and what cannot be "
        f"told from it is within {SET_ERRORS:g} standard errors over seeds. It is what is right "
        "for an SAE of this width; the true L0, the mean number of features that fire, may be "
        "another. Neither has a say in the answer.",
    ),
    (
        "Hedging",
        "An SAE too narrow for its data merges correlated features; given more latents it hands "
        "parts of its latents over to these. Each finished SAE is trained on, on the same batches, "
        "as it is (the control) and with new latents. With w and v a latent's direction in the one "
        "and in the other, p is the mean length of w − v projected on the span of the new latents, "
        "b the same for 50 random subspaces of as many dimensions, and the rate max(0, (p − b) / "
        "(1 − b)) (arXiv 2505.11756). It grows with the number of steps: compare it at one number "
        "of steps and of new latents.",
    ),
    (
        "Self-check",
        "SAEs of the first seed, at the grid points next to the L0 named and to the ends of its "
        "interval (where none is named: where c_dec is lowest, and where stability peaks), decode "
        "the activations from their own codes; what they do not explain is added, of another "
        "token. Their latents are then the true features. Each such source is swept again, at "
        f"{POINTS} points of the grid around the generating one, with {len(SEEDS)} seeds and "
        f"{SHARE:.0%} of the training tokens, and read as the study is. Found: the interval holds "
        "the L0 of best recovery. A miss speaks against the procedure on data like these.",
    ),
    (
        "Training on",
        "The SAE is trained on from its own weights (decoder rows of norm 1, Adam's moments zero), "
        "at several L0 around its own and with several orders of the data, the learning rate "
        f"rising over {WARM_UP:.0%} and falling to zero over {DECAY:.0%} of the steps. Its pull is "
        "the mean of log(angle at its own L0 / angle at a lower one), the angle being that between "
        "a latent's direction before and after, mean over latents and seeds: what training on does "
        "by itself is taken off. "
        f"Above −{-PULL_TOO_LOW:g} the L0 is too low, below −{-PULL_TOO_HIGH:g} too high; between, "
        f"it is about right where on both sides latents turn exp({STAYS:g}) times as far as at the "
        "own L0 or more. "
        "Confidence is the share of answers of the kind that were right on worlds whose truth is "
        "known, where the trainings were a tenth of the SAE's own together; docs/calibration.md of "
        "the project has the counts. c_dec has no say.",
    ),
    (
        "Was the training long enough?",
        "What matters is whether the metric still moves. c_dec is measured at every tenth of the "
        "training. Its move in the last tenth is |c_dec at the end − c_dec at nine tenths|, mean "
        "over seeds, as a share of c_dec's whole rise (of that towards the highest L0 where it is "
        "lowest at the lowest); where c_dec is flat there is nothing to hold it against. The "
        f"limit, {MOVED_LIMIT:.0%}, is the tolerance that defines the elbow: a larger move may "
        "shift it. c_dec's curves as they stood at half and at nine tenths of the training, at "
        "the learning rate of that moment, are read like the final one. The fall of the loss is "
        "that of its mean from the last but one tenth of training to the last; above "
        f"{SLOPE_LIMIT:.0%} it is a caveat and no more: a loss that falls as a power law of the "
        "training, t to the −a, falls by about 0.11 a there, however long the training is.",
    ),
    (
        "The answer with less training",
        "Where the decoders were kept along the training (saes.snapshots), the seeds are compared "
        "after each tenth of it as they are at its end, at half precision, and the answer is read "
        "again from their agreement, from c_dec and from the distance from the start, all as they "
        "were then. A training that ends after i tenths has a last tenth of its own: of c_dec's "
        "move between two tenths, i / 10 (on a straight line between them; before the first tenth "
        "it is that of random directions). L0 is that of the end.",
    ),
    (
        "F1 peak",
        "The point with the highest mean F1 and all points within 2 standard errors of it; flat "
        f"where best and worst are within {FLAT_ERRORS:g}.",
    ),
    (
        "Outlying rows",
        "Rows whose norm is above a multiple (outlying.norm) of the median norm of the training "
        "rows. By default they train no SAE and enter no metric. The scale of the activations is "
        "always that of the other rows. Where they are kept (outlying.rows) and are more than "
        f"{WEIGHT_LIMIT:.0%} of the squared norm of all training rows, no L0 is named. FVU of "
        "either group of rows is over the squared distance from the mean of the others.",
    ),
    (
        "Reconstruction",
        "FVU is the squared error over the variance of held-out activations. It always improves "
        "with L0 and is never used.",
    ),
    (
        "Time in training",
        "Of a point: its own steps and, where several points are trained in one pass over the "
        "data, an equal share of the time for each batch. Waiting for data is the time until a "
        "batch has been read; it should stay below 5%.",
    ),
)
