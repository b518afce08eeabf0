"""Train one BatchTopK SAE on the cached activations, or go on from its checkpoint."""

from correct_l0.jobs import job, resolve_device

with job(snakemake.log[0], threads=snakemake.threads):
    import json
    from pathlib import Path

    from correct_l0.manifest import digest_of
    from correct_l0.saes.finished import still_to_train
    from correct_l0.saes.settings import PointJob, parse_settings

    point = PointJob(
        Path(snakemake.output.manifest).parent,
        snakemake.params.settings,
        int(snakemake.wildcards.seed),
    )
    # torch takes seconds to import, which a finished SAE need not wait for.
    if still_to_train([point], digest_of(snakemake.input.activations)):
        import torch

        from correct_l0.activations.reader import TrainingStream, open_store
        from correct_l0.saes.point import train_point

        torch.set_num_threads(snakemake.threads)
        settings = parse_settings(point.settings_json)
        device = resolve_device(snakemake.resources.device)
        store = open_store(snakemake.input.activations)
        cache = json.loads(store.manifest["parameters"])
        train_point(
            store,
            TrainingStream(
                store, point.seed, settings.training.batch_tokens, prefetch=device != "cpu"
            ),
            point.folder,
            point.settings_json,
            point.seed,
            device=device,
            checkpoint_s=snakemake.resources.checkpoint_s,
            metadata={
                "model_name": cache["model"]["source"],
                "hook_name": cache["hook_name"],
                "context_size": cache.get("context_size"),
            },
        )
