"""Made-up studies for the tests of the report: tables, and whole result folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from correct_l0.metrics import metrics
from correct_l0.metrics.stability.measure import SeedPair, stability_table
from correct_l0.provenance.manifest import digest_of, write_manifest
from correct_l0.reading.calibrated import NOMINAL
from correct_l0.reading.peak import read_peak
from correct_l0.report.names import preferred
from correct_l0.sources.outlying import norm_facts
from correct_l0.sources.sae_probes import resolve_tasks
from correct_l0.sources.settings import Outlying
from correct_l0.stages import BY_RULE
from correct_l0.study.config import parse_config
from correct_l0.study.plan import Plan

L0 = (4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 192.0, 300.0)
C_DEC = (0.0736, 0.0647, 0.0571, 0.0489, 0.0397, 0.0330, 0.0349, 0.0381)
S_N = (3.26, 2.99, 2.60, 2.24, 1.90, 1.65, 1.68, 1.77)
F1_GAIN = (-0.12, -0.08, -0.05, -0.03, -0.01, 0.0, 0.0, -0.02)
FALLING = (0.066, 0.064, 0.061, 0.056, 0.051, 0.046, 0.041, 0.036)
RISING = tuple(reversed(FALLING))
LEVEL = (0.05,) * 8
SHARED = (0.62, 0.58, 0.5, 0.4, 0.4, 0.6, 0.54, 0.3)
"""Share of latents that two seeds both find: high at an L0 of a few, with a local peak near 125."""
PEAKED = (0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 0.65, 0.4)
"""The same with one peak alone, near 125."""
MCC = (0.3, 0.4, 0.5, 0.6, 0.8, 0.95, 0.9, 0.7)
CONTROLLED = {"f1_shuffled_labels": 0.45, "f1_permuted_latents": 0.47}
AT_32 = (0.0736, 0.0600, 0.0450, 0.0330, 0.0397, 0.0470, 0.0510, 0.0550)


def _long(means, l0, seeds, spread, rng):
    return [
        (x, x * 1.003, seed, mean * (1 + rng.normal(0, spread)))
        for x, mean in zip(l0, means, strict=True)
        for seed in seeds
    ]


def tables(
    *,
    l0=L0,
    seeds=(0, 1),
    c_dec=C_DEC,
    s_n=None,
    f1=None,
    init_cosine=0.2,
    loss_slope=0.002,
    dead=0.01,
    half=None,
    nine_tenths=None,
    steps=1000,
    spread=0.005,
    tasks=40,
    gaps=(),
    shared=None,
) -> dict[str, pd.DataFrame]:
    """Tables of a study whose curves are the given means plus noise over seeds.

    `s_n` maps n to means, `f1` maps probe_k to the gain of each L0; health values may be one number
    or one per L0. `half` and `nine_tenths` are c_dec's means at that share of training; without
    them c_dec stands still from there on. `shared` is the share of latents that the first two seeds
    both find, by L0 point: cosine 1 for those, 0.15, which is chance, for the others.
    """
    rng = np.random.default_rng(0)
    s_n = {400: S_N, 500: S_N, 600: S_N} if s_n is None else s_n
    f1 = {1: F1_GAIN, 16: F1_GAIN} if f1 is None else f1
    columns = ["l0", "l0_measured", "seed", "value"]
    points = pd.DataFrame(_long([1.0] * len(l0), l0, seeds, 0, rng), columns=columns)
    for name, values in (
        ("init_cosine_median", init_cosine),
        ("loss_slope", loss_slope),
        ("dead_fraction", dead),
    ):
        points[name] = np.repeat(np.broadcast_to(values, len(l0)), len(seeds))
    s_frames = [
        pd.DataFrame(_long(means, l0, seeds, spread, rng), columns=columns).assign(
            n=n, statistic="batch_mean", standard_error=0.002
        )
        for n, means in s_n.items()
    ]
    levels = rng.uniform(0.55, 0.95, tasks)
    probing = [
        (x, x * 1.003, seed, f"task_{t:02d}", k, levels[t] + gain + rng.normal(0, 0.01))
        for k, gains in f1.items()
        for x, gain in zip(l0, gains, strict=True)
        for seed in seeds
        for t in range(tasks)
    ]
    ends = pd.DataFrame(_long(c_dec, l0, seeds, spread, rng), columns=columns)
    nine_tenths = c_dec if nine_tenths is None else nine_tenths
    half = nine_tenths if half is None else half
    known = {0: [0.04] * len(l0), 5: half, 9: nine_tenths, 10: c_dec}
    # A seed is as far from its mean all along the training as it is at the end.
    training = pd.concat([
        ends.drop(columns="value").assign(
            step=step, tokens=step * 1024,
            c_dec=ends["value"] + np.repeat(
                [np.interp(done, list(known), column) - end
                 for column, end in zip(zip(*known.values(), strict=True), c_dec, strict=True)],
                len(seeds),
            ),
        )
        for step, done in {-(-i * steps // 10): i for i in range(1, 11)}.items()
    ])  # fmt: skip
    stability = pd.DataFrame(
        [
            (x, x * 1.003, 0, 1, 0.15 + 0.85 * share, share, share, 0.15, 0.0, 0.0)
            for x, share in zip(l0, shared or (), strict=shared is not None)
        ],
        columns=[
            "l0", "l0_measured", "seed_a", "seed_b", "pw_mcc", "share_above", "reproduced_share",
            "chance_pw_mcc", "chance_share_above", "chance_reproduced_share",
        ],
    )  # fmt: skip
    return {
        "points": points.drop(columns="value"),
        "c_dec": ends,
        "c_dec_prefixes": pd.DataFrame(columns=[*columns[:3], "latents", "value"]),
        "c_dec_training": training,
        "s_n_dec": pd.concat(s_frames, ignore_index=True),
        "probing": pd.DataFrame(
            probing, columns=["l0", "l0_measured", "seed", "task", "probe_k", "f1"]
        ),
        "gaps": pd.DataFrame(list(gaps), columns=["l0", "seed", "room", "reason"]),
        "stability": stability,
    }


def interval(shared, l0=L0) -> tuple[float, float, float]:
    """Lower end, peak and upper end that are read from made-up shares of latents."""
    peak = read_peak(np.array(l0) * 1.003, np.array(shared))
    return peak.low, peak.l0, peak.high


def answer_in_words(shared) -> str:
    """What the report says of made-up shares of latents, in preferred numbers."""
    low, l0, high = (f"{preferred(x):g}" for x in interval(shared))
    return f"L0 about {l0} ({NOMINAL:.0%} interval {low} to {high})"


def config(**saes) -> dict:
    """Configuration of the made-up study."""
    return _study("A made-up study", saes) | {
        "activations": {
            "cache": "made-up",
            "model": {"source": "package:made_up"},
            "hook_name": "blocks.3.hook_resid_post",
            "d_in": 384,
            "text": {"source": "sae-probes", "reserve_tasks": "default"},
            "training_tokens": 1_048_576,
            "held_out_tokens": 131_072,
        },
        "probing": {"tasks": "default"},
    }


def world_config(**saes) -> dict:
    """Configuration of the same curves over a synthetic world, whose true L0 is 120."""
    return _study("A made-up world", saes) | {
        "synthetic": {
            "features": 600,
            "d_in": 384,
            "directions": "random",
            "firing": {"law": "constant", "p": 0.2},
            "correlation": None,
            "held_out_tokens": 131_072,
        }
    }


def _study(title: str, saes: dict) -> dict:
    return {
        "study": "made-up",
        "title": title,
        "saes": {
            "d_sae": 768,
            "l0": list(L0),
            "seeds": [0, 1],
            "training": {"training_tokens": 2_097_152, "batch_tokens": 1024, "lr": 1e-3},
            **saes,
        },
        "decoder_metrics": {"n": [48, 96, 154, 192, 230, 300, 340, 384]},
    }


def plan(**saes) -> Plan:
    """The plan of the made-up study."""
    return Plan(parse_config(config(**saes)))


def world_plan(**saes) -> Plan:
    """The plan of the made-up world."""
    return Plan(parse_config(world_config(**saes)))


NORMS = norm_facts(np.linspace(9, 11, 100), np.linspace(9, 11, 10), Outlying())
"""Norms of the rows, none of which is outlying."""


def write_study(plan: Plan) -> None:
    """Write every file of a study below the current folder, as its rooms would.

    Curves look like those of all-MiniLM-L6-v2; each point's numbers are drawn from its own seed.
    """
    cache = Path(plan.source_folder)
    _seal(cache, plan.study.source.stage, plan.settings_source(), {}, [], norms=NORMS)
    digest = digest_of(cache / "manifest.json")
    saes: dict[str, dict[int, str]] = {label: {} for label in plan.labels}
    for label, seed in plan.points:
        rng = np.random.default_rng([seed, int(float(label) * 10)])
        c_dec = float(_at(label, C_DEC) * rng.normal(1, 0.004))
        sae = saes[label][seed] = _write_sae(plan, label, seed, digest, c_dec, rng)
        inputs = {"sae": sae, "activations": digest}
        _write_decoder_metrics(plan, label, seed, inputs, c_dec, rng)
        if "recovery" in plan.rooms:
            _write_recovery(plan, label, seed, inputs, rng)
    for label, manifest in plan.stability_manifests().items():
        _write_stability(plan, Path(manifest).parent, label, saes[label])
    if "probing" in plan.rooms:
        _write_probing(plan, cache, saes)
    write_benchmarks(plan)


def _at(label: str, curve: tuple[float, ...]) -> float:
    """Return a curve's value at an L0."""
    return float(np.interp(np.log(float(label)), np.log(L0), curve))


