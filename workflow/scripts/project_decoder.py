"""Write s_n^dec, c_dec, the projection histogram and the cosine matrix of one SAE."""

from correct_l0.jobs.job import job, resolve_device

with job(snakemake.log[0], threads=snakemake.threads):
    import json
    import time
    from pathlib import Path

    from correct_l0.metrics.decoder import RECIPE
    from correct_l0.metrics.decoder.files import held_out_batches, write_cosines, write_projections
    from correct_l0.metrics.decoder.histogram import RESOLUTION_BOUND
    from correct_l0.metrics.decoder.measure import measure_projections
    from correct_l0.metrics.decoder.settings import DecoderMetrics
    from correct_l0.provenance.manifest import digest_of, write_manifest
    from correct_l0.saes.saved import open_trained_sae
    from correct_l0.sources import open_source

    start = time.perf_counter()
    settings = DecoderMetrics.model_validate(json.loads(snakemake.params.settings))
    device = resolve_device(snakemake.resources.device)
    sae, facts = open_trained_sae(snakemake.input.sae, device)
    store = open_source(snakemake.input.activations)
    statistics = measure_projections(
        held_out_batches(store, settings.batch_tokens, settings.batches),
        sae.W_dec.float(),
        sae.b_dec.float(),
        facts["activation_scale"],
        [int(n) for n in settings.n],
    )
    folder = Path(snakemake.output.manifest).parent
    outputs = write_projections(folder, statistics) + write_cosines(folder, sae.W_dec)
    write_manifest(
        snakemake.output.manifest,
        stage="project_decoder",
        recipe=RECIPE,
        parameters=snakemake.params.settings,
        inputs={
            "sae": digest_of(snakemake.input.sae),
            "activations": digest_of(snakemake.input.activations),
        },
        outputs=outputs,
        l0=facts["l0"],
        seed=facts["seed"],
        pooled_bound=RESOLUTION_BOUND,
        device=device,
        wall_s=round(time.perf_counter() - start, 3),
    )
