"""Run one experiment of a toy study with one seed, or go on from its checkpoint."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    import torch

    from correct_l0.toy_model.experiments.run import run_experiment

    torch.set_num_threads(snakemake.threads)
    run_experiment(
        snakemake.params.settings,
        int(snakemake.wildcards.seed),
        Path(snakemake.output.manifest).parent,
        snakemake.resources.checkpoint_s,
    )
