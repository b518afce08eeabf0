"""Write the page and the summary of a toy study."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    import json
    from pathlib import Path

    from correct_l0.toy_model.report.build import build_toy_page
    from correct_l0.toy_model.settings import parse_toy_study

    settings = json.loads(snakemake.params.settings)
    build_toy_page(
        parse_toy_study(settings | {"title": snakemake.params.title}),
        Path(snakemake.input.tables[0]).parent,
        Path(snakemake.input.verdict),
        Path(snakemake.input.figures[0]).parent,
        Path(snakemake.output.report),
    )
