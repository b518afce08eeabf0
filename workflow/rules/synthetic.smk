# In: the settings of a synthetic world. Out: results/{study}/world/: world.npz and its manifest.


rule make_world:
    """The true features, when they fire, and the constants of the samples."""
    output:
        manifest=f"{SOURCE_FOLDER}/manifest.json",
        world=f"{SOURCE_FOLDER}/world.npz",
    log:
        f"{SOURCE_FOLDER}/logs/make_world.log",
    benchmark:
        f"{SOURCE_FOLDER}/benchmarks/make_world.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("make_world"),
        runtime=runtime("make_world"),
    params:
        settings=PLAN.settings_source(),
        recipe=recipe("make_world"),
    script:
        "../scripts/make_world.py"
