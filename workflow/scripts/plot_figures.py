"""Draw every figure."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from correct_l0.report.build import build_figures
    from correct_l0.study.report import plan_of

    build_figures(
        plan_of(snakemake.params.settings),
        Path(snakemake.input.tables[0]).parent,
        Path(snakemake.input.verdict),
        Path(snakemake.output.png[0]).parent,
        next(map(Path, snakemake.input.control), None),
    )
