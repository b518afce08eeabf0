# In: the SAEs that an import found. Out: results/{study}/weights/: what their files are (weights.json),
# and a manifest; the files themselves lie in the hub's cache, or where they are.


localrules:
    fetch_weights,


rule fetch_weights:
    """The weights of imported SAEs, fetched where there is network, once, and checked."""
    output:
        manifest=f"{RESULTS}/weights/manifest.json",
        weights=f"{RESULTS}/weights/weights.json",
    log:
        f"{RESULTS}/logs/fetch_weights.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_weights.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("fetch_weights"),
        runtime=runtime("fetch_weights"),
    params:
        settings=lambda wildcards: plan_of(wildcards).settings_weights(),
        recipe=recipe("fetch_weights"),
    script:
        "../scripts/fetch_weights.py"
