"""Does a study say the same whatever rounds differently? It is trained and read again, and again.

`python -m benchmarks.same_answer [WORLD]`, in the repository's root: a world of the calibration
suite is trained, measured and read with one thread, by the kernels of a processor without AVX-512
and of one without AVX, with every SAE trained by itself, the last L0 first, and with two threads.
The headline has to be the same, word for word; of what else a report prints of the answer, which is
measured of these very SAEs, the differences are shown.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from calibration.worlds import world

WORLD = 2
"""A short one that names an L0."""

OLD_PROCESSOR = {
    "ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41", "OPENBLAS_CORETYPE": "Nehalem", "NUMBA_CPU_NAME": "generic",
}  # fmt: skip
AVX2_PROCESSOR = {
    "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2", "OPENBLAS_CORETYPE": "Haswell", "NUMBA_CPU_NAME": "haswell",
}  # fmt: skip
VARIANTS: dict[str, tuple[dict[str, str], bool]] = {
    "one thread": ({"OMP_NUM_THREADS": "1"}, False),
    "kernels without AVX-512": ({"OMP_NUM_THREADS": "1"} | AVX2_PROCESSOR, False),
    "kernels without AVX": ({"OMP_NUM_THREADS": "1"} | OLD_PROCESSOR, False),
    "every SAE by itself, the last first": ({"OMP_NUM_THREADS": "1"}, True),
    "two threads": ({"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}, False),
}
"""Environment of each, and whether SAEs are trained apart."""


def say(number: int, apart: bool) -> list[str]:
    """Train and read a world in the working directory; return all that is printed of its answer."""
    from calibration.measure import make_source
    from correct_l0.report.rounds import verdict_of
    from correct_l0.study.opened import open_plan
    from correct_l0.trial import run_study

    plan = open_plan(world(number).config)
    make_source(plan)
    threads, saes = int(os.environ["OMP_NUM_THREADS"]), plan.study.saes
    for l0 in sorted(saes.l0, reverse=True) if apart else ():
        one = saes.model_copy(update={"l0": (l0,)})
        run_study(replace(plan, study=plan.study.model_copy(update={"saes": one})), threads=threads)
    verdict = verdict_of(plan, run_study(plan, threads=threads))
    named = (verdict["headline"], *verdict["lines"], verdict["agreement"], verdict["truth_line"])
    beside = (*verdict["stability_lines"], *verdict["training_lines"], *verdict["caveats"])
    return [line for line in (*named, *beside, verdict["next"]["sentence"]) if line]


def ask(number: int, variant: str) -> list[str]:
    """Return what a world says in a process of its own, with the variant's environment."""
    environment, apart = VARIANTS[variant]
    command = [sys.executable, "-m", "benchmarks.same_answer", str(number), "--say"]
    root = Path(__file__).parents[1]
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [*command, *(["--apart"] if apart else [])],
            cwd=folder,
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    said: list[str] = json.loads(run.stdout.splitlines()[-1])
    return said


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; return 1 where two headlines differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.same_answer", description=__doc__)
    parser.add_argument("world", type=int, nargs="?", default=WORLD)
    parser.add_argument("--say", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--apart", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.say:
        print(json.dumps(say(options.world, options.apart)))
        return 0
    first, *others = VARIANTS
    expected = ask(options.world, first)
    print(f"{first}:", *expected, sep="\n  ", flush=True)
    same = True
    for variant in others:
        found = ask(options.world, variant)
        changed = [x for x in difflib.ndiff(expected, found) if x[0] in "+-"]
        answer = "the same" if found[0] == expected[0] else "ANOTHER ANSWER"
        print(f"{variant}: {answer}", *changed, sep="\n  ", flush=True)
        same = same and found[0] == expected[0]
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
