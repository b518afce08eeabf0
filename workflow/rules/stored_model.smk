# In: the model that stored rows are of, where probing asks for it. Out: results/{study}/world/cache.json,
# its record: which files it has.


localrules:
    stage_model,


rule stage_model:
    """The model, fetched where there is network; its hook and width checked."""
    output:
        cache=f"{SOURCE_FOLDER}/cache.json",
    log:
        f"{SOURCE_FOLDER}/logs/stage_model.log",
    benchmark:
        f"{SOURCE_FOLDER}/benchmarks/stage_model.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        places=PLAN.places.as_json(),
        named=STUDY.prompted.cache,
        mem_mb=memory("stage_model"),
        runtime=runtime("stage_model"),
    params:
        settings=PLAN.settings_prompts(),
        recipe=recipe("stage_model"),
    script:
        "../scripts/stage_model.py"
