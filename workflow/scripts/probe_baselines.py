"""Score the raw activations, a constant and a coin on every task."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=1):
    import json
    import time
    from pathlib import Path

    from correct_l0.metrics.probing import RECIPE
    from correct_l0.metrics.probing.baselines import baselines_table, logistic_regression_engine
    from correct_l0.metrics.probing.engines import ActivationsFolder
    from correct_l0.metrics.probing.probe import quiet
    from correct_l0.metrics.probing.records import Records, probe_tasks, write_scores
    from correct_l0.metrics.probing.settings import Probing
    from correct_l0.provenance.checks import checked_digest_of
    from correct_l0.provenance.manifest import write_manifest
    from correct_l0.sources.sae_probes import resolve_tasks

    start = time.perf_counter()
    settings = Probing.model_validate(json.loads(snakemake.params.settings))
    (cache, hook), d_in = snakemake.params.names, snakemake.params.d_in
    activations = ActivationsFolder(Path(snakemake.input.tasks[0]).parents[1], cache, hook)
    tasks = resolve_tasks(settings.tasks)
    digests = dict(zip(tasks, map(checked_digest_of, snakemake.input.tasks), strict=True))
    identity = {"recipe": RECIPE, "engine": "logistic regression", "hook_name": hook}
    records = Records(Path(snakemake.output.manifest).parent / "json", identity)
    with quiet():
        engine = logistic_regression_engine(activations, d_in)
        probes = probe_tasks(engine, digests, [d_in], records, snakemake.threads)
    write_scores(snakemake.output.scores, baselines_table(probes))
    write_manifest(
        snakemake.output.manifest,
        stage="probe_baselines",
        recipe=RECIPE,
        parameters=snakemake.params.settings,
        inputs=digests,
        outputs=[snakemake.output.scores],
        wall_s=round(time.perf_counter() - start, 3),
    )
