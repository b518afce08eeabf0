# In: the staged model of the activation cache, and results/{study}/saes/l0_{l0}/seed_{seed}/
# manifest.json with its SAE. Out: results/activations/{cache}/probing/ with one manifest per task,
# and results/{study}/probing/.


rule cache_probing_activations:
    """The probing prompts' last tokens; of tasks that are there, only the manifest is renewed."""
    input:
        cache=f"{SOURCE_FOLDER}/cache.json",
    output:
        tasks=TASK_MANIFESTS,
    log:
        f"{SOURCE_FOLDER}/logs/cache_probing_activations.log",
    benchmark:
        f"{SOURCE_FOLDER}/benchmarks/cache_probing_activations.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        device=DEVICE,
        forward_batch_tokens=STUDY.activations.forward_batch_tokens,
        gpu=1,
        mem_mb=memory("cache_probing_activations"),
        runtime=runtime("cache_probing_activations"),
    params:
        settings=PLAN.settings_source(),
        recipe=recipe("cache_probing_activations"),
    script:
        "../scripts/cache_probing_activations.py"


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
        settings=lambda wildcards: plan_of(wildcards).settings_probing(),
        recipe=recipe("probe_sae"),
        names=[STUDY.activations.cache, STUDY.activations.hook_name],
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
        settings=lambda wildcards: plan_of(wildcards).settings_probing(),
        recipe=recipe("probe_baselines"),
        names=[STUDY.activations.cache, STUDY.activations.hook_name],
        d_in=STUDY.activations.d_in,
    script:
        "../scripts/probe_baselines.py"
