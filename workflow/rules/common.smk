# In: the configuration. Out: names that every other .smk uses; nothing is computed here.

import re
import subprocess
import sys

from correct_l0.costs import estimates as costs
from correct_l0.stages import limits
from correct_l0.settings.errors import check_repeated_keys
from correct_l0.errors import InputError
from correct_l0.jobs.job import prepare_environment
from correct_l0.study.plan import Plan
from correct_l0.provenance.source_digest import report_source_digest
from correct_l0.standing.clock import check_dates
from correct_l0.stages import BY_RULE as STAGES
from correct_l0.jobs.running import describe_run, forget_run, note_run, why_failed

try:
    for path in CONFIGFILES or ["config/config.yaml"]:
        check_repeated_keys(path)
    # After the loop, the last of several files that are merged: relative paths start from it.
    CONFIG_FOLDER = Path(path).parent
    PLANS = {plan.results: plan for plan in Plan.all_from_config(config, CONFIG_FOLDER)}
    PLAN = next(iter(PLANS.values()))
    if is_main_process():
        check_dates(PLANS.values())
except InputError as error:
    sys.exit("\n".join(f"error: {line}" for line in str(error).splitlines()))

prepare_environment(LIBRARY)

STUDY = PLAN.study
# The sweeps of a study share its source; of the rest each has its own, in its own folder.
STUDY_FOLDER, RESULTS = PLAN.study_folder, "{results}"
SOURCE, SOURCE_FOLDER, DEVICE = PLAN.source, PLAN.source_folder, STUDY.device
TASK_MANIFESTS = list(PLAN.task_manifests().values())


def alternatives(values):
    """Return a pattern of values, each once."""
    return "|".join(dict.fromkeys(re.escape(str(value)) for value in values))


for remark in dict.fromkeys(x for each in PLANS.values() for x in each.warnings()):
    logger.warning(f"warning: {remark}")
if is_main_process() and (other := describe_run(STUDY_FOLDER)):
    logger.warning(f"warning: study {STUDY.study} {other}")


ANY_L0 = alternatives(label for plan in PLANS.values() for label in plan.labels)


# A target on the command line that is no point of the study is refused, not trained.
wildcard_constraints:
    l0=ANY_L0,
    l0s=f"(?:{ANY_L0})(?:-(?:{ANY_L0}))*",
    seed=alternatives(seed for plan in PLANS.values() for seed in plan.study.saes.seeds),
    results=alternatives(PLANS),


def plan_of(wildcards):
    """Return the plan of a job's sweep, of a job of the source that of any."""
    return PLANS.get(wildcards.get("results"), PLAN)


def points_of(wildcards):
    """Return the L0 of a point's job, those of a group's, or None, as `costs` takes them."""
    return wildcards.get("l0") or wildcards.get("l0s")


def memory(name):
    """Return the memory of a rule's jobs, in MB: more with each attempt."""
    return lambda wildcards, attempt: limits.mem_mb(
        name, plan_of(wildcards).study, attempt, points_of(wildcards)
    )


def runtime(name, group=lambda wildcards: []):
    """Return the time limit of a rule's jobs, in minutes: longer with each attempt.

    `group` returns the file of the group, if any, that trains the point.
    """
    return lambda wildcards, attempt: limits.runtime_min(
        name,
        plan_of(wildcards).study,
        attempt,
        points_of(wildcards),
        in_group=bool(group(wildcards)),
    )


def recipe(name):
    """Return the recipe of a rule, as its jobs' parameters have it."""
    return f"recipe={STAGES[name].recipe}"


def report_code(wildcards):
    """Return what changes with a caption, a colour or a sentence, and not with a comment."""
    return f"code={report_source_digest('reading', 'report')}"


def reasons_of_failure():
    """Return a line for each job that failed for good; one of the same reason only once."""
    lines = (why_failed(name, logs, STUDY_FOLDER) for name, logs in failed_jobs())
    return list(dict.fromkeys(lines))


def write_partial_report():
    """Write a report over the points that are there, with the others as named gaps."""
    command = [sys.executable, "-m", "correct_l0.report.partial"]
    for plan in PLANS.values():
        subprocess.run(command, input=plan.as_json(), text=True, check=False)
