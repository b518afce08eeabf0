"""Match the latents of every pair of seeds at one L0."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    import time
    from pathlib import Path

    from correct_l0.metrics.stability import RECIPE
    from correct_l0.metrics.stability.files import write_stability
    from correct_l0.metrics.stability.measure import compare_seeds
    from correct_l0.provenance.manifest import digest_of, write_manifest
    from correct_l0.saes.saved import open_trained_sae

    start = time.perf_counter()
    opened = [open_trained_sae(path) for path in snakemake.input.saes]
    seeds = [int(facts["seed"]) for _, facts in opened]
    decoders = {seed: sae.W_dec for seed, (sae, _) in zip(seeds, opened, strict=True)}
    outputs = write_stability(Path(snakemake.output.manifest).parent, compare_seeds(decoders))
    write_manifest(
        snakemake.output.manifest,
        stage="compare_seeds",
        recipe=RECIPE,
        parameters=snakemake.params.settings,
        inputs={
            f"seed_{seed}": digest_of(path)
            for seed, path in zip(seeds, snakemake.input.saes, strict=True)
        },
        outputs=outputs,
        l0=opened[0][1]["l0"],
        wall_s=round(time.perf_counter() - start, 3),
    )
