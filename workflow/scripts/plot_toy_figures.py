"""Draw every figure of a toy study."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    import json
    from pathlib import Path

    from correct_l0.toy_model.report.build import build_toy_figures
    from correct_l0.toy_model.settings import parse_toy_study

    build_toy_figures(
        parse_toy_study(json.loads(snakemake.params.settings)),
        Path(snakemake.input.tables[0]).parent,
        Path(snakemake.input.verdict),
        Path(snakemake.output.png[0]).parent,
    )
