# In: the SAEs of a group, results/{study}/saes/l0_{l0}/seed_{seed}/, and the source. Out: a record in
# results/{study}/measured/, and undeclared results/{study}/{room}/l0_{l0}/seed_{seed}/ of each metric
# but probing.


rule measure_points:
    """Every metric of a group's SAEs: s_n^dec, c_dec, histograms; recovery where features are known."""
    input:
        source=SOURCE,
        trained=trained_before,
    output:
        measured=temp(f"{RESULTS}/measured/seed_{{seed}}/l0_{{l0s}}.json"),
    log:
        f"{RESULTS}/logs/measure_points/seed_{{seed}}/l0_{{l0s}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_points/seed_{{seed}}/l0_{{l0s}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        device=DEVICE,
        gpu=1,
        mem_mb=memory("measure_points"),
        runtime=runtime("measure_points"),
    params:
        saes=saes_of,
        metrics=metrics_asked,
    script:
        "../scripts/measure_points.py"
