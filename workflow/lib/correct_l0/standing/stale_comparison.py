"""Whether the page that sets the sweeps of a study side by side still stands; see `stale`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from correct_l0.provenance.findings import examine
from correct_l0.provenance.manifest import digest_of
from correct_l0.provenance.source_digest import report_source_digest
from correct_l0.stages import BY_RULE
from correct_l0.standing.stale import CODE_CHANGED, is_of_code
from correct_l0.standing.stale_words import Stale, reason_of
from correct_l0.study.plan import Plan
from correct_l0.study.report import comparison_inputs, comparison_settings


def find_comparison(plans: Sequence[Plan], found: Mapping[str, Sequence[Stale]]) -> list[Stale]:
    """Return the page of all sweeps, if it does not stand though all it is made from does.

    Parameters
    ----------
    plans
        The sweeps.
    found
        What has to be made again of each, by its folder.
    """
    stage = BY_RULE["compare_sweeps"]
    inputs = comparison_inputs(plans)
    if any(found[plan.results] for plan in plans) or not all(p.exists() for p in inputs.values()):
        return []
    path = stage.result_of(plans[0])
    finding = examine(
        stage.room,
        path,
        stage=stage.rule,
        recipe=stage.recipe,
        parameters=comparison_settings(plans),
        inputs={name: digest_of(each) for name, each in inputs.items()},
        quick=True,
    )
    reason = reason_of(finding, path.with_name("report.html").exists())
    if finding.wrong is None and not is_of_code(finding, report_source_digest("reading", "report")):
        reason = CODE_CHANGED
    return [Stale(stage.room, None, None, str(path), reason)] if reason else []
