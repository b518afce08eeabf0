# In: the SAEs of a group, results/{study}/saes/l0_{l0}/seed_{seed}/, and the source. Out: a record in
# results/{study}/measured/, and undeclared results/{study}/{room}/l0_{l0}/seed_{seed}/ of each metric
# but probing.

from correct_l0.stages import metrics_of


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
        metrics=lambda wildcards: {
            stage.room: {
                "stage": stage.rule,
                "recipe": stage.recipe,
                "settings": stage.settings(plan_of(wildcards), ""),
                "folders": folders_of(wildcards, stage.room),
            }
            for stage in metrics_of(plan_of(wildcards))
        },
    script:
        "../scripts/measure_points.py"
