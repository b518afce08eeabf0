"""Read the curves and write the verdict."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from correct_l0.report.build import build_verdict
    from correct_l0.study.report import plan_of

    build_verdict(
        plan_of(snakemake.params.settings),
        Path(snakemake.input.tables[0]).parent,
        Path(snakemake.output.verdict),
        next(map(Path, snakemake.input.trained_on), None),
    )
