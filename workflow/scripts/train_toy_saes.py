"""Train one part of a toy study's sweep: several SAEs on one stream of samples."""

from correct_l0.jobs.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    import torch

    from correct_l0.provenance.manifest import digest_of, write_manifest
    from correct_l0.toy_model import PART_STAGE, RECIPE
    from correct_l0.toy_model.point import train_part

    torch.set_num_threads(snakemake.threads)
    part = Path(snakemake.output.part)
    manifests = train_part(
        snakemake.params.settings,
        snakemake.params.l0,
        int(snakemake.wildcards.seed),
        part.parents[2],
        snakemake.resources.checkpoint_s,
    )
    write_manifest(
        part,
        stage=PART_STAGE,
        recipe=RECIPE,
        parameters=snakemake.params.settings,
        inputs={path.parents[1].name: digest_of(path) for path in manifests},
        outputs=[],
    )
