"""Which L0 should a sparse autoencoder have? The study, from its source to the report."""

import atexit

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/engine.smk"


# A configuration named on the command line stands alone: merged with this one, keys of the default
# study would leak into it.
if not CONFIGFILES:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"


SHARED = [PLAN.source_kind, "groups", "saes", "measured"]
MEASURED = [
    room
    for plan in PLANS.values()
    for room in (*plan.rooms, *plan.study_rooms)
    if room in ("probing", "stability")
]

for room in dict.fromkeys([*SHARED, *MEASURED, "report"]):

    include: f"workflow/rules/{room}.smk"


if STUDY.self_check:

    include: "workflow/rules/self_check.smk"


if STUDY.sweep:

    include: "workflow/rules/comparison.smk"


rule all:
    default_target: True
    input:
        report=expand("{results}/report.html", results={**PLANS, STUDY_FOLDER: PLAN}),
        summary=expand("{results}/summary.txt", results={**PLANS, STUDY_FOLDER: PLAN}),


look_at_manifests()


onstart:
    note_run(STUDY_FOLDER)


onsuccess:
    forget_run(STUDY_FOLDER)
    remove_records()


onerror:
    # After all that Snakemake prints.
    for line in reasons_of_failure():
        atexit.register(print, line, file=sys.stderr)
    forget_run(STUDY_FOLDER)
    write_partial_report()
