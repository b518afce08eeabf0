"""TopK, JumpReLU and Matryoshka BatchTopK: three sweeps of a study, to SAELens and the report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from sae_lens.saes.sae import SAE
from workflow_runs import run_snakemake

from correct_l0.saes.saved import load_saved_sae
from correct_l0.sources import open_source

CONFIG = yaml.safe_load(Path(__file__).with_name("tiny-architectures.yaml").read_text())
RESULTS = Path("results/tiny-architectures")
SWEEPS = {"topk": "topk", "jumprelu": "jumprelu", "matryoshka": "jumprelu"}
"""Each sweep, and what its saved SAEs are to SAELens."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The study's results: all three sweeps compared, one with a report of its own."""
    folder = tmp_path_factory.mktemp("architectures")
    targets = [f"{RESULTS}/report.html", f"{RESULTS}/jumprelu/report.html"]
    run = run_snakemake(folder, *targets, config=CONFIG)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-9000:]
    return folder / RESULTS


def points_of(finished: Path, sweep: str) -> pd.DataFrame:
    """Return the row of every SAE of a sweep, by what was swept."""
    return pd.read_csv(finished / sweep / "tables/points.csv").set_index("l0")


@pytest.mark.parametrize("sweep", SWEEPS)
def test_saelens_loads_what_was_trained_and_counts_the_l0_of_the_tables(finished, sweep):
    points = points_of(finished, sweep)
    assert [*points.index] == CONFIG["sweeps"][sweep]["l0"]
    # Of the 4096 held-out rows the second half is measured on.
    rows = open_source(finished / "world/manifest.json", load_saved_sae).held_out(2048, 4096)
    for swept, row in points.iterrows():
        sae = SAE.load_from_disk(finished / sweep / f"saes/l0_{swept:g}/seed_0/sae")
        assert sae.cfg.architecture() == SWEEPS[sweep]
        trained_as = CONFIG["sweeps"][sweep]["architecture"]["name"]
        assert sae.cfg.metadata.training_architecture == trained_as
        with torch.no_grad():
            active = torch.count_nonzero(sae.encode(rows), dim=1).double()
        # A pre-activation on the edge may fall on either side.
        assert row["l0_measured"] == pytest.approx(active.mean().item(), abs=2e-3)


def test_the_measured_l0_is_that_asked_for(finished):
    topk = points_of(finished, "topk").l0_measured
    assert topk.to_numpy() == pytest.approx(topk.index, abs=0.01)
    # Thresholds are set on other tokens, for the mean of all.
    matryoshka = points_of(finished, "matryoshka").l0_measured
    assert matryoshka.to_numpy() == pytest.approx(matryoshka.index, rel=0.06)
    # Here the weight of a penalty is swept.
    assert points_of(finished, "jumprelu").l0_measured.is_monotonic_decreasing


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_has_its_answer_in_the_report(finished, sweep):
    verdict = json.loads((finished / sweep / "tables/verdict.json").read_text())
    page = (finished / "report.html").read_text()
    assert f'href="{sweep}/report.html"' in page
    assert f"{sweep}: {verdict['headline']}" in (finished / "summary.txt").read_text()
    true_l0 = json.loads((finished / "world/manifest.json").read_text())["true_l0"]
    recovery = pd.read_csv(finished / sweep / "tables/recovery.csv")
    assert [*recovery.true_l0] == 3 * [pytest.approx(true_l0)]
    assert len(re.findall(r'class="headline">[^<]', page)) == len(SWEEPS)


def test_the_report_of_an_architecture_names_it_and_reads_over_its_measured_l0(finished):
    page = (finished / "jumprelu/report.html").read_text()
    assert re.search(r"Architecture</\w+>\s*<\w+>jumprelu", page)
    for l0 in points_of(finished, "jumprelu").l0_measured:
        assert f"{l0:.3g}" in page
