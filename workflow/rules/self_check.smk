# In: the answer of a study, its SAEs and the activation cache. Out: results/{study}/self_check/:
# self_check.json, its manifest, and undeclared a folder for each SAE that generates data.
# Included where a study asks for it.

import math


rule self_check:
    """Data that the study's own SAEs generate, swept again: is what generated them found back?"""
    input:
        source=SOURCE,
        tables=rules.gather_tables.output.parquet,
        verdict=rules.read_curves.output.verdict,
    output:
        checks=f"{RESULTS}/self_check/self_check.json",
        manifest=f"{RESULTS}/self_check/manifest.json",
    log:
        f"{RESULTS}/logs/self_check.log",
    benchmark:
        f"{RESULTS}/benchmarks/self_check.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        device=DEVICE,
        checkpoint_s=lambda wildcards: math.ceil(
            60 * plan_of(wildcards).study.saes.checkpoint_min
        ),
        gpu=1,
        mem_mb=memory("self_check"),
        runtime=runtime("self_check"),
    params:
        settings=settings_of_report,
        recipe=recipe("self_check"),
    script:
        "../scripts/self_check.py"
