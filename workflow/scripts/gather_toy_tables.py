"""Gather a toy study's results into tidy tables."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    import json
    from pathlib import Path

    import torch

    from correct_l0.toy_model.gather import gather
    from correct_l0.toy_model.plan import ToyPlan

    torch.set_num_threads(snakemake.threads)
    plan = ToyPlan.from_config(json.loads(snakemake.params.settings))
    gather(plan, Path(snakemake.output.manifest).parent)
