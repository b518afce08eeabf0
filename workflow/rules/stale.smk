# In: every rule, and the manifests of the results that are there. Out: forced jobs, for results that
# do not stand any more (correct_l0.provenance.stale); Snakemake's own record may be lost or say nothing of them.

from functools import cache

from correct_l0.provenance.stale import describe, find
from correct_l0.toy_model.stale import find_toy


def mark_stale(wildcards):
    """Name no input file. Called as the jobs are worked out, before any is judged up to date."""
    if workflow.is_main_process:
        workflow.dag.forcefiles.update(result.path for result in stale_results())
    return []


@cache
def stale_results():
    """Return every stale result, having said why it is."""
    found = (find_toy if TOY_STUDY else find)(PLAN)
    for line in describe(found):
        logger.info(f"Stale: {line}")
    return found


for each in workflow.rules:
    each.set_input(mark_stale)
