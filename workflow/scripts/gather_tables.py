"""Gather every point's results into tidy tables."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from correct_l0.report.build import build_tables
    from correct_l0.study.report import plan_of

    build_tables(plan_of(snakemake.params.settings), Path(snakemake.output.manifest).parent)
