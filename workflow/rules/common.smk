# In: the configuration. Out: names that every other .smk uses; nothing is computed here.

import subprocess
import sys
from pathlib import Path

LIBRARY = str(Path(workflow.basedir) / "workflow" / "lib")
sys.path.insert(0, LIBRARY)
from correct_l0.config_errors import check_repeated_keys
from correct_l0.errors import InputError
from correct_l0.jobs import prepare_environment
from correct_l0.plan import Plan
from correct_l0.toy_model.plan import ToyPlan

TOY_STUDY = "toy_model" in config

try:
    for path in workflow.overwrite_configfiles or ["config/config.yaml"]:
        check_repeated_keys(path)
    PLAN = (ToyPlan if TOY_STUDY else Plan).from_config(config)
except InputError as error:
    sys.exit("\n".join(f"error: {line}" for line in str(error).splitlines()))

prepare_environment(LIBRARY)

STUDY = PLAN.study
RESULTS = PLAN.results

for remark in STUDY.warnings():
    logger.warning(f"warning: {remark}")


wildcard_constraints:
    l0=r"[0-9.e+-]+",
    seed=r"\d+",


def write_partial_report():
    """Write a report over the points that are there, with the others as named gaps."""
    command = [sys.executable, "-m", "correct_l0.report.partial"]
    subprocess.run(command, input=PLAN.as_json(), text=True, check=False)


def figure_in_report(name):
    """Return a figure's file, marked for Snakemake's own report."""
    return report(
        f"{RESULTS}/figures/{name}.svg",
        caption=f"../report/{name}.rst",
        category="Figures",
        labels={"figure": name.replace("_", " ")},
    )
