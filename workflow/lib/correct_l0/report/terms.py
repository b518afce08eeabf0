"""The words of the report that a newcomer does not know, each explained once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from correct_l0.reading.calibrated import NOMINAL
from correct_l0.reading.reading import READ
from correct_l0.study.plan import Plan

TERMS: dict[str, str] = {
    "L0": "How many latents are active per token, on average.",
    "latents": "The SAE's own directions: for each token a few of them are active and add up to "
    "the activation. One that mixes several features has a wrong direction.",
    "c_dec": "How much the latents' directions overlap: the mean absolute cosine of all pairs. "
    "Mixed latents overlap more.",
    "s_n^dec": "How far tokens project on the n-th of the latents' directions, in order of size: "
    "on one that should not fire. Mixed latents take up more.",
    "lowest": "A curve is read from its lowest point towards low L0: where an SAE has too few "
    "active latents, it mixes features, and the curve rises.",
    "elbow": "Where a curve begins to rise towards low L0: between the lowest L0 that is still at "
    "the bottom of the curve and its left neighbour.",
    "whole rise": "How far a curve rises, from its lowest point to the lowest L0 of the grid. "
    "Changes are given as a share of it, as that says whether they matter.",
    "shallow valley": "The bottom of a curve is nearly level over a factor of two in L0 or more; "
    "then its left end counts.",
    "n": "The rank that s_n^dec looks at. It has to be above the right L0: only then is the n-th "
    "projection one on a latent that should not fire.",
    "of n or more": "n has to be above the right L0. A curve that names an L0 of n or more "
    "contradicts that, and does not count.",
    "outlying rows": "Activations of massive norm, as a language model has them at a few tokens, "
    "mostly the first of a text. They would take over training and metrics.",
    "matched above 0.9": "Latents of two seeds are matched one to one; a pair with a cosine above "
    "0.9 counts as the same latent.",
    "agree by": "How much nearer than chance a latent's match in another seed is, by the angle "
    "between them, mean over latents: 100% are the same latents, 0% are no nearer than chance.",
    f"{NOMINAL:.0%} interval": "Where the truth is known it held the right L0 in about that share "
    "of the answers; docs/calibration.md of the project counts them.",
    "by chance": "What two decoders of random directions, of the same size and matched the same "
    "way, would have.",
    "seed": "The random numbers that a training starts from. What depends on them is not a "
    "property of the data.",
    "standard errors": "The size of the noise of a number: differences of less than 2 or 3 of "
    "them are not told from chance.",
    "F1": "How well a probe on few latents tells the two classes of a task: 1 is perfect, a coin "
    "has 1/2.",
    "dead": "Never active on held-out tokens.",
    "held-out": "Kept out of the training.",
    "true L0": "How many of the true features fire per sample, on average.",
    "MCC": "Mean cosine of true features and latents matched one to one.",
}
"""Meaning by term, as it stands in the sentences of the report."""

_OF_ROOM = {
    "F1": "probing",
    "matched above 0.9": "stability",
    "agree by": "stability",
    f"{NOMINAL:.0%} interval": "stability",
    "by chance": "stability",
    "true L0": "recovery",
    "MCC": "recovery",
}


def terms_of(plan: Plan) -> dict[str, str]:
    """Return the terms that a study's report uses."""
    there = {*plan.rooms, *plan.study_rooms, "saes"}
    told = {"true L0"} if plan.study.told_true_l0 is not None else {*()}
    return {
        term: text
        for term, text in TERMS.items()
        if term in told or _OF_ROOM.get(term, "saes") in there
    }


def what_is_right(verdict: Mapping[str, Any]) -> str:
    """Return what the L0 of an answer is right for; empty where none is named."""
    if verdict["outcome"] != READ:
        return ""
    found = ", and that another seed finds too" if verdict["stability"] else ""
    if verdict["decision"]["led_by_stability"]:
        found += ": where the features are known, the L0 that recovers them best"
    other = "; F1 may peak at another L0 (in SynthSAEBench it does so below the true one)"
    scored = other if verdict["f1"] or verdict["recovery"] else ""
    return f"Right means latents that mix features least{found}{scored}."
