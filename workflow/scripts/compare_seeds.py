"""Match the latents of every pair of seeds, at every L0."""

from correct_l0.jobs.job import job, resolve_device

with job(snakemake.log[0], threads=snakemake.threads):
    from correct_l0.metrics.job import trained_points, write_record
    from correct_l0.metrics.stability.points import compare_points
    from correct_l0.provenance.manifest import digest_of

    source = digest_of(snakemake.input.source)
    trained = [
        point
        for seed, saes in snakemake.params.saes.items()
        for point in trained_points(saes, int(seed), source)
    ]
    asked = [folder for saes in snakemake.params.saes.values() for folder in saes]
    failed = compare_points(
        trained,
        snakemake.params.folders,
        asked,
        snakemake.params.settings,
        device=resolve_device(snakemake.resources.device),
    )
    write_record(snakemake.output.compared, asked, trained, failed)
