"""Which results that are there do not stand any more, and why: manifests decide.

Snakemake compares a job with what it recorded when the job ran. The record can be lost, and does
not know what a file holds. Here every manifest is held against the configuration instead. What
follows from a stale result is not listed: it is made again whatever its own manifest says.

The shards of an activation cache are not looked at: they may be deleted once the SAEs are trained,
and the jobs that read them check them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from correct_l0.provenance.differences import differences
from correct_l0.provenance.findings import Finding, examine
from correct_l0.provenance.manifest import digest_of_content, is_whole, read_or_empty
from correct_l0.provenance.source_digest import report_source_digest
from correct_l0.sources.stored import MODEL_STAGE
from correct_l0.sources.stored.settings import PLACES, Stored
from correct_l0.stages import BY_RULE, OF_REPORT, STAGES
from correct_l0.standing.chain import (
    BASELINES,
    examine_baselines,
    examine_point,
    examine_rounds,
    examine_stability,
    result_key,
    result_keys,
    task_manifests,
)
from correct_l0.study.frozen_control import STAGE as STAGE_OF_CONTROL
from correct_l0.study.plan import Plan
from correct_l0.study.train_on import STAGE as STAGE_OF_TRAINED_ON

LOST = "not there (interrupted, failed or deleted)"
CODE_CHANGED = "the report's code or text changed"
OF_NO_CODE = ("tables", "train_on", "self_check", "frozen_control")
"""Rooms of the report in which a sentence or a colour changes nothing."""
READERS = 8
"""Points looked at together: on a network disk each look waits."""
LONGEST_WORDS = 100


@dataclass(frozen=True)
class Stale:
    """A result that is or was there and has to be made again.

    Attributes
    ----------
    room
        `activations`, `weights`, `saes`, `decoder_metrics`, `probing`, `probing baselines`,
        `rounds`, `tables`, `train_on`, `verdict`, `self_check`, `frozen_control`, `figures`,
        `page` or `comparison`.
    l0, seed
        The point, where it is a point's.
    path
        An output of the rule that makes it.
    reason
        What changed, in the study's words.
    """

    room: str
    l0: str | None
    seed: int | None
    path: str
    reason: str


def find(plan: Plan) -> list[Stale]:
    """Return what has to be made again of a study, in the order in which it is made.

    Results that were never made are not among them.
    """
    cache = [*_stale_cache(plan), *_stale_weights(plan)]
    unfit = {stale.path for stale in cache}

    def digest(path: Path) -> str | None:
        manifest = {} if str(path) in unfit else read_or_empty(path)
        return digest_of_content(manifest) if manifest else None

    sealed = digest(Path(plan.source_folder) / "manifest.json")
    tasks = {task: digest(path) for task, path in task_manifests(plan).items()}

    def look(point: tuple[str, int]) -> list[Finding]:
        return examine_point(plan, point[0], point[1], sealed, tasks, quick=True)

    with ThreadPoolExecutor(READERS) as pool:
        points = pool.map(look, plan.points)
        findings = {_key(finding): finding for point in points for finding in point}
    saes = {
        point: standing_digest(findings.get(result_key("saes", *point))) for point in plan.points
    }
    findings |= {_key(finding): finding for finding in examine_stability(plan, saes, quick=True)}
    if "probing" in plan.rooms:
        findings[BASELINES] = examine_baselines(plan, tasks, quick=True)
    findings |= examine_rounds(
        plan, {key: standing_digest(finding) for key, finding in findings.items()}, quick=True
    )
    tables = Path(plan.results) / "tables" / "manifest.json"
    gathered = set(read_or_empty(tables).get("inputs") or ())
    results = [
        Stale(f.room, f.l0, f.seed, str(f.path), reason)
        for f in findings.values()
        if (reason := reason_of(f, _key(f) in gathered or _has_followers(plan, f)))
    ]
    lost = _lost_tasks(plan, findings.values())
    return [*cache, *lost, *results, *_stale_report(plan, tables, findings, sealed)]


def describe(found: Iterable[Stale]) -> list[str]:
    """Return what is stale in as many lines as there are different reasons.

    Examples
    --------
    >>> describe([Stale("saes", "40", seed, "", "lr 0.1 -> 0.2") for seed in (0, 1)])
    ['saes l0 40 seed 0, l0 40 seed 1: lr 0.1 -> 0.2']
    >>> describe([Stale("saes", "40", seed, "", "lr 0.1 -> 0.2") for seed in range(9)])
    ['saes of 9 points: lr 0.1 -> 0.2']
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for s in found:
        of_seed = "" if s.seed is None else f" seed {s.seed}"
        where = "" if s.l0 is None else f"l0 {s.l0}{of_seed}"
        groups.setdefault((s.room, s.reason), []).append(where)
    lines = []
    for (room, reason), points in groups.items():
        many = len(points) > 4 and all(points)
        where = f"of {len(points)} points" if many else ", ".join(filter(None, points))
        lines.append(f"{room} {where}".rstrip() + f": {reason}")
    return lines


def _key(finding: Finding) -> str:
    return result_key(finding.room, finding.l0, finding.seed)


def _stale_cache(plan: Plan) -> list[Stale]:
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
        return _changes(*settings)
    return "" if "norms" in sealed else "sealed before the norms of rows were looked at"


def _stale_world(plan: Plan) -> list[Stale]:
    """Return the manifest of a source that is the study's own, if it does not stand."""
    stage = BY_RULE[plan.source_stage]
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


