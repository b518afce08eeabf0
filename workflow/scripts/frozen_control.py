"""Train, measure and probe SAEs whose decoder stays random."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from correct_l0.study.report import plan_of
    from correct_l0.trial.frozen_control import run_frozen_control

    run_frozen_control(
        plan_of(snakemake.params.settings),
        [Path(path) for path in snakemake.input.tasks],
        Path(snakemake.output.manifest).parent,
        device=snakemake.resources.device,
        threads=snakemake.threads,
        checkpoint_s=snakemake.resources.checkpoint_s,
    )
