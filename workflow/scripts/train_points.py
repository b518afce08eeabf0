"""Train the SAEs of a group together, or go on from their checkpoints."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from correct_l0.metrics.decoder.along_training import measures
    from correct_l0.provenance.manifest import write_json
    from correct_l0.saes.job import train_saes
    from correct_l0.saes.settings import PointJob

    seed = int(snakemake.wildcards.seed)
    points = [
        PointJob(Path(folder), settings, seed) for folder, settings in snakemake.params.saes.items()
    ]
    failed = train_saes(
        snakemake.input.activations,
        points,
        measures=measures,
        device=snakemake.resources.device,
        checkpoint_s=snakemake.resources.checkpoint_s,
        threads=snakemake.threads,
        tracking=(
            snakemake.resources.tracking,
            snakemake.resources.study,
            snakemake.wildcards.results,
        ),
        weights=next(iter(snakemake.input.weights), None),
        snapshots=bool(snakemake.resources.snapshots),
    )
    # A point that failed holds up no other: whoever gathers the points refuses.
    write_json(
        snakemake.output.points,
        {
            "points": [str(point.folder) for point in points],
            "failed": {str(point.folder): str(error) for point, error in failed.items()},
        },
    )