def _stale_weights(plan: Plan) -> list[Stale]:
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


def _lost_tasks(plan: Plan, findings: Iterable[Finding]) -> Iterator[Stale]:
    """Yield the manifests of tasks that are missing and that scores were made from.

    A cache that was deleted whole is not looked at: nothing needs it as long as results stand.
    """
    if not (Path(plan.source_folder) / "cache.json").exists():
        return
    manifests = [f.manifest for f in findings if f.room in ("probing", BASELINES) and f.manifest]
    used = {name for manifest in manifests if is_whole(manifest) for name in manifest["inputs"]}
    for task, path in task_manifests(plan).items():
        if task in used and not path.exists():
            yield Stale("activations", None, None, str(path), f"probing/tasks {LOST}")


def _stale_report(
    plan: Plan, tables: Path, findings: Mapping[str, Finding], sealed: str | None
) -> Iterator[Stale]:
    page = Path(plan.results) / "report.html"
    made_from = {key: standing_digest(findings.get(key)) for key in result_keys(plan)}
    chain: dict[str, dict[str, Any]] = {
        stage.room: {
            "stage": stage.rule,
            "recipe": stage.recipe,
            "parameters": stage.settings(plan, ""),
            "quick": True,
        }
        for stage in OF_REPORT
        if stage.asked(plan)
    }
    chain["tables"]["inputs"] = made_from
    if STAGE_OF_CONTROL in chain:
        chain[STAGE_OF_CONTROL]["inputs"] = {"activations": sealed}
    if STAGE_OF_TRAINED_ON in chain:
        ((l0, seed),) = plan.points
        sae = standing_digest(findings.get(result_key("saes", l0, seed)))
        chain[STAGE_OF_TRAINED_ON]["inputs"] = {"activations": sealed, "sae": sae}
    return stale_chain(page, chain, report_source_digest("reading", "report"))


def stale_chain(page: Path, chain: Mapping[str, Mapping[str, Any]], code: str) -> Iterator[Stale]:
    """Yield the first of what a report is made of that does not stand.

    Parameters
    ----------
    page
        The report.
    chain
        How `examine` looks at each that is asked for; where it has no inputs, what it follows is
        the input.
    code
        Digest of the code that made all but those `OF_NO_CODE`.
    """
    folder = page.parent
    stages = [stage for stage in OF_REPORT if stage.room in chain]
    digests: dict[str, str | None] = {}
    for stage in stages:
        room, path = stage.room, folder / stage.result
        before = {each.room for each in stages if each.rule in stage.after}
        inputs = {name: digest for name, digest in digests.items() if name in before}
        finding = examine(room, path, **{"inputs": inputs, **chain[room]})
        reason = reason_of(finding, page.exists())
        if finding.wrong is None and room not in OF_NO_CODE:
            reason = "" if is_of_code(finding, code) else CODE_CHANGED
        if reason:
            yield Stale(room, None, None, str(path), reason)
        if reason or finding.wrong:
            return
        digests[room] = standing_digest(finding)


def is_of_code(finding: Finding, code: str) -> bool:
    """Tell whether the code that made a part of the report is of this digest."""
    return (finding.manifest or {}).get("code") == code


def standing_digest(finding: Finding | None) -> str | None:
    """Return the digest of a result that stands."""
    if finding is None or finding.wrong or finding.manifest is None:
        return None
    return digest_of_content(finding.manifest)


def _has_followers(plan: Plan, finding: Finding) -> bool:
    """Tell whether there are results made from an SAE."""
    if finding.room != "saes" or finding.l0 is None or finding.seed is None:
        return False
    others = (plan.point_folder(room, finding.l0, finding.seed) for room in plan.rooms)
    return any((Path(folder) / "manifest.json").exists() for folder in others)


def reason_of(finding: Finding, has_followers: bool) -> str:
    """Return why a result has to be made again; empty where it stands or was never made."""
    wrong, folder = finding.wrong, finding.path.parent
    if wrong is None:
        return ""
    if not finding.path.exists():
        return LOST if has_followers else ""
    if wrong.settings:
        return _changes(*wrong.settings)
    if wrong.path == finding.path:
        return wrong.words
    return f"{wrong.path.relative_to(folder)} {wrong.words}"


def _changes(found: str, wanted: str) -> str:
    """Return the settings that changed, in few words.

    Examples
    --------
    >>> _changes('{"training":{"lr":0.1},"n":[4,8]}', '{"training":{"lr":0.2},"n":[8,9]}')
    'n with 9, without 4; lr 0.1 -> 0.2'
    """
    try:
        changed = differences(found, wanted)
    except ValueError:
        return "unreadable settings"
    words = "; ".join(_change(key.removeprefix("training."), *rest) for key, *rest in changed)
    return words if len(words) <= LONGEST_WORDS else words[: LONGEST_WORDS - 3] + "..."


def _change(key: str, old: str, new: str) -> str:
    if old[:1] + new[:1] != "[[":
        return f"{key} {old} -> {new}"
    before, after = json.loads(old), json.loads(new)
    parts = [
        f"{word} {', '.join(map(str, values))}"
        for word, values in (
            ("with", [value for value in after if value not in before]),
            ("without", [value for value in before if value not in after]),
        )
        if values
    ]
    return f"{key} {', '.join(parts) or 'in another order'}"
