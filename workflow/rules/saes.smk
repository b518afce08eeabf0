# In: the sealed manifest of the activation cache. Out: one BatchTopK SAE per L0 and seed in
# results/{study}/saes/l0_{l0}/seed_{seed}/.
# Snakemake cuts a resource's decimals off: the checkpoint period is given in whole seconds.

import math

from correct_l0.saes import RECIPE as SAES_RECIPE


rule train_sae:
    """A BatchTopK SAE at one L0; its checkpoint, kept undeclared, survives a failed job."""
    input:
        activations=f"{CACHE_FOLDER}/manifest.json",
    output:
        manifest=f"{RESULTS}/saes/l0_{{l0}}/seed_{{seed}}/manifest.json",
        cfg=f"{RESULTS}/saes/l0_{{l0}}/seed_{{seed}}/sae/cfg.json",
        weights=f"{RESULTS}/saes/l0_{{l0}}/seed_{{seed}}/sae/sae_weights.safetensors",
        loss=f"{RESULTS}/saes/l0_{{l0}}/seed_{{seed}}/loss.csv",
        cosines=f"{RESULTS}/saes/l0_{{l0}}/seed_{{seed}}/decoder_init_cosine.npy",
    log:
        f"{RESULTS}/logs/train_sae/l0_{{l0}}/seed_{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_sae/l0_{{l0}}/seed_{{seed}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        device=DEVICE,
        checkpoint_s=math.ceil(60 * STUDY.saes.checkpoint_min),
        gpu=1,
        mem_mb=memory("train_sae"),
        runtime=runtime("train_sae"),
    params:
        settings=lambda wildcards: PLAN.settings_sae(wildcards.l0),
        recipe=f"recipe={SAES_RECIPE}",
    script:
        "../scripts/train_sae.py"
