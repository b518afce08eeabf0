# In: the source's manifest. Out: a record in results/{study}/saes/groups/, and undeclared one SAE per L0
# and seed in results/{study}/saes/l0_{l0}/seed_{seed}/: Snakemake deletes none.
# Snakemake cuts a resource's decimals off: the checkpoint period is given in whole seconds.

import math


rule train_points:
    """SAEs of one seed in one reading of the data, or from their checkpoints; one that fails ends no other."""
    input:
        activations=SOURCE,
        weights=lambda wildcards: plan_of(wildcards).weights(),
    output:
        points=temp(f"{RESULTS}/saes/groups/seed_{{seed}}/l0_{{l0s}}.json"),
    log:
        f"{RESULTS}/logs/train_points/seed_{{seed}}/l0_{{l0s}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_points/seed_{{seed}}/l0_{{l0s}}.tsv"
    # Longest first, so that nothing waits for a training at the end; no training waits for probing.
    priority: 1
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        device=DEVICE,
        checkpoint_s=lambda wildcards: math.ceil(
            60 * plan_of(wildcards).study.saes.checkpoint_min
        ),
        snapshots=lambda wildcards: int(plan_of(wildcards).study.saes.snapshots),
        gpu=1,
        tracking=STUDY.tracking,
        study=STUDY.study,
        mem_mb=memory("train_points"),
        runtime=runtime("train_points"),
    params:
        saes=saes_of,
        recipe=recipe("train_sae"),
    script:
        "../scripts/train_points.py"
