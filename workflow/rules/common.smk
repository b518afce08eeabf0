# In: the configuration. Out: names that every other .smk uses; nothing is computed here.

import os
import subprocess
import sys
from pathlib import Path

LIBRARY = str(Path(workflow.basedir) / "workflow" / "lib")
sys.path.insert(0, LIBRARY)
# Scripts run in processes of their own, here and on cluster nodes.
os.environ["PYTHONPATH"] = os.pathsep.join(
    path for path in (LIBRARY, os.environ.get("PYTHONPATH")) if path
)
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from correct_l0.errors import InputError
from correct_l0.plan import Plan

try:
    PLAN = Plan.from_config(config)
except InputError as error:
    sys.exit("\n".join(f"error: {line}" for line in str(error).splitlines()))

STUDY = PLAN.study
CACHE = STUDY.activations.cache
CACHE_FOLDER = PLAN.cache_folder
RESULTS = PLAN.results
DEVICE = STUDY.device

for remark in STUDY.warnings():
    logger.warning(f"warning: {remark}")


wildcard_constraints:
    l0=r"[0-9.e+-]+",
    seed=r"\d+",


def write_partial_report():
    """Write a report over the points that are there, with the others as named gaps."""
    command = [sys.executable, "-m", "correct_l0.report.partial"]
    subprocess.run(command, input=PLAN.as_json(), text=True, check=False)
