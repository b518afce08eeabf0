# In: the configured model and text. Out: results/activations/{cache}/: cache.json, text/, store/,
# parts/ and the sealed manifest.json.

from correct_l0.sources.language_model.layout import count_jobs

SHARD_JOBS = count_jobs(SOURCE_FOLDER, STUDY.activations)


localrules:
    stage_text,
    seal_activations,


wildcard_constraints:
    job=r"\d+",


rule stage_text:
    """Model and text, fetched where there is network; documents split, tokenised, packed."""
    output:
        manifest=f"{SOURCE_FOLDER}/text/manifest.json",
        cache=f"{SOURCE_FOLDER}/cache.json",
    log:
        f"{SOURCE_FOLDER}/logs/stage_text.log",
    benchmark:
        f"{SOURCE_FOLDER}/benchmarks/stage_text.tsv"
    # Before the probing activations, which no training waits for.
    priority: 1
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        shards_per_job=STUDY.activations.shards_per_job,
        places=PLAN.places.as_json(),
        mem_mb=memory("stage_text"),
        runtime=runtime("stage_text"),
    params:
        settings=PLAN.settings_rows(),
        recipe=recipe("stage_text"),
    script:
        "../scripts/stage_text.py"


rule cache_activations:
    """One range of shards; the store itself, kept undeclared, survives a failed job."""
    input:
        text=f"{SOURCE_FOLDER}/text/manifest.json",
        cache=f"{SOURCE_FOLDER}/cache.json",
    output:
        part=f"{SOURCE_FOLDER}/parts/part_{{job}}.json",
    log:
        f"{SOURCE_FOLDER}/logs/cache_activations/part_{{job}}.log",
    benchmark:
        f"{SOURCE_FOLDER}/benchmarks/cache_activations/part_{{job}}.tsv"
    wildcard_constraints:
        job=r"\d+",
    # Before the probing activations, which no training waits for.
    priority: 1
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        device=DEVICE,
        places=PLAN.places.as_json(),
        forward_batch_tokens=STUDY.activations.forward_batch_tokens,
        gpu=1,
        mem_mb=memory("cache_activations"),
        runtime=runtime("cache_activations"),
    params:
        settings=PLAN.settings_rows(),
        recipe=recipe("cache_activations"),
    script:
        "../scripts/cache_activations.py"


rule seal_activations:
    """The one manifest everything else depends on, once every shard is there."""
    input:
        text=f"{SOURCE_FOLDER}/text/manifest.json",
        cache=f"{SOURCE_FOLDER}/cache.json",
        parts=expand(f"{SOURCE_FOLDER}/parts/part_{{job}}.json", job=range(SHARD_JOBS)),
    output:
        manifest=f"{SOURCE_FOLDER}/manifest.json",
        shards=f"{SOURCE_FOLDER}/shards.json",
    log:
        f"{SOURCE_FOLDER}/logs/seal_activations.log",
    benchmark:
        f"{SOURCE_FOLDER}/benchmarks/seal_activations.tsv"
    # Before the probing activations, which no training waits for.
    priority: 1
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("seal_activations"),
        runtime=runtime("seal_activations"),
    params:
        settings=PLAN.settings_source(),
        recipe=recipe("seal_activations"),
    script:
        "../scripts/seal_activations.py"
