"""What the captions of a study say again and again."""

from __future__ import annotations

from dataclasses import dataclass

from correct_l0.metrics.probing.settings import CONTROLS
from correct_l0.report import words
from correct_l0.report.data import StudyData
from correct_l0.settings.base import format_l0


@dataclass(frozen=True)
class Facts:
    """What several captions say."""

    study: StudyData
    seeds: str
    spread: str
    across: str
    band: str
    truth: str
    tokens: str

    @property
    def marks(self) -> str:
        """What is drawn beside the curves: the answer's band, the truth."""
        return self.band + self.truth

    @property
    def n_list(self) -> str:
        """The ranks n of s_n^dec."""
        ns = sorted(self.study.tables["s_n_dec"]["n"].dropna().unique())
        return ", ".join(str(int(n)) for n in ns)

    @property
    def tasks(self) -> int:
        """The number of probing tasks."""
        return self.study.tables["probing"]["task"].nunique()

    @property
    def probes(self) -> str:
        """The numbers of latents in probes."""
        ks = sorted(self.study.tables["probing"]["probe_k"].dropna().unique())
        return words.join([words.latents(int(k)) for k in ks])

    @property
    def controls(self) -> str:
        """What the controls of probing are, where the study has any."""
        rows = self.study.tables["probing"].dropna(subset=list(CONTROLS))
        if not len(rows):
            return ""
        return (
            " Controls, on one seed: crosses, probes on shuffled labels; dotted, on as many "
            "latents drawn at random as were chosen "
            f"(both over {rows['task'].nunique()} of the tasks)."
        )

    @property
    def frozen(self) -> str:
        """What the control is, where the study has one."""
        control = self.study.control
        if control is None:
            return ""
        return (
            " Cross and dotted level: SAEs trained alike whose decoder stayed as it started, at "
            f"random, at L0 {format_l0(float(f'{control.l0:.3g}'))}. What F1 they reach needs no "
            "learnt directions."
        )

    @property
    def drawn(self) -> str:
        """The L0 points that single panels are of."""
        return words.join([self.study.name_of(x) for x in self.study.drawn_l0])

    def has(self, room: str) -> bool:
        """Tell whether the study has what a room measures."""
        return room in (*self.study.plan.rooms, *self.study.plan.study_rooms)


def facts_of(study: StudyData) -> Facts:
    """Return what the captions of a study share."""
    count = len(study.seeds)
    seeds = "1 seed" if count == 1 else f"{count} seeds"
    spread = f"dots: each of {seeds}; line: their mean; band: their range"
    if count == 1:
        spread = "one seed, so that the spread over seeds is unknown"
    lines = {"best": "dashed, the L0 of best recovery", "true_l0": "dotted, the true L0"}
    known = "; ".join(lines[name] for name in study.truth)
    truth = f" Vertical: {known}." if known else ""
    tokens = study.tables["s_n_dec"]["tokens"].dropna()
    return Facts(
        study,
        seeds,
        spread,
        "Across: measured L0 (mean active latents per held-out token), logarithmic.",
        _band(study),
        truth,
        f"{int(tokens.max()):,}" if len(tokens) else "no",
    )


def _band(study: StudyData) -> str:
    """Return what is shaded in every panel over L0."""
    if study.named:
        what = "a hint" if study.verdict["is_hint"] else "the answer"
        return f" Shaded: the interval of {what}, with the L0 that it names."
    if study.refused_by:
        return " Orange bars: the points that the refusal to name an L0 rests on."
    return ""
