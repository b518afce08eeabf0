"""Find or download the model, stage the text, and write what identifies the cache."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads, network=True):
    from pathlib import Path

    from correct_l0.sources.language_model.layout import parse_settings
    from correct_l0.sources.language_model.places import Places
    from correct_l0.sources.language_model.staging import stage

    cache = Path(snakemake.output.cache).parent
    shards_per_job = int(snakemake.resources.shards_per_job)
    activations = parse_settings(snakemake.params.settings, cache, shards_per_job)
    stage(activations, Places.from_json(snakemake.resources.places), cache)
