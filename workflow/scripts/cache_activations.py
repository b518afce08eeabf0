"""Cache the activations of one job's shards; shards that an earlier run finished are kept."""

from correct_l0.jobs.job import job, resolve_device

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    import torch

    from correct_l0.sources.language_model.cache import cache_job
    from correct_l0.sources.language_model.layout import parse_settings
    from correct_l0.sources.language_model.places import Places
    from correct_l0.sources.language_model.staging import load_staged_model

    torch.set_num_threads(snakemake.threads)
    cache = Path(snakemake.input.cache).parent
    activations = parse_settings(snakemake.params.settings, cache)
    device = resolve_device(snakemake.resources.device)
    places = Places.from_json(snakemake.resources.places)
    cache_job(
        activations,
        cache,
        int(snakemake.wildcards.job),
        lambda: load_staged_model(activations, places, cache, device),
        int(snakemake.resources.forward_batch_tokens),
        beside=device != "cpu",
    )
