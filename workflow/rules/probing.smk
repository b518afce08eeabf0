# In: results/{study}/saes/l0_{l0}/seed_{seed}/manifest.json with its SAE, and the probing activations
# of the cache, one manifest per task. Out: results/{study}/probing/.

from correct_l0.metrics.probing import RECIPE as PROBING_RECIPE
from correct_l0.sources.sae_probes import resolve_tasks

TASK_MANIFESTS = [
    f"{CACHE_FOLDER}/probing/tasks/{task}.json"
    for task in resolve_tasks(STUDY.probing.tasks)
]


rule probe_sae:
    """Sparse probes on the latents of one SAE, for every task and probe_k."""
    input:
        sae=f"{RESULTS}/saes/l0_{{l0}}/seed_{{seed}}/manifest.json",
        tasks=TASK_MANIFESTS,
    output:
        manifest=f"{RESULTS}/probing/l0_{{l0}}/seed_{{seed}}/manifest.json",
        scores=f"{RESULTS}/probing/l0_{{l0}}/seed_{{seed}}/scores.csv",
    log:
        f"{RESULTS}/logs/probe_sae/l0_{{l0}}/seed_{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/probe_sae/l0_{{l0}}/seed_{{seed}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("probe_sae"),
        runtime=runtime("probe_sae"),
    params:
        settings=PLAN.settings_probing(),
        recipe=f"recipe={PROBING_RECIPE}",
        names=[CACHE, STUDY.activations.hook_name],
    script:
        "../scripts/probe_sae.py"


rule probe_baselines:
    """The scores to compare with: raw activations, a constant, a coin."""
    input:
        tasks=TASK_MANIFESTS,
    output:
        manifest=f"{RESULTS}/probing/baselines/manifest.json",
        scores=f"{RESULTS}/probing/baselines/scores.csv",
    log:
        f"{RESULTS}/logs/probe_baselines.log",
    benchmark:
        f"{RESULTS}/benchmarks/probe_baselines.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("probe_baselines"),
        runtime=runtime("probe_baselines"),
    params:
        settings=PLAN.settings_probing(),
        recipe=f"recipe={PROBING_RECIPE}",
        names=[CACHE, STUDY.activations.hook_name],
        d_in=STUDY.activations.d_in,
    script:
        "../scripts/probe_baselines.py"
