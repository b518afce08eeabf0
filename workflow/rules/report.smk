# In: every point's results in results/{study}/saes, decoder_metrics and probing, the probing baselines
# and the manifests of the activation cache and of its probing tasks. Out: results/{study}/tables,
# figures, report.html and summary.txt.

from correct_l0.report import TABLES, figures_of

# Those of every sweep. What only some have stands in the manifest of their figures.
FIGURES = [
    name
    for name in figures_of(PLAN)
    if all(name in figures_of(plan) for plan in PLANS.values())
]


rule gather_tables:
    """All results in tidy tables, after every point's manifests were held against the settings."""
    input:
        source=SOURCE,
        results=results_of,
        rounds=lambda wildcards: recorded_rounds(plan_of(wildcards)),
        tasks=TASK_MANIFESTS,
    output:
        manifest=f"{RESULTS}/tables/manifest.json",
        parquet=expand(
            f"{RESULTS}/tables/{{table}}.parquet", table=TABLES, allow_missing=True
        ),
        csv=expand(f"{RESULTS}/tables/{{table}}.csv", table=TABLES, allow_missing=True),
    log:
        f"{RESULTS}/logs/gather_tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/gather_tables.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("gather_tables"),
        runtime=runtime("gather_tables"),
    params:
        settings=settings_of_report,
        recipe=recipe("gather_tables"),
    script:
        "../scripts/gather_tables.py"


rule read_curves:
    """The verdict: where seeds agree best, what every curve says, whether an L0 can be named."""
    input:
        tables=rules.gather_tables.output.parquet,
        trained_on=if_asked("train_on"),
    output:
        verdict=f"{RESULTS}/tables/verdict.json",
        manifest=f"{RESULTS}/tables/verdict.manifest.json",
    log:
        f"{RESULTS}/logs/read_curves.log",
    benchmark:
        f"{RESULTS}/benchmarks/read_curves.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("read_curves"),
        runtime=runtime("read_curves"),
    params:
        settings=settings_of_report,
        recipe=recipe("read_curves"),
        code=report_code,
    script:
        "../scripts/read_curves.py"


rule plot_figures:
    """Every figure, wide as PNG and SVG, and narrow for phones as SVG."""
    input:
        tables=rules.gather_tables.output.parquet,
        verdict=rules.read_curves.output.verdict,
        control=if_asked("frozen_control"),
    output:
        svg=expand(f"{RESULTS}/figures/{{name}}.svg", name=FIGURES, allow_missing=True),
        png=expand(f"{RESULTS}/figures/{{name}}.png", name=FIGURES, allow_missing=True),
        narrow=expand(
            f"{RESULTS}/figures/{{name}}.narrow.svg", name=FIGURES, allow_missing=True
        ),
        manifest=f"{RESULTS}/figures/manifest.json",
    log:
        f"{RESULTS}/logs/plot_figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_figures.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("plot_figures"),
        runtime=runtime("plot_figures"),
    params:
        settings=settings_of_report,
        recipe=recipe("plot_figures"),
        code=report_code,
    script:
        "../scripts/plot_figures.py"


rule write_report:
    """The page that people read, and the summary that ends `make demo`."""
    input:
        tables=rules.gather_tables.output.parquet,
        verdict=rules.read_curves.output.verdict,
        figures=rules.plot_figures.output,
        control=if_asked("frozen_control"),
        self_check=if_asked("self_check"),
    output:
        report=report(
            f"{RESULTS}/report.html", caption="../report/report.rst", category="Report"
        ),
        summary=f"{RESULTS}/summary.txt",
        manifest=f"{RESULTS}/report.manifest.json",
    log:
        f"{RESULTS}/logs/write_report.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_report.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("write_report"),
        runtime=runtime("write_report"),
    params:
        settings=settings_of_report,
        recipe=recipe("write_report"),
        code=report_code,
    script:
        "../scripts/write_report.py"
