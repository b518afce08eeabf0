"""Train one BatchTopK SAE, go on from its checkpoint, or put in its place what is finished."""

from correct_l0.jobs import job, resolve_device

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from correct_l0.manifest import digest_of
    from correct_l0.saes.finished import still_to_train
    from correct_l0.saes.settings import PointJob, parse_settings

    point = PointJob(
        Path(snakemake.output.manifest).parent,
        snakemake.params.settings,
        int(snakemake.wildcards.seed),
    )
    # torch takes seconds to import, which a finished SAE, such as a group's, need not wait for.
    if still_to_train([point], digest_of(snakemake.input.activations)):
        import torch

        from correct_l0.saes.points import train_points
        from correct_l0.training_input import training_input

        torch.set_num_threads(snakemake.threads)
        batch_tokens = parse_settings(point.settings_json).training.batch_tokens
        device = resolve_device(snakemake.resources.device)
        read = training_input(snakemake.input.activations, point.seed, batch_tokens, device)
        failed = train_points(
            read.store,
            read.batches,
            [point],
            device=device,
            checkpoint_s=snakemake.resources.checkpoint_s,
            metadata=read.metadata,
        )
        for error in failed.values():
            raise error
