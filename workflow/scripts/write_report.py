"""Write the page and the summary."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    import shutil
    from pathlib import Path

    from correct_l0.report.build import build_page
    from correct_l0.study.report import plan_of

    build_page(
        plan_of(snakemake.params.settings),
        Path(snakemake.input.tables[0]).parent,
        Path(snakemake.input.verdict),
        Path(snakemake.input.figures[0]).parent,
        Path(snakemake.output.report),
        next(map(Path, snakemake.input.control), None),
        next(map(Path, snakemake.input.self_check), None),
    )
    # A complete report takes the place of one that an earlier failure left.
    shutil.rmtree(Path(snakemake.output.report).parent / "partial", ignore_errors=True)
