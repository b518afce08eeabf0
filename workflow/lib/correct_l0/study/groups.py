"""Which SAEs are trained together, in one job that reads the data once, and measured together.

A group has one seed, on which the order of the data depends, and one size of batch. It is made of
the points that have to be trained when Snakemake works the jobs out; how they are grouped changes
no number. Imported whenever Snakemake parses the workflow, so nothing heavy is imported here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from correct_l0.study.config import Config

Point = tuple[str, int]


@dataclass(frozen=True)
class Group:
    """SAEs of one seed that one job trains: their L0 labels, lowest first."""

    seed: int
    labels: tuple[str, ...]

    @property
    def l0s(self) -> str:
        """The labels in a file name.

        Examples
        --------
        >>> Group(0, ("4", "8", "10.5")).l0s
        '4-8-10.5'
        """
        return "-".join(self.labels)

    @property
    def points(self) -> list[Point]:
        """The points, as a plan has them."""
        return [(label, self.seed) for label in self.labels]


def split_labels(l0s: str) -> tuple[str, ...]:
    """Return the L0 labels of a group's name, or of a single point's.

    Examples
    --------
    >>> split_labels("4-8-10.5"), split_labels("1e-05-4")
    (('4', '8', '10.5'), ('1e-05', '4'))
    """
    return tuple(re.split(r"(?<!e)-", l0s))


def group_of(wildcards: Mapping[str, str]) -> Group:
    """Return the group that a job's wildcards name.

    Examples
    --------
    >>> group_of({"seed": "0", "l0s": "4-8"})
    Group(seed=0, labels=('4', '8'))
    """
    return Group(int(wildcards["seed"]), split_labels(wildcards["l0s"]))


def group_named(record: str) -> Group:
    """Return the group that a record's name tells.

    Examples
    --------
    >>> group_named("results/a/saes/groups/seed_0/l0_4-8.json")
    Group(seed=0, labels=('4', '8'))
    """
    points = points_named(record)
    return Group(points[0][1], tuple(l0 for l0, _ in points))


def points_named(target: str) -> list[Point]:
    """Return the points that a file of one point, or the record of a group, is about.

    Examples
    --------
    >>> points_named("results/a/saes/l0_4/seed_0/manifest.json")
    [('4', 0)]
    >>> points_named("results/a/measured/seed_10/l0_4-8.json")
    [('4', 10), ('8', 10)]
    >>> points_named("results/a/report.html")
    []
    """
    labels = re.search(r"/l0_([^/]+?)(?:/|\.json$)", target)
    seed = re.search(r"/seed_(\d+)(?:/|\.|$)", target)
    if labels is None or seed is None:
        return []
    return [(label, int(seed[1])) for label in split_labels(labels[1])]


def is_record(target: str) -> bool:
    """Tell whether a file is the record of a job that makes several results.

    Examples
    --------
    >>> is_record("results/a/measured/seed_0/l0_4.json"), is_record("results/a/report.html")
    (True, False)
    """
    return bool(re.search(r"/(measured|groups)/seed_|/stability/compared\.json$", target))


def divide(study: Config, points: Iterable[Point], most: int) -> list[Group]:
    """Return the groups of points that have to be trained, those of a single point among them.

    Parameters
    ----------
    study
        The configuration.
    points
        The points.
    most
        The most points of a group.

    Returns
    -------
    list of Group
        As few as `most` allows and of sizes as equal as can be. Points are dealt out in turns: a
        step costs more at a high L0, and groups that take equally long end together.
    """
    alike: dict[tuple[int, int], list[str]] = {}
    for l0, seed in sorted(points, key=lambda point: (float(point[0]), point[1])):
        alike.setdefault((seed, study.training(float(l0)).batch_tokens), []).append(l0)
    groups = []
    for (seed, _), labels in alike.items():
        jobs = math.ceil(len(labels) / most)
        groups += [Group(seed, tuple(labels[number::jobs])) for number in range(jobs)]
    return groups


MEASURED_TOGETHER = 16
"""The most SAEs that one job measures: what all jobs pay for, such as imports, is paid once."""


def divide_measured(points: Iterable[Point], trained: Iterable[Group]) -> list[Group]:
    """Return the groups of points that have to be measured.

    Points that are trained together are measured together, others with those of their seed; a point
    that is trained alone is measured alone, as it may fail.

    Parameters
    ----------
    points
        The points.
    trained
        The groups of those that are trained first, single ones too.

    Examples
    --------
    >>> divide_measured([("4", 0), ("8", 0), ("16", 0)], [Group(0, ("8",))])
    [Group(seed=0, labels=('8',)), Group(seed=0, labels=('4', '16'))]
    """
    rest = set(points)
    groups = []
    for group in trained:
        labels = tuple(label for label in group.labels if (label, group.seed) in rest)
        if labels:
            groups.append(Group(group.seed, labels))
            rest -= {(label, group.seed) for label in labels}
    by_seed: dict[int, list[str]] = {}
    for l0, seed in sorted(rest, key=lambda point: (float(point[0]), point[1])):
        by_seed.setdefault(seed, []).append(l0)
    for seed, found in by_seed.items():
        jobs = math.ceil(len(found) / MEASURED_TOGETHER)
        groups += [Group(seed, tuple(found[number::jobs])) for number in range(jobs)]
    return groups
