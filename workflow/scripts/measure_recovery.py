"""Match and classify the true features by the latents of one SAE."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    import time
    from pathlib import Path

    from correct_l0.metrics.recovery import RECIPE
    from correct_l0.metrics.recovery.files import held_out_pairs, write_recovery
    from correct_l0.metrics.recovery.measure import measure_recovery
    from correct_l0.provenance.manifest import digest_of, write_manifest
    from correct_l0.saes.saved import open_trained_sae
    from correct_l0.sources import open_source

    start = time.perf_counter()
    sae, facts = open_trained_sae(snakemake.input.sae)
    source = open_source(snakemake.input.source)
    found = measure_recovery(sae.W_dec, source.truth.directions, held_out_pairs(source, sae))
    outputs = write_recovery(Path(snakemake.output.manifest).parent, found)
    write_manifest(
        snakemake.output.manifest,
        stage="measure_recovery",
        recipe=RECIPE,
        parameters=snakemake.params.settings,
        inputs={
            "sae": digest_of(snakemake.input.sae),
            "activations": digest_of(snakemake.input.source),
        },
        outputs=outputs,
        l0=facts["l0"],
        seed=facts["seed"],
        true_l0=source.truth.true_l0,
        wall_s=round(time.perf_counter() - start, 3),
    )
