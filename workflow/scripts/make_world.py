"""Build a synthetic world and measure its constants."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from correct_l0.sources.synthetic.make import make

    make(Path(snakemake.output.manifest).parent, snakemake.params.settings)
