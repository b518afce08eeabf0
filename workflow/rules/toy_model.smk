# In: the configuration of a toy study. Out: results/{study}/saes/l0_{l0}/seed_{seed}/ with the SAEs of
# the sweep, results/{study}/decoder_metrics/parts/, results/{study}/toy_model/{experiment}/ and
# results/{study}/tables/.
# A part is a list of points that one job trains on one stream of samples. The points, kept
# undeclared, survive a failed job and a change of the list: only what is missing is trained.

import math

from correct_l0.toy_model import RECIPE as TOY_MODEL_RECIPE
from correct_l0.toy_model.experiments import RECIPE as TOY_EXPERIMENTS_RECIPE
from correct_l0.toy_model.tables import TABLES as TOY_TABLES
from correct_l0.metrics.decoder import RECIPE as DECODER_METRICS_RECIPE


wildcard_constraints:
    part=r"\d+",
    experiment=r"[a-z0-9_]+",


rule train_toy_saes:
    """Several BatchTopK SAEs of one seed on one stream of samples."""
    output:
        part=f"{RESULTS}/saes/parts/seed_{{seed}}/part_{{part}}.json",
    log:
        f"{RESULTS}/logs/train_toy_saes/seed_{{seed}}/part_{{part}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_toy_saes/seed_{{seed}}/part_{{part}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        checkpoint_s=math.ceil(60 * STUDY.saes.checkpoint_min),
        mem_mb=2000,
        runtime=720,
    params:
        settings=PLAN.settings_saes(),
        recipe=f"recipe={TOY_MODEL_RECIPE}",
        l0=lambda wildcards: PLAN.part_l0[int(wildcards.part)],
    script:
        "../scripts/train_toy_saes.py"


rule project_toy_decoders:
    """s_n^dec, c_dec, errors and cosines with the true features of one part's SAEs."""
    input:
        part=rules.train_toy_saes.output.part,
    output:
        manifest=f"{RESULTS}/decoder_metrics/parts/seed_{{seed}}/part_{{part}}.json",
    log:
        f"{RESULTS}/logs/project_toy_decoders/seed_{{seed}}/part_{{part}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/project_toy_decoders/seed_{{seed}}/part_{{part}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        saes=PLAN.settings_saes(),
        settings=PLAN.settings_decoder_metrics(),
        recipe=f"recipe={DECODER_METRICS_RECIPE}",
        l0=lambda wildcards: PLAN.part_l0[int(wildcards.part)],
        points=lambda wildcards: PLAN.points_of(wildcards.seed, wildcards.part),
    script:
        "../scripts/project_toy_decoders.py"


rule run_toy_experiment:
    """One experiment with one seed; its checkpoint, kept undeclared, survives a failed job."""
    output:
        manifest=f"{RESULTS}/toy_model/{{experiment}}/seed_{{seed}}/manifest.json",
    log:
        f"{RESULTS}/logs/run_toy_experiment/{{experiment}}/seed_{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/run_toy_experiment/{{experiment}}/seed_{{seed}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        checkpoint_s=math.ceil(60 * STUDY.saes.checkpoint_min),
        mem_mb=2000,
        runtime=720,
    params:
        settings=lambda wildcards: PLAN.settings_experiment(wildcards.experiment),
        recipe=f"recipe={TOY_EXPERIMENTS_RECIPE}",
    script:
        "../scripts/run_toy_experiment.py"


rule gather_toy_tables:
    """All results in tidy tables, after every manifest was held against the settings."""
    input:
        saes=PLAN.parts("saes"),
        decoder_metrics=PLAN.parts("decoder_metrics"),
        experiments=PLAN.experiments(),
    output:
        manifest=f"{RESULTS}/tables/manifest.json",
        parquet=expand(f"{RESULTS}/tables/{{table}}.parquet", table=TOY_TABLES),
        csv=expand(f"{RESULTS}/tables/{{table}}.csv", table=TOY_TABLES),
    log:
        f"{RESULTS}/logs/gather_toy_tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/gather_toy_tables.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=PLAN.settings_tables(),
        recipe=f"recipe={TOY_MODEL_RECIPE}",
    script:
        "../scripts/gather_toy_tables.py"
