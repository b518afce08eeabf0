"""Sweep the data that the study's own SAEs generate, and hold the reading against the truth."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from correct_l0.study.report import plan_of
    from correct_l0.trial.self_check import run_self_check

    run_self_check(
        plan_of(snakemake.params.settings),
        Path(snakemake.input.tables[0]).parent,
        Path(snakemake.input.verdict),
        Path(snakemake.output.manifest).parent,
        device=snakemake.resources.device,
        threads=snakemake.threads,
        checkpoint_s=snakemake.resources.checkpoint_s,
    )
