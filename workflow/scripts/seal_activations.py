"""Check that every shard is there and write the manifest that everything else depends on."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from correct_l0.sources.language_model.layout import parse_settings
    from correct_l0.sources.language_model.seal import seal

    cache = Path(snakemake.output.manifest).parent
    seal(parse_settings(snakemake.params.settings, cache), cache, snakemake.input.parts)
