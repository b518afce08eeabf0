"""An answer held against a known truth, and what is known of it, in words."""

from __future__ import annotations

from correct_l0.reading.recovery import ABOVE, RecoveryReading, place_of, side_of
from correct_l0.reading.verdict import Decision
from correct_l0.report.names import Names, percents
from correct_l0.settings.base import format_l0
from correct_l0.sources.semi_synthetic.settings import SemiSynthetic
from correct_l0.sources.synthetic.settings import Synthetic

NOT_HELD = "No L0 is named that could be held against that."


def truth_line(
    recovery: RecoveryReading | None, true_l0: float | None, decision: Decision, names: Names
) -> str | None:
    """Return where the features are recovered best, the true L0, and where the answer lies.

    Of imported SAEs the true L0 alone may be known; nothing where neither is.
    """
    if recovery is None:
        return None if true_l0 is None else _told(true_l0, decision, names)
    r = recovery
    i = r.points.index(r.best)
    line = (
        f"The features are known: recovered best at L0 {names(r.best)} (mean cosine "
        f"{r.mcc[i]:.3f}, {percents([r.recovered[i]])} of them above 0.9)"
    )
    if others := [x for x in r.best_set if x != r.best]:
        line += f", not distinguishable from {names.list(others)}"
    if r.at_end:
        line += ", an end of the grid"
    if true_l0 is not None:
        line += f"; the true L0 is {true_l0_in_words(true_l0)}"
    return f"{line}. {_answer(r, true_l0, decision, names)}"


def true_l0_in_words(true_l0: float) -> str:
    """Return a true L0 with three digits.

    Examples
    --------
    >>> true_l0_in_words(10.9525), true_l0_in_words(34.0)
    ('11', '34')
    """
    return format_l0(float(f"{true_l0:.3g}"))


def _told(true_l0: float, decision: Decision, names: Names) -> str:
    """Return a true L0 that a person names, and where the answer lies."""
    line = f"The true L0 is {true_l0_in_words(true_l0)}, as saes.import.true_l0 tells."
    side = side_of(decision, true_l0)
    if side is None:
        return f"{line} {NOT_HELD}"
    narrow = ", and an SAE of fewer latents than there are features may be right below it"
    return f"{line} It lies {side} {_interval(decision, names)}{narrow if side == ABOVE else ''}."


def _interval(decision: Decision, names: Names) -> str:
    assert decision.low is not None and decision.high is not None, "an answer names its interval"
    whose = "hint" if decision.is_hint else "answer"
    return f"the {whose}'s interval, {names(decision.low)} to {names(decision.high)}"


def _answer(
    recovery: RecoveryReading, true_l0: float | None, decision: Decision, names: Names
) -> str:
    place = place_of(decision, recovery, true_l0)
    if place is None:
        return NOT_HELD
    interval = _interval(decision, names)
    if place.true_l0 is None:
        return f"That lies {place.best_recovery} {interval}."
    if place.true_l0 == place.best_recovery:
        return f"Both lie {place.true_l0} {interval}."
    return f"The first lies {place.best_recovery} {interval}, the second {place.true_l0} it."


def semi_synthetic_in_words(source: SemiSynthetic) -> str:
    """Return what a semi-synthetic source is, in sentences.

    Examples
    --------
    >>> source = SemiSynthetic(sae="an/sae", activations="a/manifest.json", residual="shuffled")
    >>> print(semi_synthetic_in_words(source).replace(". ", ".\\n"))
    Each sample is a token's activation (of a/manifest.json) as an SAE (an/sae) has decoded it.
    What that SAE does not explain of another token is added.
    The features are its latents, which fire as they do on the model's text.
    """
    added = "What that SAE does not explain of another token is added. "
    return (
        f"Each sample is a token's activation (of {source.activations}) as an SAE ({source.sae}) "
        f"has decoded it. {added if source.residual == 'shuffled' else ''}"
        "The features are its latents, which fire as they do on the model's text."
    )


def world_in_words(world: Synthetic) -> str:
    """Return what a synthetic world is, in sentences.

    Examples
    --------
    >>> world = Synthetic(features=2, d_in=40, firing=[0.5, 0.25], correlation=None)
    >>> print(world_in_words(world).replace(". ", ".\\n"))
    Each sample is the sum of those of 2 features that fire, in 40 dimensions.
    Features have orthonormal directions and fire with probabilities of 0.5 to 0.25, independently.
    """
    p = world.firing.probabilities(world.features)
    ends = " to ".join(dict.fromkeys(f"{x:.3g}" for x in (p.max(), p.min())))
    bias = f"a constant vector of norm {world.bias:g} and " if world.bias else ""
    directions = {
        "orthonormal": "orthonormal directions",
        "spread": "directions that overlap as little as so many can",
        "random": "random directions",
    }[world.directions]
    together = "independently"
    if world.correlation is not None:
        together = {
            "random": "together or apart, by correlations drawn at random",
            "pairs": f"with {len(world.correlation.pairs or ())} pairs of them correlated",
            "low_rank": f"correlated by {world.correlation.rank} common causes",
        }[world.correlation.kind]
    sentences = [
        f"Each sample is {bias}the sum of those of {world.features:,} features that fire, in "
        f"{world.d_in:,} dimensions.",
        f"Features have {directions} and fire with probabilities of {ends}, {together}.",
    ]
    if (tree := world.hierarchy) is not None:
        sentences.append(
            f"{tree.roots} of them have {tree.branching} children each, {tree.depth} "
            f"level{'' if tree.depth == 1 else 's'} deep, which fire only where their parents do."
        )
    return " ".join(sentences)
