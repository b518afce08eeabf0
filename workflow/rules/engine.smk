# All that is asked of Snakemake beyond what it documents, in this one file: tests/unit/test_engine_smk.py
# names the version it was checked with. Before a run, manifests decide which results do not stand
# (correct_l0.standing.stale), as Snakemake's own record may be lost or say nothing of them; the
# jobs that make those are forced. No rule. Included first.

import logging
import os
import sys
from functools import cache
from pathlib import Path

from snakemake.settings.enums import Quietness
from snakemake.workflow import NOTHING_TO_BE_DONE_MSG
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

CHECKED_WITH = "9.27"

LIBRARY = str(Path(workflow.basedir) / "workflow" / "lib")
sys.path.insert(0, LIBRARY)
from correct_l0.errors import InputError
from correct_l0.jobs.again import again
from correct_l0.standing.folders import check_writable
from correct_l0.standing.stale import find
from correct_l0.standing.stale_words import describe
from correct_l0.standing.stale_comparison import find_comparison
from correct_l0.study.groups import is_record

# Files that the command line names.
CONFIGFILES = list(workflow.overwrite_configfiles)


def is_main_process():
    """Tell whether this is the Snakemake that was typed, not one that a job runs in."""
    return workflow.is_main_process


def is_quiet():
    """Tell whether nothing but errors is to be printed."""
    return Quietness.ALL in (workflow.output_settings.quiet or ())


def rule_names():
    """Return the names of all rules."""
    return [rule.name for rule in workflow.rules]


def asks_for_all():
    """Tell whether the whole study is asked for on the command line."""
    return [rule.name for rule in workflow.dag.targetrules] == ["all"]


class _Nothing(logging.Handler):
    """Calls a function when Snakemake says that there is nothing to do: no hook of its does."""

    def __init__(self, do):
        super().__init__()
        self.do = do

    def emit(self, record):
        if record.getMessage() == NOTHING_TO_BE_DONE_MSG and not workflow.dryrun:
            self.do()


def when_nothing_is_to_do(do):
    """Have a function called when a run finds nothing to do."""
    if is_main_process():
        logger.addHandler(_Nothing(do))


def make_again(files):
    """Force the jobs that make some files, where they are among the jobs to come."""
    workflow.dag.forcefiles.update(files)


def asked_files():
    """Return the files asked for on the command line; None where rules are, such as `all`."""
    if workflow.dag.targetrules:
        return None
    return [str(target) for target in workflow.dag.targetfiles]


def jobs_of_this_process(rule):
    """Return the wildcards of a rule's jobs that this process, not the one typed, was started for."""
    targets = workflow.dag_settings.target_jobs
    return [x.wildcards_dict for x in targets if x.rulename == rule]


def start_again():
    """Have the command that was typed start once more, in this process, when all here has ended."""

    def start():
        sys.stdout.flush()
        sys.stderr.flush()
        os.chdir(workflow.workdir_init)
        os.execv(sys.executable, again(sys.orig_argv))

    atexit.register(start)


def failed_jobs():
    """Return the jobs that failed for good and left something unmade: rule and point, and logs."""
    jobs = (
        job
        for each in workflow.scheduler.failed
        for job in (each.jobs if each.is_group() else [each])
    )
    return [
        (
            ", ".join(
                [job.rule.name, *(f"{k} {v}" for k, v in job.wildcards_dict.items())]
            ),
            list(job.log),
        )
        for job in jobs
        if not all(map(os.path.exists, job.output))
    ]


def cancel_all_submitted():
    """Have Ctrl-C cancel every job on a cluster that has not ended.

    Snakemake's own list lacks those that it is just asking the cluster about, perhaps all of them.
    """
    submitted = {}

    def noting(name, note):
        plain = getattr(RemoteExecutor, name)

        def report(self, job_info, *arguments, **named):
            note(job_info)
            plain(self, job_info, *arguments, **named)

        setattr(RemoteExecutor, name, report)

    noting("report_job_submission", lambda info: submitted.update({id(info): info}))
    for end in ("report_job_success", "report_job_error"):
        noting(end, lambda info: submitted.pop(id(info), None))

    def cancel(self):
        self.cancel_jobs(list(submitted.values()))
        self.shutdown()

    RemoteExecutor.cancel = cancel


@cache
def stale_results():
    """Return the stale results of each sweep by its folder, having said why they are.

    Those of all sweeps together are by the study's.
    """
    found = {results: find(plan) for results, plan in PLANS.items()}
    if STUDY.sweep:
        found[STUDY_FOLDER] = find_comparison(list(PLANS.values()), found)
    for results, stale in found.items():
        name = "" if results == STUDY_FOLDER else f"{PLANS[results].study.sweep}: "
        for line in describe(stale):
            logger.info(f"Stale: {name}{line}")
    return found


@cache
def refuse_read_only():
    """End here where jobs would find that they cannot write; only now is a dry run known for one."""
    try:
        if not workflow.dryrun:
            check_writable(PLANS.values())
    except InputError as error:
        sys.exit(f"error: {error}")


def mark_stale(wildcards):
    """Name no input file. Called as the jobs are worked out, before any is judged up to date."""
    if is_main_process():
        refuse_read_only()
        make_again(x.path for results in stale_results().values() for x in results)
        # A record that is there was left behind, its points perhaps lost since.
        make_again(filter(is_record, asked_files() or []))
    return []


def look_at_manifests():
    """Have every rule so far look at the manifests before its jobs are judged."""
    for each in workflow.rules:
        each.set_input(mark_stale)
