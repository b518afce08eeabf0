# In: the staged model of the source, and the SAEs of a group,
# results/{study}/saes/l0_{l0}/seed_{seed}/. Out: probing/ in the source's folder with one manifest
# per task, a record in results/{study}/probing/groups/, and undeclared
# results/{study}/probing/l0_{l0}/seed_{seed}/.


rule cache_probing_activations:
    """The probing prompts' last tokens; of tasks that are there, only the manifest is renewed."""
    input:
        cache=f"{SOURCE_FOLDER}/cache.json",
        # Rows of somebody's own are what the prompts' are held against.
        rows=SOURCE if STUDY.stored else [],
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
        places=PLAN.places.as_json(),
        forward_batch_tokens=STUDY.prompted.forward_batch_tokens,
        named=STUDY.prompted.cache,
        gpu=1,
        mem_mb=memory("cache_probing_activations"),
        runtime=runtime("cache_probing_activations"),
    params:
        settings=PLAN.settings_prompts(),
        recipe=recipe("cache_probing_activations"),
    script:
        "../scripts/cache_probing_activations.py"


rule probe_points:
    """Sparse probes on the latents of a group's SAEs, for every task and probe_k."""
    input:
        source=SOURCE,
        trained=trained_before,
        tasks=TASK_MANIFESTS,
    output:
        probed=temp(f"{RESULTS}/probing/groups/seed_{{seed}}/l0_{{l0s}}.json"),
    log:
        f"{RESULTS}/logs/probe_points/seed_{{seed}}/l0_{{l0s}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/probe_points/seed_{{seed}}/l0_{{l0s}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        device=DEVICE,
        gpu=1,
        mem_mb=memory("probe_points"),
        runtime=runtime("probe_points"),
    params:
        saes=saes_of,
        folders=lambda wildcards: folders_of(wildcards, "probing"),
        settings=lambda wildcards: plan_of(wildcards).settings_probing(),
        recipe=recipe("probe_sae"),
        names=[STUDY.prompted.cache, STUDY.prompted.hook_name],
        controls_seed=lambda wildcards: min(plan_of(wildcards).study.saes.seeds),
    script:
        "../scripts/probe_points.py"


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
        names=[STUDY.prompted.cache, STUDY.prompted.hook_name],
        d_in=STUDY.prompted.d_in,
    script:
        "../scripts/probe_baselines.py"
