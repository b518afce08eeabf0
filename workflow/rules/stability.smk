# In: results/{study}/saes/l0_{l0}/seed_{seed}/manifest.json with its SAE, of every seed. Out:
# results/{study}/stability/l0_{l0}/.


rule compare_seeds:
    """The latents that every pair of seeds shares, at one L0."""
    input:
        saes=lambda wildcards: expand(
            f"{RESULTS}/saes/l0_{{l0}}/seed_{{seed}}/manifest.json",
            seed=sorted(plan_of(wildcards).study.saes.seeds),
            **wildcards,
        ),
    output:
        manifest=f"{RESULTS}/stability/l0_{{l0}}/manifest.json",
        table=f"{RESULTS}/stability/l0_{{l0}}/stability.csv",
        arrays=f"{RESULTS}/stability/l0_{{l0}}/stability.npz",
    log:
        f"{RESULTS}/logs/compare_seeds/l0_{{l0}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_seeds/l0_{{l0}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("compare_seeds"),
        runtime=runtime("compare_seeds"),
    params:
        settings=lambda wildcards: plan_of(wildcards).settings_stability(),
        recipe=recipe("compare_seeds"),
    script:
        "../scripts/compare_seeds.py"
