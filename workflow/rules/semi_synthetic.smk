# In: an SAE's folder, and the sealed manifest of the activation cache it was trained on. Out:
# results/{study}/world/: which of its latents fire and how often (truth.npz), and a manifest.


rule make_semi_synthetic:
    """The SAE's latents as true features: how often they fire, and the constants of the samples."""
    input:
        STUDY.source.made_from,
    output:
        manifest=f"{SOURCE_FOLDER}/manifest.json",
        truth=f"{SOURCE_FOLDER}/truth.npz",
    log:
        f"{SOURCE_FOLDER}/logs/make_semi_synthetic.log",
    benchmark:
        f"{SOURCE_FOLDER}/benchmarks/make_semi_synthetic.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("make_semi_synthetic"),
        runtime=runtime("make_semi_synthetic"),
    params:
        settings=PLAN.settings_source(),
        recipe=recipe("make_semi_synthetic"),
    script:
        "../scripts/make_semi_synthetic.py"
