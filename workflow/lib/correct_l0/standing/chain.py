"""Holding a study's manifests against the configuration and against each other.

Gathering and `stale` judge by the same findings. Nothing heavy is imported here, because the
workflow asks for them whenever its jobs are worked out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from correct_l0.errors import InputError
from correct_l0.provenance.checks import Disagreement
from correct_l0.provenance.differences import describe_difference
from correct_l0.provenance.findings import Finding, examine
from correct_l0.provenance.manifest import digest_of, digest_of_content, read_manifest
from correct_l0.stages import BY_RULE, OF_POINT
from correct_l0.study.plan import Plan
from correct_l0.study.rounds import rounds_read

BASELINES = BY_RULE["probe_baselines"].room


def check_activations(plan: Plan) -> str:
    """Return the digest of the activation cache that the configuration names.

    Raises
    ------
    InputError
        If it is not sealed or was made with other settings.
    """
    path = Path(plan.source_folder) / "manifest.json"
    found, wanted = str(read_manifest(path).get("parameters")), plan.settings_source()
    if found != wanted:
        raise InputError(
            f"{path}: made with other settings ({describe_difference(found, wanted)}); "
            "name another cache or change the settings back"
        )
    return digest_of(path)


def task_manifests(plan: Plan) -> dict[str, Path]:
    """Return the manifest of each task's activations."""
    return {task: Path(path) for task, path in plan.task_manifests().items()}


def task_digests(plan: Plan) -> dict[str, str]:
    """Return the digest of each task's activations, empty where they are missing."""
    return {
        task: digest_of(path) if path.exists() else ""
        for task, path in task_manifests(plan).items()
    }


def examine_point(
    plan: Plan,
    l0: str,
    seed: int,
    activations: str | None,
    tasks: Mapping[str, str | None],
    quick: bool = False,
) -> list[Finding]:
    """Return what is found of one point's chain: its SAE, and what is measured of it.

    Behind an SAE that does not stand nothing is looked at.

    Parameters
    ----------
    plan
        The study.
    l0, seed
        The point.
    activations
        Digest of the activation cache.
    tasks
        Digest of each task's activations; empty where they are missing, None not to compare.
    quick
        As in `examine`.
    """
    inputs: dict[str, Mapping[str, str | None]] = {
        plan.study.source.stage: {"activations": activations},
        "cache_probing_activations": _known(tasks),
    }
    findings: list[Finding] = []
    for stage in OF_POINT:
        if not stage.asked(plan):
            continue
        finding = examine(
            stage.room,
            stage.result_of(plan, {"l0": l0, "seed": seed}),
            stage=stage.rule,
            recipe=stage.recipe_in(plan),
            parameters=stage.settings(plan, l0),
            inputs={name: of for rule in stage.after for name, of in inputs.get(rule, {}).items()},
            l0=l0,
            seed=seed,
            quick=quick,
        )
        if "cache_probing_activations" in stage.after:
            finding = _with_lost_task(plan, finding, tasks)
        findings.append(finding)
        if stage.trains:
            if finding.wrong:
                break
            inputs[stage.rule] = {"sae": digest_of_content(finding.manifest or {})}
    return findings


def examine_stability(
    plan: Plan, saes: Mapping[tuple[str, int], str | None], quick: bool = False
) -> list[Finding]:
    """Return what is found of the comparisons of seeds, by L0.

    Parameters
    ----------
    plan
        The study.
    saes
        Digest of the SAE of each point that stands; behind one that does not nothing is looked at.
    quick
        As in `examine`.
    """
    stage = BY_RULE["compare_seeds"]
    findings = []
    for l0, path in plan.stability_manifests().items():
        inputs = {f"seed_{seed}": saes.get((l0, seed)) for seed in plan.compared[l0]}
        if None not in inputs.values():
            found = examine(
                stage.room,
                Path(path),
                stage=stage.rule,
                recipe=stage.recipe,
                parameters=stage.settings(plan, l0),
                inputs=inputs,
                quick=quick,
            )
            findings.append(replace(found, l0=l0))
    return findings


def examine_rounds(
    plan: Plan, digests: Mapping[str, str | None], quick: bool = False
) -> dict[str, Finding]:
    """Return what is found of the records of a search's rounds, by their key; of a list none.

    Rounds of shorter trainings than the last stand as they are recorded: nothing else that is asked
    for is made from their SAEs, which may be gone.

    Parameters
    ----------
    plan
        The study.
    digests
        Digest of every result that stands, by its key.
    quick
        As in `examine`.
    """
    stage = BY_RULE["read_round"]
    found = {}
    for number in range(1, plan.rounds + 1):
        then = plan.at_round(number)
        found[round_key(number)] = examine(
            stage.room,
            stage.result_of(plan, {"round": number}),
            stage=stage.rule,
            recipe=stage.recipe,
            parameters=stage.settings(then, ""),
            inputs={
                key: digests.get(key) if then.study.saes.factor == plan.study.saes.factor else None
                for key in measured_keys(then)
            },
            quick=quick,
        )
    return found


def examine_baselines(plan: Plan, tasks: Mapping[str, str | None], quick: bool = False) -> Finding:
    """Return what is found of the probing baselines."""
    stage = BY_RULE["probe_baselines"]
    finding = examine(
        stage.room,
        stage.result_of(plan),
        stage=stage.rule,
        recipe=stage.recipe,
        parameters=stage.settings(plan, ""),
        inputs=_known(tasks),
        quick=quick,
    )
    return _with_lost_task(plan, finding, tasks)


def _known(tasks: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the digests to compare: not those of activations that are missing."""
    return {task: digest or None for task, digest in tasks.items()}


def _with_lost_task(plan: Plan, finding: Finding, tasks: Mapping[str, str | None]) -> Finding:
    """Return a finding that does not stand where activations that it was made from are missing."""
    missing = [path for task, path in task_manifests(plan).items() if tasks.get(task) == ""]
    if finding.wrong or not missing:
        return finding
    return replace(finding, wrong=Disagreement(missing[0], "missing"))


def result_key(room: str, l0: str | None = None, seed: int | None = None) -> str:
    """Return the name of a result among the inputs of the tables: of a point, an L0 or the study.

    Examples
    --------
    >>> result_key("saes", "4", 0), result_key("stability", "4")
    ('saes/l0_4/seed_0', 'stability/l0_4')
    """
    of_l0 = room if l0 is None else f"{room}/l0_{l0}"
    return of_l0 if seed is None else f"{of_l0}/seed_{seed}"


def round_key(number: int) -> str:
    """Return the name of a round's record among the inputs of the tables."""
    return f"rounds/round_{number}"


def result_keys(plan: Plan) -> list[str]:
    """Return the key of every result that the tables of a study are made from."""
    return [*measured_keys(plan), *map(round_key, rounds_read(plan))]


def measured_keys(plan: Plan) -> list[str]:
    """Return the key of every result that a reading of a study's points is made from."""
    rooms = ("saes", *plan.rooms)
    return [
        *(result_key(room, *point) for point in plan.points for room in rooms),
        *(result_key("stability", l0) for l0 in plan.stability_manifests()),
        *((BASELINES,) if "probing" in rooms else ()),
    ]
