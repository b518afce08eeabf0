"""Titles, captions and alternative texts of the toy study's figures: axes, n, samples, seeds."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from correct_l0.report.captions import Caption
from correct_l0.toy_model.report.claims.judgement import number
from correct_l0.toy_model.report.claims.metrics import PUBLISHED_N
from correct_l0.toy_model.report.claims.others import MIXED, STICKS_WITHIN
from correct_l0.toy_model.report.claims.reconstruction import BEATS
from correct_l0.toy_model.report.claims.sweep import RIGHT
from correct_l0.toy_model.report.claims.training import SETTLED
from correct_l0.toy_model.report.data import ToyData

NOT_RUN = " Not run in this study."


def toy_captions(study: ToyData) -> dict[str, Caption]:
    """Return the caption of every figure, by name."""
    return _sweep_captions(study) | _experiment_captions(study)


def _sweep_captions(study: ToyData) -> dict[str, Caption]:
    tables, verdict = study.tables, study.verdict
    points = tables["points"]
    seeds = seeds_of(points)
    spread = f"dots: each of {seeds}; line: their mean; band: their range"
    trained = _samples(points["samples"].dropna().unique())
    measured = f"measured on {study.study.decoder_metrics.samples:,} other samples"
    across = "Across: L0, active latents per sample. Dotted: the true L0."
    band = " Shaded: the interval of the answer." if verdict["decision"]["low"] is not None else ""
    ns = ", ".join(str(int(n)) for n in sorted(tables["s_n_dec"]["n"].dropna().unique()))
    shown = ", ".join(str(n) for n in PUBLISHED_N)
    cosine = (
        "Cosine of each latent's decoder row (down, in the order of the features they are matched "
        "to) with each true feature (across, most frequent first)"
    )
    model = study.study.toy_model
    return {
        "toy_decoder_metrics": Caption(
            "What the decoder says, and the truth",
            "Left, c_dec: mean absolute cosine between all pairs of decoder rows. Right, s_n^dec "
            f"at n = {shown} (where in this study), on decoder rows of norm 1, one batch of "
            f"{study.study.decoder_metrics.samples:,} samples; {spread}. Triangle: minimum.{band} "
            f"{across} SAEs trained on {trained} samples.",
            f"c_dec and s_n^dec against L0 with the true L0 marked. {verdict['headline']} "
            f"{verdict['truth']['sentence']}",
        ),
        "toy_cosines": Caption(
            "Too low, right, too high",
            f"{cosine}, for SAEs with L0 5, 11 and 18; first of {seeds}, trained on {trained} "
            "samples; n plays no part.",
            "Heat maps of decoder cosines with the true features at L0 5, 11 and 18.",
        ),
        "toy_recovery": Caption(
            "How well the features are recovered",
            f"Left: |cosine| of the true features with the latents matched to them, mean and worst "
            f"one. Right: share of latents with at least {RIGHT:g}, where cosines were kept; "
            f"{spread}.{band} {across} SAEs trained on {trained} samples; n plays no part.",
            "Recovery of the true features against L0, best at the true L0 where it works.",
        ),
        "toy_reconstruction": Caption(
            "Reconstruction, the misleading one",
            "Share of the variance explained (left), of the squared norm (middle, which the "
            "paper's “more than twice” fits) and squared error per sample, summed over dimensions "
            f"(right), of trained SAEs ({spread}) and of the SAE that has the true "
            f"features, at the same L0; {measured}. Where the orange line is better, the loss "
            f"prefers wrong features. Diamond: where its lead falls below {BEATS:g}. Circles: the "
            f"published errors. {across} SAEs trained on {trained} samples; n plays no part.",
            "Variance explained and squared error of trained and true SAEs against L0.",
        ),
        "toy_cosines_low": Caption(
            "Far too low",
            f"{cosine}, for SAEs with L0 1, 2 and 5 (where in this study), and for the SAE with "
            f"the true features; first of {seeds}, trained on {trained} samples; n plays no part.",
            "Heat maps of decoder cosines with the true features at L0 1, 2 and 5.",
        ),
        "toy_s_n_dec": Caption(
            "s_n^dec at every n",
            f"s_n^dec at n = {ns}, on decoder rows brought to norm 1 and as trained; {spread}; "
            f"{measured}. Triangle: minimum. {across} SAEs trained on {trained} samples.",
            "One panel of s_n^dec against L0 per n. " + " ".join(verdict["minima"]),
        ),
        "toy_model": Caption(
            "The toy model",
            f"{model.features} features in {model.d_in} dimensions. Left: correlations of the "
            "Gaussians that make features fire; middle: of the firings, measured; both axes: "
            "features. Right: how often each feature (across) fires (up). Seeds and n play no "
            f"part; {measured.removesuffix(' other samples')} samples.",
            "The correlation matrix and the firing probabilities of the toy model.",
        ),
    }


def _experiment_captions(study: ToyData) -> dict[str, Caption]:
    tables, plan = study.tables, study.study.experiments
    cosine = "Cosine of each latent (down) with each true feature (across)"
    moved = seeds_of(tables["transitions"])
    small, above = seeds_of(tables["small_model"]), seeds_of(tables["superposition"])
    jump, auto = seeds_of(tables["jumprelu"]), seeds_of(tables["auto_l0"])
    transitions = _samples(
        [s.batch_size * s.steps for s in plan.transitions.schedules] if plan.transitions else []
    )
    spread = "dots: each seed; line: their mean; band: their range"

    def note(ran: object) -> str:
        return "" if ran else NOT_RUN

    return {
        "toy_transitions": Caption(
            "L0 that changes during training",
            "Left: L0 (up) over training samples (across) of each schedule, down in blue and up in "
            "orange; the dotted line is the true L0. Right: mean best cosine with the true "
            f"features (across) of each run (down), one dot for each of {moved}; open where L0 "
            f"stopped before its end. Trained on {transitions} samples; n plays no part."
            + note(plan.transitions),
            "L0 schedules, and how well the features are recovered at their end.",
        ),
        "toy_transition_cosines": Caption(
            "What the transitions end with",
            f"{cosine} at the end of each transition; first of {moved}, trained on {transitions} "
            "samples; n plays no part." + note(plan.transitions),
            "Heat maps of decoder cosines at the end of each transition.",
        ),
        "toy_auto_l0": Caption(
            "L0 found during training",
            "L0 (up) over training samples (across), one line for each start and seed, by the "
            "two readings of the paper's rule and by the one beside it; last: where each run ends "
            "(up) by its start (across), filled where the mean best cosine is at least "
            f"{RIGHT:g}; grey: within {SETTLED:g} of the true L0, which is dotted. {auto}"
            + (
                f"; n = {plan.auto_l0.n}; {_samples([plan.auto_l0.training.samples])} samples."
                if plan.auto_l0
                else f"; no n, no samples.{NOT_RUN}"
            ),
            "Trajectories of the automatic L0 and where they end.",
        ),
        "toy_small_model": Caption(
            "Five features, one correlated with the others",
            f"{cosine}; ρ is the correlation of feature 0 with each other feature. At the true L0, "
            "2, from a random start and from the true features, and below it, from these. "
            f"First of {small}; {_trained(plan.small_model)}; n plays no part."
            + note(plan.small_model),
            "Heat maps of decoder cosines of the small model.",
        ),
        "toy_mixing": Caption(
            "How much is mixed",
            "Mean |cosine| of the other latents with feature 0 (up), against its correlation with "
            f"them (across, left) and against L0 (across, right); {spread} ({small}). Dashed: "
            f"{MIXED:g}, from which on the ledger calls it mixed. {_trained(plan.small_model)}; "
            "n plays no part." + note(plan.small_model),
            "Mixing against correlation and against L0 in the small model.",
        ),
        "toy_superposition": Caption(
            "More features than dimensions",
            f"Features that are not orthogonal{_width(tables['superposition'])}: recovery, c_dec "
            f"(dashed: of the true features) and s_n^dec at the published n; {spread} ({above}). "
            f"Across: L0; dotted: the true one. {_trained(plan.superposition)}."
            + note(plan.superposition),
            "Recovery, c_dec and s_n^dec against L0 in superposition.",
        ),
        "toy_jumprelu": Caption(
            "JumpReLU SAEs",
            "Left: measured L0 (up) against the coefficient of the penalty (across, logarithmic); "
            f"grey: within {STICKS_WITHIN:.0%} of the true L0, which is dotted. Right: c_dec (up) "
            f"against measured L0 (across); {spread} ({jump}). {_trained(plan.jumprelu)}; n plays "
            "no part." + note(plan.jumprelu),
            "L0 against lambda and c_dec against L0 for JumpReLU SAEs.",
        ),
    }


def seeds_of(table: pd.DataFrame) -> str:
    """Return how many seeds a table has, in words.

    Examples
    --------
    >>> seeds_of(pd.DataFrame({"seed": [0, 0, 1]})), seeds_of(pd.DataFrame({"seed": [3]}))
    ('2 seeds', '1 seed')
    """
    count = table["seed"].nunique()
    return f"{count} seed" + ("" if count == 1 else "s")


def _samples(counts: Iterable[float]) -> str:
    known = sorted({int(count) for count in counts})
    return " or ".join(f"{count:,}" for count in known) if known else "no"


def _trained(section: object) -> str:
    training = getattr(section, "training", None)
    return f"Trained on {training.samples:,} samples each" if training else "No samples"


def _width(table: pd.DataFrame) -> str:
    widths = table["d_in"].dropna().unique()
    return f", in {number(float(widths[0]))} dimensions" if len(widths) else ""
