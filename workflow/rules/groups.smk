# In: the points whose SAE has to be trained, and those of which something has to be measured. Out:
# which of them one job trains or measures; no rule.
# A job ends in a record, which goes once it has been read: what it made is undeclared, with a manifest
# of its own each, so that Snakemake deletes none of it and a point that fails holds up no other.

import shutil
from functools import cache
from pathlib import Path

from correct_l0.costs.memory import points_per_job
from correct_l0.stages import asked_of
from correct_l0.study.groups import (
    divide,
    divide_measured,
    group_named,
    group_of,
    is_record,
    points_named,
    split_labels,
)
from correct_l0.study.report import report_settings, round_settings
from correct_l0.study.rounds import manifest_of
from correct_l0.standing.unfinished import (
    points_to_measure,
    points_to_train,
    seeds_to_compare,
)


@cache
def to_train(results):
    """Return the points whose SAE certainly has to be trained."""
    points = points_to_train(PLANS[results], stale_results()[results])
    return [point for point in points if asked(results, *point)]


@cache
def trainings(results):
    """Return the groups whose SAEs are trained, single ones too.

    Where the source has to be made again, only then can be told which SAEs stand: all are looked at.
    A record that is asked for by name is a group; of a cluster's job, those that it trains.
    """
    if not is_main_process():
        jobs = jobs_of_this_process("train_points")
        return [group_of(job) for job in jobs if job["results"] == results]
    plan, points = PLANS[results], to_train(results)
    if not Path(plan.source).exists():
        points = [point for point in plan.points if asked(results, *point)]
    named = [
        group_named(target)
        for target in asked_files() or []
        if target.startswith(f"{results}/saes/groups/")
    ]
    rest = set(points).difference(*(group.points for group in named))
    return [*named, *divide(plan.study, rest, points_per_job(plan.study))]


@cache
def training_files(results):
    """Return by point the record that ends its training.

    One of another run, its points lost since, would pass for up to date: it is made anew.
    """
    files = {
        group: f"{results}/saes/groups/seed_{group.seed}/l0_{group.l0s}.json"
        for group in trainings(results)
    }
    if is_main_process():
        certain = set(to_train(results))
        make_again(files[group] for group in files if certain & set(group.points))
    return {point: file for group, file in files.items() for point in group.points}


@cache
def measured_files(results, folder, rooms):
    """Return the records of the jobs that measure what has to be measured in some rooms."""
    plan, stale = PLANS[results], stale_results()[results]
    points = points_to_measure(plan, stale, rooms, to_train(results))
    return [
        f"{results}/{folder}/seed_{group.seed}/l0_{group.l0s}.json"
        for group in divide_measured(
            [point for point in points if asked(results, *point)], trainings(results)
        )
    ]


def asked(results, l0, seed):
    """Tell whether a point is asked for: any, unless the targets are files of named points."""
    targets = asked_files()
    if targets is None or not all("seed_" in target for target in targets):
        return True
    return any(
        target.startswith(f"{results}/") and (l0, seed) in points_named(target)
        for target in targets
    )


def trained_before(wildcards):
    """Return the records of the trainings of a job's points, of those that are to be trained."""
    plan = plan_of(wildcards)
    its = group_of(wildcards).points if "l0s" in wildcards.keys() else plan.points
    files = training_files(wildcards.results)
    return list(dict.fromkeys(files[point] for point in its if point in files))


def saes_of(wildcards):
    """Return the settings of the SAEs of a group by the folder of each."""
    plan = plan_of(wildcards)
    return {
        plan.point_folder("saes", l0, wildcards.seed): plan.settings_sae(l0)
        for l0 in split_labels(wildcards.l0s)
    }


def folders_of(wildcards, room):
    """Return the folders of a group's results in a room, by the folder of the SAE."""
    return plan_of(wildcards).beside(room, split_labels(wildcards.l0s), wildcards.seed)


def metrics_asked(wildcards):
    """Return what is measured of the SAEs of a group, by the room: all that is asked but probing."""
    return asked_of(plan_of(wildcards), split_labels(wildcards.l0s), wildcards.seed)


def remove_records():
    """Remove the records that a run was asked for by name, else all that interrupted runs left.

    One that stays would pass for up to date once its results are lost. Where points are named,
    another machine may be at others.
    """
    targets = asked_files()
    for target in targets or []:
        if is_record(target):
            Path(target).unlink(missing_ok=True)
    for results in PLANS if targets is None else []:
        for folder in ("saes/groups", "measured", "probing/groups"):
            shutil.rmtree(f"{results}/{folder}", ignore_errors=True)
        Path(results, "stability/compared.json").unlink(missing_ok=True)


def settings_of_report(wildcards):
    """Return the settings of a sweep's report."""
    return report_settings(plan_of(wildcards))


def if_asked(rule):
    """Return a function that returns the manifest of a stage of the report, where a sweep has it."""

    def manifest(wildcards):
        plan = plan_of(wildcards)
        return [str(STAGES[rule].result_of(plan))] * STAGES[rule].asked(plan)

    return manifest


def results_of(wildcards):
    """Return the records of what has to be trained and measured before the tables."""
    plan, results = plan_of(wildcards), wildcards.results
    files = [*plan.baselines_manifest(), *trained_before(wildcards)]
    if not is_main_process():
        return files
    rooms = tuple(room for room in plan.rooms if room != "probing")
    records = measured_files(results, "measured", rooms)
    if "probing" in plan.rooms:
        records = records + measured_files(results, "probing/groups", ("probing",))
    if seeds_to_compare(plan, stale_results()[results], to_train(results)):
        records = [*records, f"{results}/stability/compared.json"]
    make_again(records)
    return [*files, *records]


def results_of_round(wildcards):
    """Return what a round of a search is read from.

    A round that stands and whose points stay as they are waits for nothing of later rounds, and so
    does one of shorter trainings. One that is read again waits for all: while its record is away no
    job should ask which points there are.
    """
    plan, then, results = plan_of(wildcards), plan_then(wildcards), wildcards.results
    if then == plan or not is_main_process():
        return results_of(wildcards)
    everything = results_of(wildcards)
    as_long = then.study.saes.factor == plan.study.saes.factor
    points = {*then.points} if as_long else set()
    record = str(manifest_of(plan.round_file(int(wildcards.round))))
    made = set().union(*map(points_named, everything))
    if made & points or record in {entry.path for entry in stale_results()[results]}:
        return everything
    return plan.baselines_manifest()


def plan_then(wildcards):
    """Return the plan of a job's sweep, of a job that reads a round as it was in that round."""
    plan = plan_of(wildcards)
    if "round" not in wildcards.keys():
        return plan
    return plan.at_round(int(wildcards.round))


def saes_by_seed(wildcards):
    """Return the settings of a sweep's SAEs, by the folder of each, by seed."""
    plan = plan_of(wildcards)
    return {
        str(seed): {
            plan.point_folder("saes", l0, seed): plan.settings_sae(l0)
            for l0, seeds in plan.compared.items()
            if seed in seeds
        }
        for seed in sorted(plan.study.saes.seeds)
    }
