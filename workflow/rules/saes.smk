# In: the sealed manifest of the activation cache. Out: one BatchTopK SAE per L0 and seed in
# results/{study}/saes/l0_{l0}/seed_{seed}/.
# Where several points have to be trained, train_points trains them together, into their own folders,
# and train_sae takes each SAE over (correct_l0.study.groups). An SAE is kept undeclared, with its
# record trained.json: Snakemake deletes none (correct_l0.saes.finished).
# Snakemake cuts a resource's decimals off: the checkpoint period is given in whole seconds.

import math


rule train_points:
    """SAEs of one seed in one reading of the data, each in its own folder; fails for none alone."""
    input:
        activations=SOURCE,
    output:
        points=temp(f"{RESULTS}/saes/groups/seed_{{seed}}/l0_{{l0s}}.json"),
    log:
        f"{RESULTS}/logs/train_points/seed_{{seed}}/l0_{{l0s}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_points/seed_{{seed}}/l0_{{l0s}}.tsv"
    priority: 1  # Longest first, so that nothing waits for a training at the end.
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        device=DEVICE,
        checkpoint_s=lambda wildcards: math.ceil(
            60 * plan_of(wildcards).study.saes.checkpoint_min
        ),
        gpu=1,
        mem_mb=memory("train_points"),
        runtime=runtime("train_points"),
    params:
        saes=saes_of,
        recipe=recipe("train_points"),
    script:
        "../scripts/train_points.py"


rule train_sae:
    """A BatchTopK SAE at one L0; its files and its checkpoint, undeclared, survive a failed job."""
    input:
        activations=SOURCE,
        group=group_of,
    output:
        manifest=f"{RESULTS}/saes/l0_{{l0}}/seed_{{seed}}/manifest.json",
    log:
        f"{RESULTS}/logs/train_sae/l0_{{l0}}/seed_{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_sae/l0_{{l0}}/seed_{{seed}}.tsv"
    # Before the probing activations, which no training waits for.
    priority: 1
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        device=DEVICE,
        checkpoint_s=lambda wildcards: math.ceil(
            60 * plan_of(wildcards).study.saes.checkpoint_min
        ),
        gpu=1,
        mem_mb=memory("train_sae"),
        runtime=runtime("train_sae", group_of),
    params:
        settings=lambda wildcards: plan_of(wildcards).settings_sae(wildcards.l0),
        recipe=recipe("train_sae"),
    script:
        "../scripts/train_sae.py"
