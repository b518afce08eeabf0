"""Train a single imported SAE on, at several L0 around its own."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from correct_l0.study.report import plan_of
    from correct_l0.trial.train_on import run_train_on

    run_train_on(
        plan_of(snakemake.params.settings),
        Path(snakemake.output.manifest).parent,
        device=snakemake.resources.device,
        threads=snakemake.threads,
        checkpoint_s=snakemake.resources.checkpoint_s,
    )
