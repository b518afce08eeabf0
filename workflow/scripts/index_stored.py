"""Look at every row of somebody's activations, and hold some out."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from correct_l0.sources.stored.index import make

    make(
        Path(snakemake.output.manifest).parent,
        snakemake.params.settings,
        snakemake.resources.path,
        snakemake.resources.documents or None,
    )
