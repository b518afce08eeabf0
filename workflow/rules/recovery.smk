# In: results/{study}/saes/l0_{l0}/seed_{seed}/manifest.json with its SAE, and the manifest of a
# source whose true features are known. Out: results/{study}/recovery/l0_{l0}/seed_{seed}/.


rule measure_recovery:
    """How well the latents of one SAE match and classify the true features."""
    input:
        sae=f"{RESULTS}/saes/l0_{{l0}}/seed_{{seed}}/manifest.json",
        source=SOURCE,
    output:
        manifest=f"{RESULTS}/recovery/l0_{{l0}}/seed_{{seed}}/manifest.json",
        table=f"{RESULTS}/recovery/l0_{{l0}}/seed_{{seed}}/recovery.csv",
        arrays=f"{RESULTS}/recovery/l0_{{l0}}/seed_{{seed}}/recovery.npz",
    log:
        f"{RESULTS}/logs/measure_recovery/l0_{{l0}}/seed_{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_recovery/l0_{{l0}}/seed_{{seed}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("measure_recovery"),
        runtime=runtime("measure_recovery"),
    params:
        settings=lambda wildcards: plan_of(wildcards).settings_recovery(),
        recipe=recipe("measure_recovery"),
    script:
        "../scripts/measure_recovery.py"
