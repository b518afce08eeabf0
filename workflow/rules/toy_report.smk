# In: a toy study's tables in results/{study}/tables. Out: the verdict and the ledger of the paper's
# claims beside them, results/{study}/figures, report.html and summary.txt.

from correct_l0.toy_model.report import FIGURES as TOY_FIGURES
from correct_l0.toy_model.report import RECIPE as TOY_REPORT_RECIPE


rule read_toy_curves:
    """The curves held against the known truth, and every claim of the paper against the tables."""
    input:
        tables=rules.gather_toy_tables.output.parquet,
    output:
        verdict=f"{RESULTS}/tables/verdict.json",
        claims=expand(f"{RESULTS}/tables/claims.{{kind}}", kind=["parquet", "csv"]),
        manifest=f"{RESULTS}/tables/verdict.manifest.json",
    log:
        f"{RESULTS}/logs/read_toy_curves.log",
    benchmark:
        f"{RESULTS}/benchmarks/read_toy_curves.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=PLAN.settings_tables(),
        recipe=f"recipe={TOY_REPORT_RECIPE}",
        code=report_code,
    script:
        "../scripts/read_toy_curves.py"


rule plot_toy_figures:
    """Every figure, wide as PNG and SVG, and narrow for phones as SVG."""
    input:
        tables=rules.gather_toy_tables.output.parquet,
        verdict=rules.read_toy_curves.output.verdict,
    output:
        svg=expand(f"{RESULTS}/figures/{{name}}.svg", name=TOY_FIGURES),
        png=expand(f"{RESULTS}/figures/{{name}}.png", name=TOY_FIGURES),
        narrow=expand(f"{RESULTS}/figures/{{name}}.narrow.svg", name=TOY_FIGURES),
        manifest=f"{RESULTS}/figures/manifest.json",
    log:
        f"{RESULTS}/logs/plot_toy_figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_toy_figures.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=PLAN.settings_tables(),
        recipe=f"recipe={TOY_REPORT_RECIPE}",
        code=report_code,
    script:
        "../scripts/plot_toy_figures.py"


rule write_toy_report:
    """The page that people read, and the summary that ends `make toy`."""
    input:
        tables=rules.gather_toy_tables.output.parquet,
        verdict=rules.read_toy_curves.output.verdict,
        claims=rules.read_toy_curves.output.claims,
        figures=rules.plot_toy_figures.output,
    output:
        report=report(
            f"{RESULTS}/report.html", caption="../report/report.rst", category="Report"
        ),
        summary=f"{RESULTS}/summary.txt",
        manifest=f"{RESULTS}/report.manifest.json",
    log:
        f"{RESULTS}/logs/write_toy_report.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_toy_report.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=PLAN.settings_tables(),
        title=STUDY.title or STUDY.study,
        recipe=f"recipe={TOY_REPORT_RECIPE}",
        code=report_code,
    script:
        "../scripts/write_toy_report.py"
