"""Why each job would run, in the study's words."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from correct_l0.stages import BY_JOB, BY_RULE, OF_REPORT, STAGES
from correct_l0.stages.stage import Stage
from correct_l0.standing.chain import task_manifests
from correct_l0.standing.stale_words import Stale
from correct_l0.study.groups import split_labels
from correct_l0.study.plan import Plan
from correct_l0.why.dry_run import Job, Place
from correct_l0.why.kept import Kept, kept

Key = tuple[str, Place | None]
"""A room, or a rule of the source, and the place of one result."""

NOT_MADE = "not made yet"
FOLLOWS = "follows from the results above"
LONGEST_VERBATIM = 400
NAMED_TASKS = 5


@dataclass(frozen=True)
class Why:
    """A job, why it would run, and what part of its work is left.

    Attributes
    ----------
    perhaps_less
        Whether less of it may turn out to be left.
    points
        The points that it is about.
    """

    job: Job
    reason: str
    left: float = 1.0
    perhaps_less: bool = False
    points: tuple[tuple[str, int], ...] = ()


def explain(plan: Plan, jobs: Sequence[Job], stale: Iterable[Stale]) -> list[Why]:
    """Return why each job would run.

    Parameters
    ----------
    plan
        The study; its folders are below the current one.
    jobs
        The jobs of Snakemake's dry run.
    stale
        What `stale.find` says has to be made again.

    Returns
    -------
    list of Why
        The study's reason where manifests, checkpoints or other jobs give one, else Snakemake's.
    """
    changed = {_key_of_stale(plan, entry): entry.reason for entry in stale}
    jobs = [part for job in jobs for part in parts_of(plan, job)]
    running = {(job.rule, job.place) for job in jobs}
    return [
        replace(why, points=_points(plan, why.job))
        for job in jobs
        if (why := _explain(plan, job, changed, running))
    ]


def parts_of(plan: Plan, job: Job) -> list[Job]:
    """Return a job by its results, where it makes several: as if each had a job of its own."""
    made = [stage for stage in BY_JOB.get(job.rule, ()) if stage.asked(plan)]
    places: list[dict[str, str]] = []
    if job.l0s is not None:
        places = [{"l0": l0} for l0 in split_labels(job.l0s)]
    elif made and made[0].of == "l0":
        places = [{"l0": l0} for l0 in plan.labels]
    shared = {name: value for name, value in job.wildcards.items() if name != "l0s"}
    parts = [
        Job(stage.rule, {**shared, **place}, job.reason, job) for place in places for stage in made
    ]
    return parts or [job]


def _points(plan: Plan, job: Job) -> tuple[tuple[str, int], ...]:
    """Return the point that a job is about, or those of its L0."""
    if job.place is None:
        return ()
    l0, seed = job.place
    return tuple(point for point in plan.points if point[0] == l0 and seed in (None, point[1]))


def _key_of_stale(plan: Plan, entry: Stale) -> Key:
    if entry.l0 is not None:
        return entry.room, (entry.l0, entry.seed)
    its = (
        stage.rule
        for stage in STAGES
        if stage.of == "source" and stage.room == entry.room
        if Path(entry.path).is_relative_to(stage.result_of(plan))
    )
    return next(its, entry.room), None


def _follows(before: Stage, place: Place | None, running: Iterable[Key]) -> bool:
    """Tell whether jobs of a stage run whose results another job, of some place, reads."""
    if before.of != "point":
        return (before.rule, None) in running
    l0, seed = place or (None, None)
    return any(
        rule == before.rule and its is not None and l0 in (None, its[0]) and seed in (None, its[1])
        for rule, its in running
    )


def _explain(
    plan: Plan,
    job: Job,
    changed: dict[Key, str],
    running: set[Key],
) -> Why | None:
    """Return why a job would run; None for a part of one that stands and is left as it is."""
    stage, of_report = BY_RULE.get(job.rule), {stage.rule for stage in OF_REPORT}
    if stage is None:
        return Why(job, verbatim(job.reason))
    if stage.of == "report" and any(rule not in of_report for rule, _ in running):
        return Why(job, FOLLOWS)
    reason = changed.get((job.rule if stage.of == "source" else stage.room, job.place))
    made = stage.result_of(plan, job.wildcards)
    goes_on = _kept(plan, job, reason, changed, running, there=made.exists())
    if goes_on is not None:
        told = reason or ("follows from the activations" if goes_on.perhaps else "")
        words = "; ".join(filter(None, (told, goes_on.words)))
        return Why(job, words, goes_on.left, goes_on.perhaps)
    if reason is not None:
        return Why(job, reason)
    if not made.exists():
        return Why(job, NOT_MADE)
    for before in map(BY_RULE.__getitem__, stage.after):
        if _follows(before, job.place, running):
            return Why(job, f"follows from {before.called}")
    if job.part_of is not None:
        return None
    return _missing_tasks(plan, job) or Why(job, verbatim(job.reason))


def _kept(
    plan: Plan,
    job: Job,
    reason: str | None,
    changed: Container[Key],
    running: Container[Key],
    *,
    there: bool,
) -> Kept | None:
    """Return what a training goes on from, None for other jobs."""
    if job.rule != "train_sae" or job.point is None:
        return None
    same = (plan.study.source.stage, None) not in running
    if any((rule, None) in changed for rule in ("stage_text", plan.study.source.stage)):
        # Made by another recipe, or damaged.
        return None
    return kept(plan, *job.point, reason, there=there, same_activations=same)


def _missing_tasks(plan: Plan, job: Job) -> Why | None:
    """Return which probing tasks' activations are not there, where others' are."""
    if job.rule != "cache_probing_activations":
        return None
    tasks = task_manifests(plan)
    missing = [task for task, path in tasks.items() if not path.exists()]
    if not missing or len(missing) == len(tasks):
        return Why(job, NOT_MADE) if missing else None
    named = ", ".join(missing[:NAMED_TASKS])
    more = f" and {len(missing) - NAMED_TASKS} more" if len(missing) > NAMED_TASKS else ""
    words = f"task{'s' * (len(missing) > 1)} {named}{more}: {NOT_MADE}"
    return Why(job, words, len(missing) / len(tasks))


def verbatim(reason: str) -> str:
    """Return Snakemake's reason, cut where it is very long."""
    text = f"Snakemake: {reason or 'no reason given'}"
    return text if len(text) <= LONGEST_VERBATIM else f"{text[: LONGEST_VERBATIM - 4]} ..."


