"""Read the points of a round and choose the next."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from correct_l0.report.rounds import build_round
    from correct_l0.study.report import plan_of

    build_round(plan_of(snakemake.params.settings), int(snakemake.wildcards.round))
