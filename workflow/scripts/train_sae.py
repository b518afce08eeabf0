"""Train one BatchTopK SAE, go on from its checkpoint, or take it over where it is there."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from correct_l0.metrics.decoder.along_training import measures
    from correct_l0.saes.finished import seal
    from correct_l0.saes.job import train_saes
    from correct_l0.saes.settings import PointJob

    point = PointJob(
        Path(snakemake.output.manifest).parent,
        snakemake.params.settings,
        int(snakemake.wildcards.seed),
    )
    failed = train_saes(
        snakemake.input.activations,
        [point],
        measures=measures,
        device=snakemake.resources.device,
        checkpoint_s=snakemake.resources.checkpoint_s,
        threads=snakemake.threads,
    )
    for error in failed.values():
        raise error
    seal(point.folder)
