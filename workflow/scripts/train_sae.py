"""Train one BatchTopK SAE on the cached activations, or go on from its checkpoint."""

from correct_l0.jobs import job, resolve_device

with job(snakemake.log[0], threads=snakemake.threads):
    import json
    from pathlib import Path

    import torch

    from correct_l0.activations.reader import TrainingStream, open_store
    from correct_l0.saes.point import train_point
    from correct_l0.saes.settings import parse_settings

    torch.set_num_threads(snakemake.threads)
    seed = int(snakemake.wildcards.seed)
    settings = parse_settings(snakemake.params.settings)
    device = resolve_device(snakemake.resources.device)
    store = open_store(snakemake.input.activations)
    cache = json.loads(store.manifest["parameters"])
    train_point(
        store,
        TrainingStream(store, seed, settings.training.batch_tokens, prefetch=device != "cpu"),
        Path(snakemake.output.manifest).parent,
        snakemake.params.settings,
        seed,
        device=device,
        checkpoint_s=snakemake.resources.checkpoint_s,
        metadata={
            "model_name": cache["model"]["source"],
            "hook_name": cache["hook_name"],
            "context_size": cache.get("context_size"),
        },
    )
