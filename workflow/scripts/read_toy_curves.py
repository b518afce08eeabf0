"""Read the curves of a toy study, judge the paper's claims, and write both."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    import json
    from pathlib import Path

    from correct_l0.toy_model.report.build import build_toy_verdict
    from correct_l0.toy_model.settings import parse_toy_study

    build_toy_verdict(
        parse_toy_study(json.loads(snakemake.params.settings)),
        Path(snakemake.input.tables[0]).parent,
        Path(snakemake.output.verdict),
    )
