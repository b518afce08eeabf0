"""Train the BatchTopK SAEs of a group together, or go on from their checkpoints."""

from correct_l0.jobs import job, resolve_device

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    import torch

    from correct_l0.manifest import write_json
    from correct_l0.saes.points import PointJob, train_points
    from correct_l0.saes.settings import batch_tokens_of
    from correct_l0.training_input import training_input

    torch.set_num_threads(snakemake.threads)
    seed = int(snakemake.wildcards.seed)
    points = [
        PointJob(Path(folder), settings, seed) for folder, settings in snakemake.params.saes.items()
    ]
    batch_tokens = batch_tokens_of(points[0].settings_json)
    device = resolve_device(snakemake.resources.device)
    read = training_input(snakemake.input.activations, seed, batch_tokens, device)
    failed = train_points(
        read.store,
        read.batches,
        points,
        device=device,
        checkpoint_s=snakemake.resources.checkpoint_s,
        metadata=read.metadata,
    )
    # A point that failed is tried again by its own job, whose error it then is.
    write_json(
        snakemake.output.points,
        {
            "points": [str(point.folder) for point in points],
            "failed": {str(point.folder): str(error) for point, error in failed.items()},
        },
    )
