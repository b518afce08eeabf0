"""Find the model that stored rows are of, for the prompts of probing."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from correct_l0.sources.language_model.places import Places
    from correct_l0.sources.stored.model import stage_model

    stage_model(
        snakemake.output.cache,
        snakemake.params.settings,
        snakemake.resources.named,
        Places.from_json(snakemake.resources.places),
    )
