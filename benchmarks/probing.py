"""Sparse probing: sae-probes called as its documentation says, against the engine `exact`.

Both write the same result files. The activations are those of the default study's model, and the
SAEs have its size, trained for a few hundred steps by SAELens.

Probing: all 113 tasks, whose activations are on disk. A task costs either side its fits, whose
iterations depend on the data, and its files. To fill that cache the model reads the last 16 tokens
of each prompt alone, as embedding whole prompts would take half an hour. The result files of all
tasks are compared in the round that is not kept; those of one task before, which also loads what
both sides import, so that memory is that of the work.

Sweep: both also embed the prompts, each side once for all SAEs. sae-probes embeds task by task, 32
prompts as they come, repeated ones again; it gets a model that ends its forward pass at the hook,
as HookedTransformer's do, and fused attention, which they lack. Of BERT it would read [SEP] with
the padding unmasked, so its probes then read our activations: both sides fit the same probes.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from collect import version
from comparison import Comparison, Sides
from probing_workshop import L0S, SWEEP_TASKS, embed, load_model, study, workshop

if TYPE_CHECKING:
    import torch

    from correct_l0.sources.language_model.language_model import LanguageModel

PROBE_K = (1, 16)
THREADS = 2


def probe(cache: Path, sae_folder: Path, tasks: Sequence[str], out: Path) -> None:
    """Probe an SAE with the engine `exact`, tasks in turn on two threads."""
    import torch

    from correct_l0.metrics.probing.engines import ActivationsFolder, exact_engine
    from correct_l0.metrics.probing.probe import quiet
    from correct_l0.metrics.probing.records import Records, probe_tasks
    from correct_l0.metrics.probing.reference import write_package_results
    from correct_l0.saes.saved import load_saved_sae

    names = study().activations.cache, study().activations.hook_name
    engine = exact_engine(load_saved_sae(sae_folder), ActivationsFolder(cache / "probing", *names))
    torch.set_num_threads(1)  # As in the workflow.
    with quiet():
        digests = dict.fromkeys(tasks, "there")
        probes = probe_tasks(engine, digests, PROBE_K, Records(out, {}), THREADS)
    torch.set_num_threads(THREADS)
    write_package_results(out, *names, probes)


def probe_with_package(cache: Path, sae_folder: Path, tasks: Sequence[str], out: Path) -> None:
    """Probe an SAE with sae-probes."""
    from sae_lens import SAE
    from sae_probes import run_sae_evals

    run_sae_evals(
        sae=SAE.load_from_disk(str(sae_folder), device="cpu"),
        model_name=study().activations.cache,
        hook_name=study().activations.hook_name,
        reg_type="l1",
        setting="normal",
        ks=list(PROBE_K),
        results_path=out,
        model_cache_path=cache / "probing",
        datasets=list(tasks),
        device="cpu",
    )


SIDES = {"ours": probe, "rival": probe_with_package}


class PackageModel:
    """A language model with what sae-probes asks of one."""

    def __init__(self, model: LanguageModel) -> None:
        from correct_l0.sources.language_model.tokenizer import load_tokenizer

        self._model = model
        self.tokenizer = load_tokenizer(model.folder)

    def run_with_cache(
        self, tokens: torch.Tensor, names_filter: Sequence[str], stop_at_layer: int
    ) -> tuple[None, dict[str, torch.Tensor]]:
        """Return the tensor at the hook."""
        return None, {names_filter[0]: self._model.read(tokens, tokens.new_ones(tokens.shape))}


def embed_with_package(model: LanguageModel, cache: Path, tasks: Sequence[str]) -> None:
    """Write the cache of probing activations with sae-probes."""
    from sae_probes.generate_model_activations import ensure_dataset_activations

    ensure_dataset_activations(
        model_name=study().activations.cache,
        dataset_short_names=list(tasks),
        hook_names=[study().activations.hook_name],
        model_cache_path=cache,
        device="cpu",
        model=PackageModel(model),
    )


def prepare_probing(l0: int) -> Sides:
    """Return one SAE probed on activations that are there."""
    from correct_l0.sources.sae_probes import resolve_tasks

    folder, tasks = workshop(), resolve_tasks("all")
    cache, sae = folder / "ends", folder / str(l0)
    check_equal(cache, sae, tasks[:1])
    written: dict[str, dict[str, str]] = {}

    def side(name: str) -> Callable[[], None]:
        def call() -> None:
            with tempfile.TemporaryDirectory() as out:
                SIDES[name](cache, sae, tasks, Path(out))
                if name in written:
                    return
                written[name] = result_files(Path(out))
                if len(written) == len(SIDES):
                    compare(**written, tasks=tasks)

        return call

    return {name: side(name) for name in SIDES}


def result_files(out: Path) -> dict[str, str]:
    """Return the digest of each result file."""
    files = out.glob("sae_probes_*/*/*.json")
    return {
        str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }


def compare(ours: dict[str, str], rival: dict[str, str], tasks: Sequence[str]) -> None:
    """Stop unless both sides wrote the same result files, one per task."""
    differ = sorted(name for name in {*ours, *rival} if ours.get(name) != rival.get(name))
    if differ:
        raise SystemExit(f"result files differ, nothing to compare: {', '.join(differ)}")
    if len(rival) != len(tasks):
        raise SystemExit(f"{len(rival)} result files for {len(tasks)} tasks")


def check_equal(cache: Path, sae: Path, tasks: Sequence[str]) -> None:
    """Stop unless both sides write the same result files."""
    found: dict[str, dict[str, str]] = {}
    for name, call in SIDES.items():
        with tempfile.TemporaryDirectory() as out:
            call(cache, sae, tasks, Path(out))
            found[name] = result_files(Path(out))
    compare(**found, tasks=tasks)


def prepare_sweep() -> Sides:
    """Return the SAEs of a sweep probed from prompts on; the model is loaded."""
    folder, model = workshop(), load_model()
    check_equal(folder / "whole", folder / str(L0S[0]), SWEEP_TASKS[:1])

    def ours() -> None:
        with tempfile.TemporaryDirectory() as out:
            embed(model, Path(out) / "cache", SWEEP_TASKS)
            for l0 in L0S:
                probe(Path(out) / "cache", folder / str(l0), SWEEP_TASKS, Path(out) / str(l0))

    def rival() -> None:
        with tempfile.TemporaryDirectory() as out:
            embed_with_package(model, Path(out) / "cache", SWEEP_TASKS)
            for l0 in L0S:
                cache, sae = folder / "whole", folder / str(l0)
                probe_with_package(cache, sae, SWEEP_TASKS, Path(out) / str(l0))

    return {"ours": ours, "rival": rival}


PACKAGE = f"sae-probes {version('sae-probes')}"
SHAPE = f"{study().activations.d_in} x {study().saes.d_sae}"

COMPARISONS = [
    *(
        Comparison(
            name=f"probing-l0-{l0}",
            room="probing",
            workload=f"one SAE, {SHAPE}, L0 {l0}: all 113 tasks, probe_k 1 and 16, "
            "activations cached",
            rival=f"{PACKAGE}, `run_sae_evals`",
            prepare=partial(prepare_probing, l0),
            target=2,
            unit="ms per task",
            units=113,
            rounds=3,
            threads=THREADS,
        )
        for l0 in (32, 8)
    ),
    Comparison(
        name="probing-sweep",
        room="probing",
        workload=f"{len(L0S)} SAEs, {SHAPE}, {len(SWEEP_TASKS)} of 113 tasks, probe_k 1 and 16, "
        "prompts embedded",
        rival=f"{PACKAGE}, one cache of activations",
        prepare=prepare_sweep,
        target=3,
        unit="s",
        rounds=3,
        threads=THREADS,
    ),
]
