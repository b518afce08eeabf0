"""Fetch the weights of imported SAEs, and record what they are."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads, network=True):
    from pathlib import Path

    from correct_l0.saes.imported.fetch import fetch_weights

    fetch_weights(Path(snakemake.output.manifest).parent, snakemake.params.settings)
