# In: tables and verdict of every sweep in results/{study}/{sweep}/tables. Out: results/{study}/
# report.html, summary.txt and figures/, all sweeps side by side. Included where a study has sweeps.

from correct_l0.report.comparison.settings import comparison_figures

COMPARISON_FIGURES = expand(
    f"{STUDY_FOLDER}/figures/{{name}}.{{suffix}}",
    name=comparison_figures(PLANS.values()),
    suffix=("svg", "narrow.svg", "png"),
)


rule compare_sweeps:
    """The answers of all sweeps side by side, and one figure of them."""
    input:
        tables=expand("{results}/tables/manifest.json", results=PLANS),
        verdicts=expand("{results}/tables/verdict.manifest.json", results=PLANS),
    output:
        report=report(
            f"{STUDY_FOLDER}/report.html",
            caption="../report/comparison.rst",
            category="Report",
        ),
        summary=f"{STUDY_FOLDER}/summary.txt",
        figures=COMPARISON_FIGURES,
        manifest=f"{STUDY_FOLDER}/report.manifest.json",
    log:
        f"{STUDY_FOLDER}/logs/compare_sweeps.log",
    benchmark:
        f"{STUDY_FOLDER}/benchmarks/compare_sweeps.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("compare_sweeps"),
        runtime=runtime("compare_sweeps"),
    params:
        settings=[report_settings(plan) for plan in PLANS.values()],
        recipe=recipe("compare_sweeps"),
        code=report_code,
    script:
        "../scripts/compare_sweeps.py"
