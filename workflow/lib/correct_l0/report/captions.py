"""Titles, captions and alternative texts of the figures: what both axes mean, n, tokens, seeds."""

from __future__ import annotations

from dataclasses import dataclass

from correct_l0.report import words
from correct_l0.report.data import StudyData
from correct_l0.settings.base import format_l0


@dataclass(frozen=True)
class Caption:
    """What stands above and below a figure, and what is read out instead of it."""

    title: str
    text: str
    alt: str


def captions(study: StudyData) -> dict[str, Caption]:
    """Return the caption of every figure, by name."""
    tables, verdict = study.tables, study.verdict
    seeds = f"{len(study.seeds)} seed" + ("" if len(study.seeds) == 1 else "s")
    spread = f"dots: each of {seeds}; line: their mean; band: their range"
    if len(study.seeds) == 1:
        spread = "one seed, so that the spread over seeds is unknown"
    across = "Across: measured L0 (mean active latents per held-out token), logarithmic."
    s_tokens, ns = _tokens(study, "s_n_dec"), sorted(tables["s_n_dec"]["n"].dropna().unique())
    n_list = ", ".join(str(int(n)) for n in ns)
    tasks = tables["probing"]["task"].nunique()
    ks = sorted(tables["probing"]["probe_k"].dropna().unique())
    probes = words.join([words.latents(int(k)) for k in ks])
    drawn = words.join([format_l0(x) for x in study.drawn_l0])
    band = " Shaded: the interval of the answer." if verdict["decision"]["low"] is not None else ""
    head = verdict["headline"]
    return {
        "decoder_metrics": Caption(
            "What the decoder says",
            f"Left, c_dec: mean absolute cosine between all pairs of decoder rows; {spread}. "
            f"Dashed: c_dec of random directions. Right, s_n^dec at n = {n_list}, the mean over "
            f"batches of {s_tokens} held-out tokens, each curve on its own range from 0 to 1; "
            "dotted where L0 is not below n. Triangle: "
            f"minimum. Bar on the axis: elbow.{band} {across}",
            f"Two curves against L0: c_dec and s_n^dec at several n. {head} "
            + " ".join(verdict["lines"][:2]),
        ),
        "f1": Caption(
            "What sparse probing says",
            f"Mean F1 over {tasks} tasks of probes on {probes}, and of the baselines. Left panels, "
            "close up: bars are two standard errors of the difference from the best point, paired "
            f"over tasks and {seeds}; filled points cannot be told from the best. Right, whole "
            f"scale: bands are 95% bootstrap intervals over tasks.{band} {across}",
            "Mean F1 against L0. " + " ".join(verdict["lines"][2:]),
        ),
        "s_n_dec": Caption(
            "s_n^dec at every n",
            f"s_n^dec in training units (mean over batches) for each n, {s_tokens} held-out "
            f"tokens; {spread}. Grey and dotted where L0 is not below n. Triangle: minimum (grey: "
            "names an L0 not below n and is not counted). "
            f"Bar on the axis: elbow.{band} {across}",
            "One curve of s_n^dec against L0 per n. " + " ".join(verdict["s_n_dec_lines"]),
        ),
        "reconstruction": Caption(
            "Reconstruction, the misleading one",
            "Share of the variance of held-out activations that the SAE explains (left) and "
            f"leaves unexplained (FVU, right); {spread}. It improves with L0 whatever L0 is right, "
            "and below the right L0 a wrong SAE reconstructs better than a right one would. It is "
            f"drawn beside the metrics and never used for the answer.{band} {across}",
            "Variance explained rises with L0 throughout; it does not tell which L0 is right.",
        ),
        "measured_l0": Caption(
            "Measured against target L0",
            "L0 on held-out tokens that were not used to set the threshold, against the target of "
            f"training ({seeds}). Everything is read over measured L0. Across: target L0, "
            "logarithmic.",
            "Measured L0 against target L0, and their relative distance.",
        ),
        "training": Caption(
            "Training health",
            "Cosine of each decoder row with its initialisation: near 1, the decoder has hardly "
            "moved and c_dec is that of random directions whatever L0 is. c_dec at every tenth of "
            "training, by L0 (mean over seeds; across: share of the training done); and how far "
            "it went in the last tenth, as a share of its jump. Fall of the loss from the last but "
            "one tenth of training to the last. Squared error per token during training (training "
            "units, mean over seeds). Latents that never fire on held-out tokens. "
            f"{spread[0].upper()}{spread[1:]}. Dashed, orange: above it the answer is “not trained "
            "enough”, where it leans on the point; grey: above it there is a caveat. The loss "
            "alone refuses nothing, as one that falls as a power law never stops. "
            f"{across}",
            "Six panels: cosine with the initialisation, c_dec along the training by L0, its move "
            "in the last tenth, slope of the loss, loss curves by L0, and the share of dead "
            "latents. " + " ".join(verdict["training_lines"]),
        ),
        "probing_tasks": Caption(
            "Probing, task by task",
            f"F1 of each of {tasks} tasks (down; with its mean F1 over L0) at each target L0 "
            f"(across), as the difference from the task's mean over L0; mean over {seeds}. Blue: "
            "below, red: above.",
            f"Heat map of F1 over {tasks} tasks and {len(study.l0)} L0 values.",
        ),
        "histograms": Caption(
            "Projections on the decoder",
            f"Density of (x − b_dec) · W_dec over {_tokens(study, 's_n_dec')} held-out tokens and "
            f"all latents, for the SAEs with L0 {drawn} (sum over {seeds}); linear on the left, "
            "logarithmic on the right. An SAE with mixed latents projects more on all of them. "
            "Across: projection in training units, clipped to −20 and 40.",
            f"Histograms of decoder projections of the SAEs with L0 {drawn}.",
        ),
        "decoder_cosines": Caption(
            "Overlap of decoder rows",
            f"Absolute cosine of every pair of decoder rows of the SAEs with L0 {drawn}, first "
            "seed; both axes: latents, ordered so that similar rows are neighbours; means over "
            "blocks where the SAE is wider than 256 latents.",
            f"Heat maps of decoder cosines for L0 {drawn}.",
        ),
    }


def _tokens(study: StudyData, table: str) -> str:
    tokens = study.tables[table]["tokens"].dropna()
    return f"{int(tokens.max()):,}" if len(tokens) else "no"
