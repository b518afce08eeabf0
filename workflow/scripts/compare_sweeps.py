"""Set the sweeps of a study side by side."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from correct_l0.report.comparison.build import build_comparison
    from correct_l0.study.report import plan_of

    build_comparison(
        [plan_of(settings) for settings in snakemake.params.settings],
        Path(snakemake.output.report),
    )
