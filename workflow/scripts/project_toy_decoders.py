"""Measure the SAEs of one part of a toy study's sweep."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    import torch

    from correct_l0.toy_model.sweep_metrics import measure_part

    torch.set_num_threads(snakemake.threads)
    measure_part(
        snakemake.params.saes,
        snakemake.params.settings,
        list(zip(snakemake.params.l0, map(Path, snakemake.params.points), strict=True)),
        snakemake.output.manifest,
    )