def _write_recovery(
    plan: Plan, label: str, seed: int, inputs: dict[str, str], rng: np.random.Generator
) -> None:
    folder = Path(plan.point_folder("recovery", label, seed))
    mcc = _at(label, MCC) + 0.002 * seed
    row = {
        "features": 600, "d_sae": 768, "mcc": mcc, "mean_best_cosine": mcc,
        "worst_best_cosine": mcc**4, "features_recovered": int(600 * mcc**2),
        "share_recovered": mcc**2, "uniqueness": 0.75 * mcc, "precision": mcc, "recall": mcc**0.5,
        "f1": mcc, "l0_true": 120.0, "l0_measured": float(label), "samples": 100_000,
    }  # fmt: skip
    table = _csv(folder / "recovery.csv", pd.DataFrame([row]))
    _seal(folder, "measure_recovery", metrics()["recovery"].settings(plan), inputs, [table],
          l0=float(label), seed=seed, true_l0=120.0)  # fmt: skip


def _write_stability(plan: Plan, folder: Path, label: str, saes: dict[int, str]) -> None:
    """Two seeds share the first latents; the others match as random ones do."""
    cosines = np.full(768, 0.154)
    cosines[: round(768 * _at(label, SHARED))] = 0.97
    pair = SeedPair((0, 1), 384, cosines, np.arange(768), float(cosines.mean()), 0.05, 0.0)
    table = _csv(folder / "stability.csv", stability_table([pair]))
    tables = [table]
    if plan.study.saes.snapshots:
        steps = [-(-i * 2048 // 10) for i in range(1, 11)]
        along = pd.concat(stability_table([pair]).assign(step=step, tokens=step * 1024)
                          for step in steps)  # fmt: skip
        # Seeds come to agree as the training goes on.
        for column in ("share_above", "reproduced_share", "pw_mcc"):
            along[column] *= along["step"] / 2048
        tables.append(_csv(folder / "stability_training.csv", along))
    seeds = {f"seed_{seed}": digest for seed, digest in saes.items()}
    _seal(folder, "compare_seeds", plan.settings_stability(), seeds, tables, l0=float(label))


def _write_probing(plan: Plan, cache: Path, saes: dict[str, dict[int, str]]) -> None:
    tasks = resolve_tasks(plan.study.probing.tasks)
    levels = np.random.default_rng(0).uniform(0.55, 0.95, len(tasks))
    probed = {}
    for task in tasks:
        path = cache / "probing" / "tasks" / f"{task}.json"
        write_manifest(path, stage="cache_probing_activations", recipe=1, parameters=task,
                       inputs={}, outputs=[])  # fmt: skip
        probed[task] = digest_of(path)
    for label, seed in plan.points:
        rng = np.random.default_rng([seed, int(float(label) * 10), 1])
        folder, gain = Path(plan.point_folder("probing", label, seed)), _at(label, F1_GAIN)
        rows = [
            {
                "task": task,
                "probe_k": k,
                "f1": min(0.999, levels[t] + gain * (1 if k == 1 else 0.5) + 0.05 * (k == 16)
                          + rng.normal(0, 0.012)),
                "accuracy": levels[t],
                "auc": levels[t],
                "f1_dedup": levels[t] + gain - 0.01,
            }
            | (CONTROLLED if seed == 0 and t % 8 == 0 else {})
            for t, task in enumerate(tasks)
            for k in plan.study.probing.probe_k
        ]  # fmt: skip
        scores = _csv(folder / "scores.csv", pd.DataFrame(rows))
        inputs = {"sae": saes[label][seed], **probed}
        _seal(folder, "probe_sae", plan.settings_probing(), inputs, [scores],
              l0=float(label), seed=seed)  # fmt: skip
    baselines = Path(plan.results) / "probing" / "baselines"
    table = pd.DataFrame(
        [
            {"baseline": name, "task": task, "f1": f1, "accuracy": f1, "auc": f1}
            for t, task in enumerate(tasks)
            for name, f1 in (
                ("logistic_regression", min(1.0, levels[t] + 0.1)),
                ("constant", 1 / 3),
                ("coin", 0.5),
            )
        ]
    )
    _seal(baselines, "probe_baselines", plan.settings_probing(), probed, [
        _csv(baselines / "scores.csv", table)
    ])  # fmt: skip


def write_benchmarks(plan: Plan) -> None:
    """Write a benchmark of one second of wall time for every point of every stage."""
    for rule in ("train_sae", "project_decoder", "probe_sae"):
        for label, seed in plan.points:
            path = Path(plan.results) / "benchmarks" / rule / f"l0_{label}" / f"seed_{seed}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("s\th:m:s\tmax_rss\n1.5\t0:00:01\t200.5\n")


def _write_sae(
    plan: Plan, label: str, seed: int, digest: str, c_dec: float, rng: np.random.Generator
) -> str:
    folder, l0 = Path(plan.point_folder("saes", label, seed)), float(label)
    share = np.log(l0 / L0[0]) / np.log(L0[-1] / L0[0])
    (folder / "sae").mkdir(parents=True, exist_ok=True)
    (folder / "sae" / "cfg.json").write_text("{}")
    cosines = np.clip(rng.normal(0.12 + 0.35 * share, 0.1, 768), -1, 1)
    np.save(folder / "decoder_init_cosine.npy", cosines)
    steps = np.arange(1, 2049)
    done = np.arange(1, 11) / 10
    tenths = np.ceil(done * 2048).astype(int)
    # The mean over pairs settles as a power law: 3.3% above its end at half, 0.4% at nine tenths.
    settling = dict(zip(tenths, c_dec * (1 + 0.08 * (done**-0.5 - 1)), strict=True))
    fall = 40 + 300 * np.exp(-steps / 60) + (330 / (1 + 0.4 * l0)) * np.exp(-steps / 700)
    loss = fall * (1 - 0.6 * share) * rng.normal(1, 0.01, len(steps))
    files = [
        folder / "sae" / "cfg.json",
        folder / "decoder_init_cosine.npy",
        _csv(folder / "loss.csv", pd.DataFrame({
            "step": steps, "tokens": steps * 1024, "mse_loss": loss, "aux_loss": 0.0,
            "loss": loss, "l0_batch": l0, "c_dec": [settling.get(step) for step in steps],
        })),
    ]  # fmt: skip
    kept = {}
    if plan.study.saes.snapshots:
        kept["init_cosine_medians"] = {str(step): 0.9 - step / 4096 for step in tenths[:-1]}
    fvu = 0.75 - 0.6 * share + rng.normal(0, 0.004)
    _seal(
        folder, "train_sae", plan.settings_sae(label), {"activations": digest}, files,
        seed=seed, l0=l0, d_in=384, d_sae=768, steps=2048, tokens=2048 * 1024,
        activation_scale=1.2, l0_measured=l0 * (1 + rng.normal(0, 0.004)), threshold=0.5, fvu=fvu,
        mse=384 * fvu, dead_latents=int(30 * share), dead_fraction=int(30 * share) / 768,
        evaluated_tokens=65_536, init_cosine_median=float(np.median(cosines)),
        loss_slope=0.004 + rng.normal(0, 0.001), tokens_per_s=24_000.0, data_wait_fraction=0.01,
        wall_s=85.0, resumed_from_step=0, device="cpu", threads=1, **kept,
    )  # fmt: skip
    return digest_of(folder / "manifest.json")


def _write_decoder_metrics(
    plan: Plan,
    label: str,
    seed: int,
    inputs: dict[str, str],
    c_dec: float,
    rng: np.random.Generator,
) -> None:
    folder, l0 = Path(plan.point_folder("decoder_metrics", label, seed)), float(label)
    s_48 = _at(label, S_N)
    rows = [
        {"n": n, "statistic": statistic, "value": s_48 * (48 / n) ** 0.45 * rng.normal(1, 0.004),
         "standard_error": 0.003, "batches": 32, "tokens": 131_072}
        for n in plan.study.n_values()
        for statistic in ("batch_mean", "pooled")
    ]  # fmt: skip
    edges = np.linspace(-20, 40, 961)
    centres = (edges[1:] + edges[:-1]) / 2
    counts = 1e7 * np.exp(-np.abs(centres) / (0.3 + c_dec * 10)) * (centres > -9)
    counts += 4e5 * np.exp(-((centres - 7) ** 2) / 6)
    directions = rng.normal(size=(768, 384)) + c_dec * 8 * rng.normal(size=384)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    random = float(np.sqrt(2 / (np.pi * 384)))
    table = {"c_dec": c_dec, "c_dec_random": random, "d_sae": 768, "d_in": 384}
    files = [
        _csv(folder / "s_n_dec.csv", pd.DataFrame(rows)),
        _csv(folder / "c_dec.csv", pd.DataFrame([table])),
        folder / "histogram.npz",
        folder / "cosine_heatmap.npz",
    ]
    np.savez_compressed(files[2], counts=counts.astype(int), edges=edges)
    np.savez_compressed(files[3], cosines=(directions @ directions.T).astype(np.float16))
    _seal(folder, "project_decoder", plan.settings_decoder_metrics(), inputs, files,
          l0=l0, seed=seed)  # fmt: skip


def _csv(path: Path, table: pd.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    return path


def _seal(folder, stage, parameters, inputs, outputs, **facts) -> None:
    write_manifest(
        folder / "manifest.json",
        stage=stage,
        recipe=BY_RULE[stage].recipe,
        parameters=parameters,
        inputs=inputs,
        outputs=outputs,
        **facts,
    )
