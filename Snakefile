"""Which L0 should a sparse autoencoder have? The study, from its source to the report."""

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/engine.smk"


# A configuration named on the command line stands alone: merged with this one, keys of the default
# study would leak into it.
if not CONFIGFILES:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"


IMPORTS = any(plan.study.saes.imported for plan in PLANS.values())
SHARED = [PLAN.study.source.kind, *["weights"] * IMPORTS, "groups", "saes", "measured"]
MEASURED = [
    room
    for plan in PLANS.values()
    for room in (*plan.rooms, *plan.study_rooms)
    if room in ("probing", "stability")
]

for room in dict.fromkeys([*SHARED, *MEASURED, "report"]):

    include: f"workflow/rules/{room}.smk"


if STUDY.stored and "probing" in MEASURED:

    include: "workflow/rules/stored_model.smk"


if any(plan.rounds for plan in PLANS.values()):

    include: "workflow/rules/search.smk"


if STUDY.train_on:

    include: "workflow/rules/train_on.smk"


if STUDY.self_check:

    include: "workflow/rules/self_check.smk"


if STUDY.frozen_control:

    include: "workflow/rules/frozen_control.smk"


if STUDY.sweep:

    include: "workflow/rules/comparison.smk"


rule all:
    default_target: True
    input:
        report=wanted("report.html"),
        summary=wanted("summary.txt"),


look_at_manifests()
when_nothing_is_to_do(tell_answer)


onstart:
    note_run(STUDY_FOLDER)
    tell_estimates()


onsuccess:
    remove_records()
    failed = tell_reasons_of_failure()
    forget_run(STUDY_FOLDER)
    # Only where records are asked for by name: of a point without an SAE there are no tables.
    if failed:
        sys.exit(1)
    if rounds_were_read():
        start_again()
    else:
        tell_answer()


onerror:
    tell_reasons_of_failure()
    forget_run(STUDY_FOLDER)
    write_partial_report()
