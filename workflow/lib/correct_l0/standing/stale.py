"""Which results that are there do not stand any more, and why: manifests decide.

Snakemake compares a job with what it recorded when the job ran. The record can be lost, and does
not know what a file holds. Here every manifest is held against the configuration instead. What
follows from a stale result is not listed: it is made again whatever its own manifest says.

The shards of an activation cache are not looked at: they may be deleted once the SAEs are trained,
and the jobs that read them check them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from correct_l0.provenance.findings import Finding, examine
from correct_l0.provenance.manifest import digest_of_content, is_whole, read_or_empty
from correct_l0.provenance.source_digest import report_source_digest
from correct_l0.stages import OF_REPORT
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
from correct_l0.standing.stale_sources import stale_cache, stale_weights
from correct_l0.standing.stale_words import LOST, Stale, reason_of
from correct_l0.study.frozen_control import STAGE as STAGE_OF_CONTROL
from correct_l0.study.plan import Plan
from correct_l0.study.train_on import STAGE as STAGE_OF_TRAINED_ON

CODE_CHANGED = "the report's code or text changed"
READERS = 8
"""Points looked at together: on a network disk each look waits."""


def find(plan: Plan) -> list[Stale]:
    """Return what has to be made again of a study, in the order in which it is made.

    Results that were never made are not among them.
    """
    cache = [*stale_cache(plan), *stale_weights(plan)]
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


def _key(finding: Finding) -> str:
    return result_key(finding.room, finding.l0, finding.seed)


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
        Digest of the code that made all that is `of_code`.
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
        if finding.wrong is None and stage.of_code:
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
