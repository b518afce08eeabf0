# In: the source, and undeclared the one SAE that a study imports. Out: results/{study}/train_on/:
# trained_on.parquet, its manifest, and undeclared a folder for each SAE that was trained on from it.
# Included where a study asks for it.

import math


rule train_on:
    """One imported SAE, trained on at several L0 around its own: where do its latents go?"""
    input:
        source=SOURCE,
        sae=trained_before,
    output:
        table=f"{RESULTS}/train_on/trained_on.parquet",
        manifest=f"{RESULTS}/train_on/manifest.json",
    log:
        f"{RESULTS}/logs/train_on.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_on.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        device=DEVICE,
        checkpoint_s=lambda wildcards: math.ceil(
            60 * plan_of(wildcards).study.saes.checkpoint_min
        ),
        gpu=1,
        mem_mb=memory("train_on"),
        runtime=runtime("train_on"),
    params:
        settings=settings_of_report,
        recipe=recipe("train_on"),
    script:
        "../scripts/train_on.py"
