# In: the activation cache and the manifests of its probing tasks. Out: results/{study}/frozen_control/:
# control.json, its manifest, and undeclared a folder of the control's own SAEs and measurements.
# Included where a study asks for it.

import math


rule frozen_control:
    """SAEs whose decoder stays random: what c_dec, stability and F1 are where nothing was learnt."""
    input:
        source=SOURCE,
        tasks=TASK_MANIFESTS,
    output:
        control=f"{RESULTS}/frozen_control/control.json",
        manifest=f"{RESULTS}/frozen_control/manifest.json",
    log:
        f"{RESULTS}/logs/frozen_control.log",
    benchmark:
        f"{RESULTS}/benchmarks/frozen_control.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        device=DEVICE,
        checkpoint_s=lambda wildcards: math.ceil(
            60 * plan_of(wildcards).study.saes.checkpoint_min
        ),
        gpu=1,
        mem_mb=memory("frozen_control"),
        runtime=runtime("frozen_control"),
    params:
        settings=settings_of_report,
        recipe=recipe("frozen_control"),
    script:
        "../scripts/frozen_control.py"
