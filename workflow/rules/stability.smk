# In: the SAEs of every seed, results/{study}/saes/l0_{l0}/seed_{seed}/. Out: a record in
# results/{study}/stability/, and undeclared results/{study}/stability/l0_{l0}/.


rule compare_seeds:
    """The latents that every pair of seeds shares, at every L0."""
    input:
        source=SOURCE,
        trained=trained_before,
    output:
        compared=temp(f"{RESULTS}/stability/compared.json"),
    log:
        f"{RESULTS}/logs/compare_seeds.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_seeds.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        device=DEVICE,
        gpu=1,
        mem_mb=memory("compare_seeds"),
        runtime=runtime("compare_seeds"),
    params:
        saes=saes_by_seed,
        folders=lambda wildcards: plan_of(wildcards).stability_folders(),
        settings=lambda wildcards: plan_of(wildcards).settings_stability(),
        recipe=recipe("compare_seeds"),
    script:
        "../scripts/compare_seeds.py"
