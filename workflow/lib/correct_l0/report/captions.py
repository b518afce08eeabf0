"""Titles, captions and alternative texts of the figures: what both axes mean, n, tokens, seeds.

A caption names panels by their titles, as on a phone they stand under each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from correct_l0.report import figures_of
from correct_l0.report.caption_facts import Facts, facts_of
from correct_l0.report.data import StudyData
from correct_l0.saes.imported.published import published_columns, title_of


@dataclass(frozen=True)
class Caption:
    """What stands above and below a figure, and what is read out instead of it."""

    title: str
    text: str
    alt: str


def captions(study: StudyData) -> dict[str, Caption]:
    """Return the caption of every figure that the study has, by name."""
    facts = facts_of(study)
    return {name: _CAPTIONS[name](facts) for name in figures_of(study.plan)}


def _answer(f: Facts) -> Caption:
    verdict, parts = f.study.verdict, []
    parts.append(
        "c_dec: mean absolute cosine between all pairs of decoder rows; triangle, the lowest "
        "point; bar on the axis, where the rise towards low L0 begins (the elbow)."
    )
    if f.has("stability"):
        parts.append(
            "Stability: latents of two seeds are matched one to one; dark, the reproduced share, "
            "from which the answer is read (by the angle to the partner; 1: the same, 0: chance); "
            "triangle, its highest peak inside the grid, of the curve smoothed over neighbours; "
            "light, the share of latents whose match has a cosine above 0.9. One dot for each pair "
            "of seeds."
        )
    if f.has("probing"):
        parts.append(
            f"Probing: mean F1 over {f.tasks} tasks for probes on {f.probes}; bars, two standard "
            "errors of the difference from the best, paired over tasks and seeds; filled points "
            "cannot be told from the best." + f.controls
        )
    if f.has("recovery"):
        parts.append(
            "Recovery: true features and latents are matched one to one; dark, the share of "
            "features whose latent has an absolute cosine above 0.9; light, the mean of the "
            "matched cosines. It has no say in the answer."
        )
    parts.append(_with_less_training(f))
    parts.append(
        "An answer that still wanders needs a longer training. Dashed grey is chance: random "
        "decoders of this size, which is what an SAE that learnt nothing has"
        + ("; of F1, a coin." if f.has("probing") else ".")
        + f.frozen
    )
    return Caption(
        "The answer in one picture",
        " ".join(parts)
        + f" {f.spread[0].upper()}{f.spread[1:]}.{f.marks} {f.across} All panels share it.",
        "Curves over one axis of L0. "
        + " ".join(filter(None, [verdict["headline"], *verdict["lines"][:1],
                                 *verdict["stability_lines"], *verdict["training_lines"][:1],
                                 verdict["course_line"], verdict["truth_line"]])),
    )  # fmt: skip


def _with_less_training(f: Facts) -> str:
    if f.study.verdict["course"]["stops"]:
        return (
            "With less training: the answer as it would have been after each tenth of the training "
            "(up), read like the final one, of the SAEs as they stood then (learning rates were "
            "still high): dot, the L0 named; bar, its interval; cross, where seeds agreed best but "
            "no L0 was named; triangle, still rising at the grid's end; no mark, as much at every "
            "L0."
        )
    return (
        "With less training: c_dec's curve as it stood after each tenth of the training (up), read "
        "like the final one (learning rates were then still high): dot, the L0 named; bar, its "
        "interval; triangles, lowest at an end of the grid, so that it named none; cross, flat."
    )


def _trained_on(f: Facts) -> Caption:
    return Caption(
        "Where the latents go when the SAE is trained on",
        "The SAE was trained on for a short while from its own weights, at several L0 around its "
        "own (dotted), each with two orders of the data or more (means). “How far the latents "
        "turn”: the mean angle between a latent's direction before and after, logarithmic: where "
        "it is much larger at lower L0 than at the own one, L0 is too high; where it is hardly "
        "larger, too low. “How "
        "much they overlap”: c_dec after; dashed, of the SAE itself. Across: measured L0 after, "
        "logarithmic.",
        "Two curves over the L0 that the SAE was trained on at. " + f.study.verdict["headline"],
    )


def _stability(f: Facts) -> Caption:
    table = f.study.tables["stability"]
    pairs = table.groupby("l0").size().max() if len(table) else 0
    along = (
        " Along the training: the same of the SAEs as they stood after each tenth of it, by L0."
        if len(f.study.tables["stability_training"])
        else ""
    )
    return Caption(
        "Stability: the same latents with another seed?",
        f"Decoders of one L0 that differ only in their seed ({f.seeds}, "
        f"{pairs} pair{'' if pairs == 1 else 's'} at each L0, one dot each; line: their mean; "
        "band: their range), latents matched one to one so that the sum of cosines is largest. "
        "Up: share, and number, of latents matched above 0.9; mean matched cosine; reproduced "
        "share, the same without a threshold (by the angle to the partner, 1 where all come back, "
        "0 where none is nearer than chance); subspace agreement, whether both decoders fill the "
        "same directions, latent by latent or not (1: alike). Dashed grey, or the grey band: "
        "random decoders of this size, which is chance. Dashed orange: with either of these two, "
        f"seeds count as agreeing.{along}{f.marks} {f.across}",
        "Four curves over L0: how many latents two seeds share, and how nearly. "
        + " ".join(f.study.verdict["stability_lines"]),
    )


def _f1(f: Facts) -> Caption:
    return Caption(
        "What sparse probing says",
        f"Mean F1 (up) over {f.tasks} tasks of probes on {f.probes}, and of the baselines. Panels "
        "of one probe size, close up: bars are two standard errors of the difference from the "
        f"best point, paired over tasks and {f.seeds}; filled points cannot be told from the "
        "best. “Whole scale”: bands are 95% bootstrap intervals over tasks; a constant scores 1/3 "
        f"and a coin 1/2, which is chance.{f.controls}{f.marks} {f.across}",
        "Mean F1 against L0. "
        + " ".join(line for line in f.study.verdict["lines"] if line.startswith("F1")),
    )


def _published(f: Facts) -> Caption:
    drawn = ", ".join(
        title_of(name) for name, _ in published_columns(f.study.tables["points"].columns)
    )
    commit = getattr(f.study.plan.study.saes, "published_commit", "")
    at = f" (commit {commit[:12]} of their repository)" if commit else ""
    return Caption(
        "Scores that others published",
        f"SAEBench's scores of these SAEs ({drawn}), as its result files{at} tell them; none was "
        "measured here, and they have no say in the answer. One dot for each SAE; line: the mean "
        f"of those of one L0.{f.marks} {f.across}",
        f"Published scores against L0: {drawn}.",
    )


def _recovery(f: Facts) -> Caption:
    samples = f.study.tables["recovery"].get("samples")
    counted = "" if samples is None or not len(samples) else f" {int(samples.max()):,} held-out"
    return Caption(
        "Recovery: are the latents the true features?",
        "Features and latents are matched one to one so that the sum of absolute cosines is "
        "largest. Up: that cosine, as the mean and the worst over features (0 where an SAE is too "
        "narrow to have a latent left) and, of such an SAE, as MCC, the mean over features that "
        "have one; share, and number, "
        "of features above 0.9; uniqueness, the distinct features among those nearest to each "
        "latent, per latent (dashed: the most that this width allows); precision, recall and F1 "
        "of a latent's firing as a sign that the feature nearest to it fires, means over all "
        f"latents,{counted} samples. {f.spread[0].upper()}{f.spread[1:]}.{f.marks} {f.across}",
        f"Four panels of recovery over L0. {f.study.verdict['truth_line'] or ''}",
    )


def _reconstruction(f: Facts) -> Caption:
    return Caption(
        "Reconstruction, the misleading one",
        "Share of the variance of held-out activations (up) that the SAE explains, and that it "
        f"leaves unexplained (FVU); {f.spread}. It improves with L0 whatever L0 is right, and "
        "below the right L0 a wrong SAE reconstructs better than a right one would. It is drawn "
        f"beside the metrics and never used for the answer.{f.marks} {f.across}",
        "Variance explained rises with L0 throughout; it does not tell which L0 is right.",
    )


def _measured_l0(f: Facts) -> Caption:
    if f.study.swept == "coefficient":
        return Caption(
            "Measured L0 of each coefficient",
            f"L0 on held-out tokens (up, logarithmic; dots: each of {f.seeds}), over which "
            "everything else is read; coefficients that end at one L0, as where the penalty "
            f"saturates, are one point there.{f.truth.replace('Vertical', 'Level')} Across: "
            "coefficient of the penalty, logarithmic.",
            "Measured L0 against the coefficient of the penalty.",
        )
    return Caption(
        "Measured against target L0",
        "L0 on held-out tokens that were not used to set the threshold (up), against the target "
        f"of training ({f.seeds}), and their relative distance. Everything is read over measured "
        f"L0.{f.truth} Across: target L0, logarithmic.",
        "Measured L0 against target L0, and their relative distance.",
    )


def _training(f: Facts) -> Caption:
    return Caption(
        "Training health",
        "Cosine of each decoder row with its initialisation: near 1, the decoder has hardly "
        "moved and c_dec is that of random directions whatever L0 is. c_dec at every tenth of "
        "training, by L0 (mean over seeds; across: share of training done; dashed grey: random "
        "directions); and how far it went in the last tenth, as a share of its rise towards low "
        "L0. Fall of the loss from the last but one tenth of training to the last. Squared error "
        "per token during training (activations scaled as in training, mean over seeds). Latents "
        f"that never fire on held-out tokens. {f.spread[0].upper()}{f.spread[1:]}. Dashed, orange: "
        "above it the answer is “not trained enough”, where it leans on the point; grey: above it "
        "there is a caveat. The loss alone refuses nothing, as one that falls as a power law never "
        "stops."
        f"{f.truth} {f.across}",
        "Six panels: cosine with the initialisation, c_dec along the training by L0, its move "
        "in the last tenth, slope of the loss, loss curves by L0, and the share of dead "
        "latents. " + " ".join(f.study.verdict["training_lines"]),
    )


def _hedging(f: Facts) -> Caption:
    wanted = f.study.plan.study.hedging
    assert wanted is not None, "drawn only where it was measured"
    return Caption(
        "Hedging: do latents go over to new ones?",
        f"Each SAE was trained on for {wanted.steps:,} steps, as it is and with "
        f"{wanted.new_latents} more latents. The shift is how far the one's latents are from the "
        "other's. Up: the hedging rate, mean length of the shift within the space of the new "
        "latents, beyond what random directions of that number get (0: none, 1: every latent went "
        "over as a whole); these lengths; and the share of the squared shift that lies there "
        f"(dashed: by chance). {f.spread[0].upper()}{f.spread[1:]}. It has no say in the answer."
        f"{f.marks} {f.across}",
        "Three panels of hedging over L0. "
        + " ".join(line for line in f.study.verdict["lines"] if line.startswith("Hedging")),
    )


def _s_n_dec(f: Facts) -> Caption:
    return Caption(
        "s_n^dec at every n",
        f"s_n^dec (up, mean over batches; activations scaled as in training, to a mean norm of "
        f"sqrt(d_in)) for n = {f.n_list}, {f.tokens} held-out tokens; {f.spread}. Grey and "
        "dotted where L0 is n or more. Triangle: lowest point (grey: it names an L0 of n or more, "
        "which no n can, and is not counted). Bar on the axis: the elbow, where the rise towards "
        f"low L0 begins.{f.marks} {f.across}",
        "One curve of s_n^dec against L0 per n. " + " ".join(f.study.verdict["s_n_dec_lines"]),
    )


def _probing_tasks(f: Facts) -> Caption:
    return Caption(
        "Probing, task by task",
        f"F1 of each of {f.tasks} tasks (down; with its mean F1 over L0) at each L0 "
        f"(across), as the difference from the task's mean over L0; mean over {f.seeds}. Blue: "
        "below, red: above.",
        f"Heat map of F1 over {f.tasks} tasks and {len(f.study.l0)} L0 values.",
    )


def _histograms(f: Facts) -> Caption:
    return Caption(
        "Projections on the decoder",
        f"Density (up) of (x − b_dec) · W_dec over {f.tokens} held-out tokens and all latents, "
        f"for the SAEs with L0 {f.drawn} (sum over {f.seeds}), linear and logarithmic. An SAE "
        "with mixed latents projects more on all of them. Across: projection, activations scaled "
        "as in training, clipped to −20 and 40.",
        f"Histograms of decoder projections of the SAEs with L0 {f.drawn}.",
    )


def _decoder_cosines(f: Facts) -> Caption:
    return Caption(
        "Overlap of decoder rows",
        f"Absolute cosine of every pair of decoder rows of the SAEs with L0 {f.drawn}, first "
        "seed; both axes: latents, ordered so that similar rows are neighbours; means over "
        "blocks where the SAE is wider than 256 latents.",
        f"Heat maps of decoder cosines for L0 {f.drawn}.",
    )


_CAPTIONS: dict[str, Callable[[Facts], Caption]] = {
    "answer": _answer,
    "trained_on": _trained_on,
    "stability": _stability,
    "f1": _f1,
    "published": _published,
    "recovery": _recovery,
    "reconstruction": _reconstruction,
    "measured_l0": _measured_l0,
    "training": _training,
    "hedging": _hedging,
    "s_n_dec": _s_n_dec,
    "probing_tasks": _probing_tasks,
    "histograms": _histograms,
    "decoder_cosines": _decoder_cosines,
}