def fold_points(points: Iterable[tuple[str, int]], everything: Sequence[tuple[str, int]]) -> str:
    """Return points in few words: L0 values of the same seeds together, lowest first.

    Examples
    --------
    >>> sweep = [(l0, seed) for l0 in ("4", "8", "16") for seed in (0, 1)]
    >>> fold_points([("8", 1)], sweep), fold_points(sweep, sweep)
    ('l0 8 seed 1', 'all 6 points')
    >>> fold_points([("16", 0), ("4", 0), ("8", 0), ("8", 1)], sweep)
    'l0 4, 16 (seed 0); l0 8 (seeds 0, 1)'
    """
    points = sorted(set(points), key=lambda point: (float(point[0]), point[1]))
    if len(points) == len(everything) > 1:
        return f"all {len(points)} points"
    if len(points) == 1:
        return f"l0 {points[0][0]} seed {points[0][1]}"
    seeds: dict[str, tuple[int, ...]] = {}
    for l0, seed in points:
        seeds[l0] = (*seeds.get(l0, ()), seed)
    groups: dict[tuple[int, ...], list[str]] = {}
    for l0, of_this in seeds.items():
        groups.setdefault(of_this, []).append(l0)
    return "; ".join(
        f"l0 {', '.join(labels)} (seed{'s' * (len(group) > 1)} {', '.join(map(str, group))})"
        for group, labels in groups.items()
    )
