"""Probe one SAE on every task and write its scores and sae-probes' result files."""

from correct_l0.jobs.job import job

# One thread for the linear algebra: rounding then does not depend on the number of cores.
with job(snakemake.log[0], threads=1):
    import json
    import time
    from pathlib import Path

    from correct_l0.metrics.probing import RECIPE
    from correct_l0.metrics.probing.engines import ActivationsFolder, exact_engine, reference_engine
    from correct_l0.metrics.probing.probe import quiet
    from correct_l0.metrics.probing.records import Records, probe_tasks, scores_table, write_scores
    from correct_l0.metrics.probing.reference import write_package_results
    from correct_l0.metrics.probing.settings import Probing
    from correct_l0.provenance.manifest import checked_digest_of, digest_of, write_manifest
    from correct_l0.saes.saved import open_trained_sae
    from correct_l0.sources.sae_probes import resolve_tasks

    start = time.perf_counter()
    settings = Probing.model_validate(json.loads(snakemake.params.settings))
    sae, facts = open_trained_sae(snakemake.input.sae)
    source, (cache, hook) = Path(snakemake.input.tasks[0]).parents[1], snakemake.params.names
    folder = Path(snakemake.output.manifest).parent / "json"
    activations = ActivationsFolder(source, cache, hook)
    tasks = resolve_tasks(settings.tasks)
    digests = dict(zip(tasks, map(checked_digest_of, snakemake.input.tasks), strict=True))
    sae_digest = digest_of(snakemake.input.sae)
    identity = {"recipe": RECIPE, "engine": settings.engine, "hook_name": hook, "sae": sae_digest}
    with quiet():
        if settings.engine == "exact":
            engine, threads = exact_engine(sae, activations), snakemake.threads
        else:
            sae_folder = Path(snakemake.input.sae).parent / "sae"
            engine, threads = reference_engine(sae_folder, activations, folder / "work"), 1
        probes = probe_tasks(engine, digests, settings.probe_k, Records(folder, identity), threads)
    write_scores(snakemake.output.scores, scores_table(probes))
    results = write_package_results(folder, cache, hook, probes)
    write_manifest(
        snakemake.output.manifest,
        stage="probe_sae",
        recipe=RECIPE,
        parameters=snakemake.params.settings,
        inputs={"sae": sae_digest, **digests},
        outputs=[snakemake.output.scores, *results],
        l0=facts["l0"],
        seed=facts["seed"],
        wall_s=round(time.perf_counter() - start, 3),
    )
