"""What of a study's source does not stand: cache or world, what probing reads, weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from correct_l0.provenance.findings import examine
from correct_l0.provenance.manifest import digest_of_content, is_whole, read_or_empty
from correct_l0.sources.stored import MODEL_STAGE
from correct_l0.sources.stored.settings import PLACES, Stored
from correct_l0.stages import BY_RULE, STAGES
from correct_l0.standing.chain import (
    task_manifests,
)
from correct_l0.standing.stale_words import Stale, changes, reason_of
from correct_l0.study.plan import Plan


def stale_cache(plan: Plan) -> list[Stale]:
    """Return the manifests of the cache that another recipe made, or that leave out other rows.

    The settings of its rows were compared when the configuration was read.
    """
    if not plan.study.has_rows:
        return []
    if plan.study.activations is None:
        return _stale_world(plan)
    folder = Path(plan.source_folder)
    tasks = BY_RULE["cache_probing_activations"]
    recipes = {
        stage.result_of(plan): stage.recipe
        for stage in STAGES
        if stage.of == "source" and stage.room and stage.asked(plan) and stage is not tasks
    }
    recipes |= dict.fromkeys(task_manifests(plan).values(), tasks.recipe)
    stale = []
    for path, recipe in recipes.items():
        found = read_or_empty(path) if path.exists() else None
        if found is None:
            continue
        words = f"recipe {found.get('recipe')} -> {recipe}" if is_whole(found) else "damaged"
        if is_whole(found) and found.get("recipe") == recipe:
            words = _unsealed(plan, found) if str(path) == plan.source else ""
        if not words:
            continue
        reason = f"{path.relative_to(folder)} {words}"
        stale.append(Stale("activations", None, None, str(path), reason))
    return stale


def _unsealed(plan: Plan, sealed: Mapping[str, Any]) -> str:
    """Return why a cache whose rows stand has to be sealed anew; empty where it has not."""
    settings = str(sealed.get("parameters")), plan.settings_source()
    if settings[0] != settings[1]:
        return changes(*settings)
    return "" if "norms" in sealed else "tells nothing of the norms of rows"


def _stale_world(plan: Plan) -> list[Stale]:
    """Return the manifest of a source that is the study's own, if it does not stand."""
    stage = BY_RULE[plan.study.source.stage]
    inputs: dict[str, str | None] = {}
    if (semi_synthetic := plan.study.semi_synthetic) is not None:
        # Snakemake sees that the SAE was written since, and the jobs that read it check it.
        cache = read_or_empty(semi_synthetic.activations)
        inputs = {"activations": digest_of_content(cache), "sae": None}
    found = examine(
        stage.room,
        stage.result_of(plan),
        stage=stage.rule,
        recipe=stage.recipe,
        parameters=stage.settings(plan, ""),
        inputs=inputs,
        quick=True,
    )
    reason = reason_of(found, has_followers=Path(plan.results, "saes").exists())
    if (stored := plan.study.stored) is not None and found.wrong is None:
        reason = _moved(stored, found.manifest or {})
    world = [Stale(stage.room, None, None, plan.source, reason)] if reason else []
    return [*world, *_stale_prompts(plan)]


def _stale_prompts(plan: Plan) -> Iterator[Stale]:
    """Yield what of a study's own reading of prompts does not stand: the model, the tasks."""
    model, tasks = BY_RULE[MODEL_STAGE], BY_RULE["cache_probing_activations"]
    if not model.asked(plan):
        return
    looked_at = {model.result_of(plan): model}
    looked_at |= dict.fromkeys(task_manifests(plan).values(), tasks)
    for path, stage in looked_at.items():
        found = examine(
            stage.room,
            path,
            stage=stage.rule,
            recipe=stage.recipe,
            parameters=stage.settings(plan, ""),
            inputs={} if stage is model else {"model": None, "prompts": None},
            quick=True,
        )
        if reason := reason_of(found, has_followers=False):
            yield Stale(stage.room, None, None, str(path), reason)


def _moved(stored: Stored, indexed: Mapping[str, Any]) -> str:
    """Return which files are named now that were not indexed; empty where they are the same."""
    before = indexed.get("places", {})
    named = {name: getattr(stored, name) for name in PLACES}
    return "; ".join(f"{x} {before.get(x)} -> {y}" for x, y in named.items() if before.get(x) != y)


def stale_weights(plan: Plan) -> list[Stale]:
    """Return the record of the weights of imported SAEs, if it does not stand."""
    stage = BY_RULE["fetch_weights"]
    if not stage.asked(plan):
        return []
    path = stage.result_of(plan)
    found = examine(
        stage.room,
        path,
        stage=stage.rule,
        recipe=stage.recipe,
        parameters=stage.settings(plan, ""),
        inputs={},
        quick=True,
    )
    reason = reason_of(found, has_followers=Path(plan.results, "saes").exists())
    return [Stale(stage.room, None, None, str(path), reason)] if reason else []
