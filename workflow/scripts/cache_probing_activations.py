"""Cache the activations of the probing tasks that are not there yet."""

from correct_l0.jobs.job import job, resolve_device

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    import torch

    from correct_l0.metrics.probing.cache import cache_probing
    from correct_l0.metrics.probing.likeness import Likeness
    from correct_l0.provenance.manifest import read_manifest
    from correct_l0.sources.language_model.places import Places
    from correct_l0.sources.language_model.settings import Prompted
    from correct_l0.sources.language_model.staging import load_staged_model

    torch.set_num_threads(snakemake.threads)
    cache, resources = Path(snakemake.input.cache).parent, snakemake.resources
    read = Prompted.of(snakemake.params.settings, resources.named)
    read = read.model_copy(update={"forward_batch_tokens": int(resources.forward_batch_tokens)})
    device, places = resolve_device(resources.device), Places.from_json(resources.places)
    rows = snakemake.input.get("rows")
    cache_probing(
        read,
        cache,
        [Path(task) for task in snakemake.output.tasks],
        lambda: load_staged_model(read, places, cache, device),
        Likeness.to(read_manifest(rows), read.hook_name) if rows else None,
    )
