# In: what is measured of the points of a search so far. Out: results/{study}/rounds/round_{round}.json:
# what they say, which points come next and why, or why the search ends. One run of Snakemake goes to
# the end of a round; the same command then starts once more with the points that are known by then
# (start_again in engine.smk). Included where a sweep is a search.


def record_before(wildcards):
    """Return the record of the round before, none of the first."""
    number = int(wildcards.round)
    return plan_of(wildcards).round_file(number - 1) if number > 1 else []


wildcard_constraints:
    round=r"[1-9]\d*",


rule read_round:
    """What the points so far say, and which come next."""
    input:
        source=SOURCE,
        results=results_of_round,
        before=record_before,
        tasks=TASK_MANIFESTS,
    output:
        record=f"{RESULTS}/rounds/round_{{round}}.json",
        manifest=f"{RESULTS}/rounds/round_{{round}}.manifest.json",
    log:
        f"{RESULTS}/logs/read_round/round_{{round}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/read_round/round_{{round}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("read_round"),
        runtime=runtime("read_round"),
    params:
        settings=lambda wildcards: round_settings(plan_then(wildcards)),
        recipe=recipe("read_round"),
    script:
        "../scripts/read_round.py"
