# In: the configuration. Out: names that every other .smk uses; nothing is computed here.

import atexit
import re
import subprocess
import sys

from correct_l0.stages import limits
from correct_l0.settings.errors import check_yaml
from correct_l0.errors import InputError
from correct_l0.jobs.job import prepare_environment, print_what_can_be_printed
from correct_l0.study.opened import open_plans
from correct_l0.study.rounds import follow, has_ended, open_rounds, recorded_rounds
from correct_l0.provenance.source_digest import report_source_digest
from correct_l0.standing.clock import check_dates
from correct_l0.standing.folders import check_records
from correct_l0.stages import BY_JOB as STAGES_OF_RULE, BY_RULE as STAGES
from correct_l0.jobs.running import (
    WITHOUT_A_WORD,
    describe_run,
    forget_run,
    note_run,
    why_failed,
)
from correct_l0.jobs.stopping import stop_once
from correct_l0.standing.unfinished import failed_trainings

try:
    for path in CONFIGFILES or ["config/config.yaml"]:
        check_yaml(path)
    # After the loop, the last of several files that are merged: relative paths start from it.
    CONFIG_FOLDER = Path(path).parent
    PLANS = {plan.results: plan for plan in open_plans(config, CONFIG_FOLDER)}
    PLAN = next(iter(PLANS.values()))
    if is_main_process():
        check_records()
        check_dates(PLANS.values())
except InputError as error:
    sys.exit("\n".join(f"error: {line}" for line in str(error).splitlines()))

prepare_environment(LIBRARY)
print_what_can_be_printed()
stop_once(tells=is_main_process())
cancel_all_submitted()

STUDY = PLAN.study
# The sweeps of a study share its source; of the rest each has its own, in its own folder.
STUDY_FOLDER, RESULTS = PLAN.study_folder, "{results}"
SOURCE, SOURCE_FOLDER, DEVICE = PLAN.source, PLAN.source_folder, STUDY.device
if not STUDY.has_rows:
    # Of weights alone each sweep has its own.
    SOURCE_FOLDER = f"{RESULTS}/weights"
    SOURCE = f"{SOURCE_FOLDER}/manifest.json"
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
    l0s=f"(?:{ANY_L0})(?:-(?:{ANY_L0}))*",
    seed=alternatives(seed for plan in PLANS.values() for seed in plan.study.saes.seeds),
    results=alternatives(PLANS),


def plan_of(wildcards):
    """Return the plan of a job's sweep, of a job of the source that of any."""
    return PLANS.get(wildcards.get("results"), PLAN)


ENDED = {results: has_ended(plan) for results, plan in PLANS.items()}


def rounds_were_read():
    """Tell whether the records of searches say more now than when this run began."""
    return any(
        follow(plan) != plan or has_ended(plan) != ENDED[results]
        for results, plan in PLANS.items()
    )


def wanted(file):
    """Return a file of every sweep and of the study, while a search goes on its next record."""
    going_on = [record for plan in PLANS.values() for record in open_rounds(plan)]
    return going_on or expand(
        f"{{results}}/{file}", results={**PLANS, STUDY_FOLDER: PLAN}
    )


def memory(name):
    """Return the memory of a rule's jobs, in MB: more with each attempt."""
    return lambda wildcards, attempt: limits.mem_mb(
        name, plan_of(wildcards).study, attempt, wildcards.get("l0s")
    )


def runtime(name):
    """Return the time limit of a rule's jobs, in minutes: longer with each attempt."""
    return lambda wildcards, attempt: limits.runtime_min(
        name, plan_of(wildcards).study, attempt, wildcards.get("l0s")
    )


def recipe(name):
    """Return the recipe of a rule, as its jobs' parameters have it."""
    stage = STAGES[name]
    if stage.trains:
        return lambda wildcards: f"recipe={stage.recipe_in(plan_of(wildcards))}"
    return f"recipe={stage.recipe}"


def report_code(wildcards):
    """Return what changes with a caption, a colour or a sentence, and not with a comment."""
    return f"code={report_source_digest('reading', 'report')}"


def tell_estimates():
    """Tell the view of the run how long a job of each rule takes, as estimated."""
    rules_here = [name for name in rule_names() if name in STAGES_OF_RULE]
    seconds = {rule: limits.seconds(rule, STUDY) for rule in rules_here}
    logger.info(None, extra={"estimated_s": seconds})


def tell_reasons_of_failure():
    """Print why each training and each job failed for good, after all that Snakemake prints.

    Return whether any did. What several say is told once.
    """
    jobs = [why_failed(name, logs, STUDY_FOLDER) for name, logs in failed_jobs()]
    trainings = [
        f"error: {reason}"
        for plan in PLANS.values()
        for reason in failed_trainings(plan)
        if not any(reason in line for line in jobs)
    ]
    # What a job said is last on the screen: one beside it in a cluster's job may have had no chance to.
    silent = [line for line in jobs if WITHOUT_A_WORD in line]
    lines = dict.fromkeys(
        [*silent, *trainings, *(line for line in jobs if line not in silent)]
    )
    if lines:
        atexit.register(print, *lines, sep="\n", file=sys.stderr)
    return bool(lines)


def tell_answer():
    """Print the answer and where the report is, after all that Snakemake prints."""
    summary = Path(STUDY_FOLDER, "summary.txt")
    if asks_for_all() and not is_quiet() and summary.exists():
        atexit.register(print, f"\n{summary.read_text(encoding='utf-8').rstrip()}")


def write_partial_report():
    """Write a report over the points that are there, with the others as named gaps."""
    command = [sys.executable, "-m", "correct_l0.report.partial"]
    for plan in PLANS.values():
        # Out of reach of the Ctrl-C that may have ended the run.
        subprocess.run(
            command,
            input=plan.as_json(),
            text=True,
            check=False,
            start_new_session=True,
        )
