"""Measure the SAEs of a group: every metric of a point that the study has, but probing."""

from correct_l0.jobs.job import job, resolve_device

with job(snakemake.log[0], threads=snakemake.threads):
    from correct_l0.metrics.job import trained_points, write_record
    from correct_l0.metrics.points import measure_points
    from correct_l0.saes.saved import load_saved_sae
    from correct_l0.sources import open_source

    source = open_source(snakemake.input.source, load_saved_sae)
    trained = trained_points(snakemake.params.saes, int(snakemake.wildcards.seed), source.digest)
    failed = measure_points(
        trained,
        source,
        snakemake.params.metrics,
        device=resolve_device(snakemake.resources.device),
    )
    write_record(snakemake.output.measured, snakemake.params.saes, trained, failed)
