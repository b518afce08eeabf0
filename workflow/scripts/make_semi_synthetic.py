"""Measure what is true of activations as an SAE decodes them."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from correct_l0.saes.saved import load_saved_sae
    from correct_l0.sources.semi_synthetic.store import make

    make(Path(snakemake.output.manifest).parent, snakemake.params.settings, load_saved_sae)
