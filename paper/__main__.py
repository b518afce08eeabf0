"""Run the paper's studies one after another, and hold its claims against what stands.

`python -m paper [--quick] [--cores N] [--judge-only]`, in the repository's root.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from correct_l0.errors import InputError
from correct_l0.jobs.child import status_of
from correct_l0.provenance.manifest import replacing
from correct_l0.report.figures import draw_figures
from paper import small_model
from paper.claims.table import judge_claims
from paper.figures import FIGURES
from paper.page import render_page, render_summary
from paper.small_model import SmallModel
from paper.studies import Sweep, open_sweeps, unlike_the_papers
from paper.tables import claim_tables


class Variant(NamedTuple):
    """A set of studies that the claims are held against, and where the ledger goes."""

    title: str
    results: Path
    configs: tuple[Path, ...]
    small_model: SmallModel


CONFIGS = Path("config/paper")
FULL = Variant(
    "The paper's claims about its toy model",
    Path("results/paper"),
    (CONFIGS / "toy-model.yaml", CONFIGS / "superposition.yaml"),
    small_model.FULL,
)
QUICK = Variant(
    "The paper's claims about its toy model, held against quick studies",
    Path("results/paper-quick"),
    (CONFIGS / "toy-model-quick.yaml", CONFIGS / "superposition-quick.yaml"),
    small_model.QUICK,
)


def run(variant: Variant, cores: int) -> int:
    """Run the studies and the small model; return the exit status."""
    for config in variant.configs:
        command = [sys.executable, "-m", "snakemake", "--cores", str(cores)]
        if status := status_of([*command, "--configfile", str(config)]):
            return status
    small_model.run(variant.small_model, variant.results / "small_model", cores)
    return 0


def judge(variant: Variant) -> str:
    """Write ledger, figures and page of what stands; return the ledger in words.

    Raises
    ------
    InputError
        If a configuration cannot be used, or a result is not as it was written.
    """
    sweeps, refused = open_sweeps(variant.configs)
    small: pd.DataFrame | None = None
    try:
        small = small_model.load(variant.small_model, variant.results / "small_model")
    except InputError as error:
        refused["the small model"] = str(error).partition(";")[0]
    tables = claim_tables(sweeps, small)
    claims = judge_claims(tables, studies_by_role(sweeps, variant, small is not None))
    for suffix, write in (("csv", claims.to_csv), ("parquet", claims.to_parquet)):
        with replacing(variant.results / f"ledger.{suffix}") as path:
            write(path, index=False)
    draw_figures(FIGURES, tables, variant.results / "figures")
    page = variant.results / "ledger.html"
    with replacing(page) as path:
        path.write_text(render_page(variant.title, claims, refused, variant.results / "figures"))
    return render_summary(variant.title, claims, refused, page)


def studies_by_role(
    sweeps: Sequence[Sweep], variant: Variant, with_small_model: bool
) -> Mapping[str, tuple[str, str]]:
    """Return which sweeps stand for what, and how their training differs from the paper's."""
    studies: dict[str, tuple[str, str]] = {}
    for sweep in sweeps:
        names, _ = studies.get(sweep.role, ("", ""))
        name = f"{names}, {sweep.name}" if names else sweep.name
        studies[sweep.role] = name, unlike_the_papers(sweep.training)
    if with_small_model:
        studies["small_model"] = "small model", unlike_the_papers(variant.small_model.training)
    return studies


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and judge; print the ledger in words and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m paper", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the quick studies")
    parser.add_argument("--cores", default="all", help="cores to use, or all")
    parser.add_argument("--judge-only", action="store_true", help="run nothing, judge what stands")
    options = parser.parse_args(arguments)
    variant = QUICK if options.quick else FULL
    started = time.monotonic()
    try:
        if not options.judge_only:
            cores = os.cpu_count() or 1 if options.cores == "all" else int(options.cores)
            if status := run(variant, cores):
                return status
        print(f"\n{judge(variant).rstrip()}")
    except InputError as error:
        print("\n".join(f"error: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return 1
    if not options.judge_only:
        print(f"This run took {(time.monotonic() - started) / 60:.1f} min.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
