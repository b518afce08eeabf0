"""Probe the SAEs of a group on every task; write their scores and sae-probes' result files."""

from correct_l0.jobs.job import job, resolve_device

# One thread for the linear algebra: rounding then does not depend on the number of cores.
with job(snakemake.log[0], threads=1):
    from pathlib import Path

    from correct_l0.metrics.job import trained_points, write_record
    from correct_l0.metrics.probing.points import probe_points
    from correct_l0.provenance.manifest import digest_of

    trained = trained_points(
        snakemake.params.saes,
        int(snakemake.wildcards.seed),
        digest_of(snakemake.input.source),
    )
    failed = probe_points(
        trained,
        [Path(path) for path in snakemake.input.tasks],
        snakemake.params.settings,
        snakemake.params.folders,
        names=snakemake.params.names,
        threads=snakemake.threads,
        controls_seed=snakemake.params.controls_seed,
        device=resolve_device(snakemake.resources.device),
    )
    write_record(snakemake.output.probed, snakemake.params.saes, trained, failed)
