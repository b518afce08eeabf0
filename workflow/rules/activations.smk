# In: the configured model and text. Out: results/activations/{cache}/: cache.json, text/, store/,
# parts/, the sealed manifest.json, and probing/ with one manifest per probing task.

from correct_l0.metrics.probing import CACHE_RECIPE as PROBING_CACHE_RECIPE
from correct_l0.sources.language_model import RECIPE as ACTIVATIONS_RECIPE
from correct_l0.sources.language_model.layout import count_jobs
from correct_l0.sources.sae_probes import resolve_tasks

CACHE = STUDY.activations.cache
CACHE_FOLDER = PLAN.cache_folder
DEVICE = STUDY.device
SHARD_JOBS = count_jobs(CACHE_FOLDER, STUDY.activations)


localrules:
    stage_text,
    seal_activations,


wildcard_constraints:
    job=r"\d+",


rule stage_text:
    """Model and text, fetched where there is network; documents split, tokenised, packed."""
    output:
        manifest=f"{CACHE_FOLDER}/text/manifest.json",
        cache=f"{CACHE_FOLDER}/cache.json",
    log:
        f"{CACHE_FOLDER}/logs/stage_text.log",
    benchmark:
        f"{CACHE_FOLDER}/benchmarks/stage_text.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        shards_per_job=STUDY.activations.shards_per_job,
        mem_mb=memory("stage_text"),
        runtime=runtime("stage_text"),
    params:
        settings=PLAN.settings_activations(),
        recipe=f"recipe={ACTIVATIONS_RECIPE}",
    script:
        "../scripts/stage_text.py"


rule cache_activations:
    """One range of shards; the store itself, kept undeclared, survives a failed job."""
    input:
        text=f"{CACHE_FOLDER}/text/manifest.json",
        cache=f"{CACHE_FOLDER}/cache.json",
    output:
        part=f"{CACHE_FOLDER}/parts/part_{{job}}.json",
    log:
        f"{CACHE_FOLDER}/logs/cache_activations/part_{{job}}.log",
    benchmark:
        f"{CACHE_FOLDER}/benchmarks/cache_activations/part_{{job}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        device=DEVICE,
        forward_batch_tokens=STUDY.activations.forward_batch_tokens,
        gpu=1,
        mem_mb=memory("cache_activations"),
        runtime=runtime("cache_activations"),
    params:
        settings=PLAN.settings_activations(),
        recipe=f"recipe={ACTIVATIONS_RECIPE}",
    script:
        "../scripts/cache_activations.py"


rule seal_activations:
    """The one manifest everything else depends on, once every shard is there."""
    input:
        text=f"{CACHE_FOLDER}/text/manifest.json",
        cache=f"{CACHE_FOLDER}/cache.json",
        parts=expand(f"{CACHE_FOLDER}/parts/part_{{job}}.json", job=range(SHARD_JOBS)),
    output:
        manifest=f"{CACHE_FOLDER}/manifest.json",
        shards=f"{CACHE_FOLDER}/shards.json",
    log:
        f"{CACHE_FOLDER}/logs/seal_activations.log",
    benchmark:
        f"{CACHE_FOLDER}/benchmarks/seal_activations.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("seal_activations"),
        runtime=runtime("seal_activations"),
    params:
        settings=PLAN.settings_activations(),
        recipe=f"recipe={ACTIVATIONS_RECIPE}",
    script:
        "../scripts/seal_activations.py"


rule cache_probing_activations:
    """The probing prompts' last tokens; of tasks that are there, only the manifest is renewed."""
    input:
        cache=f"{CACHE_FOLDER}/cache.json",
    output:
        tasks=expand(
            f"{CACHE_FOLDER}/probing/tasks/{{task}}.json",
            task=resolve_tasks(STUDY.probing.tasks),
        ),
    log:
        f"{CACHE_FOLDER}/logs/cache_probing_activations.log",
    benchmark:
        f"{CACHE_FOLDER}/benchmarks/cache_probing_activations.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        device=DEVICE,
        forward_batch_tokens=STUDY.activations.forward_batch_tokens,
        gpu=1,
        mem_mb=memory("cache_probing_activations"),
        runtime=runtime("cache_probing_activations"),
    params:
        settings=PLAN.settings_activations(),
        recipe=f"recipe={PROBING_CACHE_RECIPE}",
    script:
        "../scripts/cache_probing_activations.py"
