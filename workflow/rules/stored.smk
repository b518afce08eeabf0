# In: somebody's files of activations. Out: results/{study}/world/: which of their rows are held out and
# the checksums of all (index.npz), and a manifest; the rows stay where they are.


rule index_stored:
    """Every row looked at once: its norm, whether it is finite, its checksum."""
    input:
        STUDY.source.made_from,
    output:
        manifest=f"{SOURCE_FOLDER}/manifest.json",
        index=f"{SOURCE_FOLDER}/index.npz",
    log:
        f"{SOURCE_FOLDER}/logs/index_stored.log",
    benchmark:
        f"{SOURCE_FOLDER}/benchmarks/index_stored.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        path=STUDY.stored.path,
        documents=STUDY.stored.documents or "",
        mem_mb=memory("index_stored"),
        runtime=runtime("index_stored"),
    params:
        settings=PLAN.settings_source(),
        recipe=recipe("index_stored"),
    script:
        "../scripts/index_stored.py"
