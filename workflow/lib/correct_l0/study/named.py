"""What a configuration names on this machine: looked at, and told by content in place of by path.

Imported whenever a configuration is read, so nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from correct_l0.sources.language_model.checks import (
    check_cache_identity,
    check_inputs,
    check_model,
    doubts,
)
from correct_l0.sources.language_model.places import (
    NOWHERE,
    Places,
    by_content,
    model_by_content,
)
from correct_l0.sources.language_model.settings import Activations, Prompted
from correct_l0.sources.sae_probes import check_tasks
from correct_l0.sources.semi_synthetic.checks import check_semi_synthetic
from correct_l0.sources.stored.checks import check_stored
from correct_l0.sources.stored.settings import Stored
from correct_l0.study.config import Config


class Named(NamedTuple):
    """What the sweeps of a study share of the machine they run on.

    Attributes
    ----------
    sections
        Sections of the study in which a local model and text stand by digests of what they hold.
    places
        Where these are.
    doubts
        Remarks on what the configuration names.
    """

    sections: dict[str, Any]
    places: Places = NOWHERE
    doubts: tuple[str, ...] = ()


def named_by(studies: Sequence[Config], base: Path, results: Path, caches: Path) -> Named:
    """Check all that can be checked in a moment about what the sweeps of a study name.

    Parameters
    ----------
    studies
        The sweeps, which have one source.
    base
        Where relative paths start.
    results, caches
        The folder of all studies, and that of all activation caches.

    Raises
    ------
    InputError
        The value, the limit, the remedy.
    """
    study = studies[0]
    check_tasks(study.probing.tasks)
    digests = caches / ".digests.json"
    if study.stored is not None:
        check_stored(stored := study.stored.at(base), max(each.batch_tokens for each in studies))
        return _of_stored(stored, study.prompted, base, digests)
    if study.activations is not None:
        return _of_language_model(study.activations, base, caches, digests)
    if study.semi_synthetic is not None:
        check_semi_synthetic(study.semi_synthetic, str(results / study.study))
    return Named({})


def _of_stored(stored: Stored, prompted: Prompted | None, base: Path, digests: Path) -> Named:
    if prompted is None:
        return Named({"stored": stored})
    places = Places.of_model(prompted.model, base)
    check_model(prompted.model_copy(update={"model": places.fill_model(prompted.model)}))
    model = model_by_content(prompted.model, places, digests)
    return Named({"stored": stored.model_copy(update={"model": model})}, places)


def _of_language_model(activations: Activations, base: Path, caches: Path, digests: Path) -> Named:
    if not isinstance(activations.text.reserve_tasks, str):
        check_tasks(activations.text.reserve_tasks)
    places = Places.of(activations, base)
    check_inputs(filled := places.fill(activations))
    remarks = tuple(doubts(filled))
    activations = by_content(activations, places, digests)
    check_cache_identity(str(caches / activations.cache), activations)
    return Named({"activations": activations}, places, remarks)
