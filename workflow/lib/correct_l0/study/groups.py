"""Which SAEs are trained together, in one job that reads the data once.

A group has one seed, on which the order of the data depends, and one size of batch. It is made of
the points that have to be trained when Snakemake works the jobs out; how they are grouped changes
no number. Imported whenever Snakemake parses the workflow, so nothing heavy is imported here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
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


def divide(study: Config, points: Iterable[Point], most: int) -> list[Group]:
    """Return the groups of points that have to be trained; a point alone is in none.

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
    return [group for group in groups if len(group.labels) > 1]
