# In: the points whose SAE has to be trained. Out: which of them one job trains; no rule.

from functools import cache

from correct_l0.study.groups import divide
from correct_l0.provenance.unfinished import points_to_train


@cache
def groups():
    """Return the file that ends the group's job, by point, of those that are trained together."""
    return {
        (
            results,
            *point,
        ): f"{results}/saes/groups/seed_{group.seed}/l0_{group.l0s}.json"
        for results, plan in PLANS.items()
        for group in divide(
            plan.study,
            [
                point
                for point in points_to_train(plan, stale_results()[results])
                if asked(results, *point)
            ],
            costs.points_per_job(plan.study),
        )
        for point in group.points
    }


def asked(results, l0, seed):
    """Tell whether a point is asked for: any, unless the targets are files of named points."""
    targets = asked_files()
    if targets is None or not all("seed_" in target for target in targets):
        return True
    return any(
        target.startswith(f"{results}/") and f"l0_{l0}/seed_{seed}/" in target
        for target in targets
    )


def group_of(wildcards):
    """Return the group's file where a point is trained in one. A job itself does not ask again.

    A file of another run, its points lost since, would pass for up to date: it is made anew.
    """
    if not is_main_process():
        return []
    file = groups().get((wildcards.results, wildcards.l0, int(wildcards.seed)))
    files = [] if file is None else [file]
    make_again(files)
    return files
