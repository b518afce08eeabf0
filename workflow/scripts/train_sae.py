"""Train one BatchTopK SAE, go on from its checkpoint, or put in its place what is finished."""

from correct_l0.jobs import job, resolve_device

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from correct_l0.saes.finished import taken_up

    folder = Path(snakemake.output.manifest).parent
    settings_json = snakemake.params.settings
    seed = int(snakemake.wildcards.seed)
    # Before torch is imported: of a group's SAEs nothing else is left to do.
    if not taken_up(folder, settings_json, seed, snakemake.input.activations):
        import torch

        from correct_l0.saes.point import train_point
        from correct_l0.saes.settings import parse_settings
        from correct_l0.training_input import training_input

        torch.set_num_threads(snakemake.threads)
        batch_tokens = parse_settings(settings_json).training.batch_tokens
        device = resolve_device(snakemake.resources.device)
        read = training_input(snakemake.input.activations, seed, batch_tokens, device)
        train_point(
            read.store,
            read.batches,
            folder,
            settings_json,
            seed,
            device=device,
            checkpoint_s=snakemake.resources.checkpoint_s,
            metadata=read.metadata,
        )
