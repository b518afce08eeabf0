"""Sparse probing: sae-probes called as its documentation says, against the engine `exact`.

Both write the same result files. The activations are those of the default study's model, and the
SAEs have its size, trained for a few hundred steps by SAELens.

Probing: all 113 tasks, whose activations are on disk. A task costs either side its fits, whose
iterations depend on the data, and its files. To fill that cache the model reads the last 16 tokens
of each prompt alone, as embedding whole prompts would take half an hour. The result files of all
tasks are compared before anything is timed, once per SAE and version of the code; those of one task
every time, which also loads what both sides import.

Sweep: both also embed the prompts, each side once for all SAEs. sae-probes embeds task by task, 32
prompts as they come, repeated ones again; it gets a model that ends its forward pass at the hook,
as HookedTransformer's do, and fused attention, which they lack. Of BERT it would read [SEP] with
the padding unmasked, so its probes then read our activations: both sides fit the same probes.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collect import ROOT, version
from comparison import Comparison, Sides
from probing_workshop import L0S, SWEEP_TASKS, embed, load_model, study, workshop

if TYPE_CHECKING:
    import torch

    from correct_l0.activations.language_model import LanguageModel

PROBE_K = (1, 16)
THREADS = 2


def probe(cache: Path, sae_folder: Path, tasks: Sequence[str], out: Path) -> None:
    """Probe an SAE with the engine `exact`, tasks in turn on two threads."""
    import torch

    from correct_l0.probing.engines import ActivationsFolder, exact_engine
    from correct_l0.probing.probe import quiet
    from correct_l0.probing.records import Records, probe_tasks
    from correct_l0.probing.reference import write_package_results
    from correct_l0.saved_sae import load_saved_sae

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


class PackageModel:
    """A language model with what sae-probes asks of one."""

    def __init__(self, model: LanguageModel) -> None:
        from correct_l0.activations.text import load_tokenizer

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
    from correct_l0.probing.tasks import resolve_tasks

    folder, tasks = workshop(), resolve_tasks("all")
    compared = folder / f"compared-l0-{l0}-{probing_code()}"
    check_equal(folder / "ends", folder / str(l0), tasks[:1] if compared.exists() else tasks)
    compared.touch()

    def in_new_folder(call: Any) -> None:
        with tempfile.TemporaryDirectory() as out:
            call(folder / "ends", folder / str(l0), tasks, Path(out))

    sides = {"ours": probe, "rival": probe_with_package}
    return {side: partial(in_new_folder, call) for side, call in sides.items()}


def probing_code() -> str:
    """Return a digest of what both sides' result files depend on, besides the workshop."""
    library = ROOT / "workflow" / "lib" / "correct_l0"
    files = [Path(__file__), library / "saved_sae.py", *sorted((library / "probing").glob("*.py"))]
    packages = ("sae-probes", "sae-lens", "scikit-learn", "numba", "numpy", "scipy", "torch")
    digest = hashlib.sha256(repr([version(package) for package in packages]).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def check_equal(cache: Path, sae: Path, tasks: Sequence[str]) -> None:
    """Stop unless both sides write the same result files."""
    found: list[dict[str, bytes]] = []
    with tempfile.TemporaryDirectory() as out:
        for number, call in enumerate((probe, probe_with_package)):
            work = Path(out) / str(number)
            call(cache, sae, tasks, work)
            files = work.glob("sae_probes_*/*/*.json")
            found.append({str(file.relative_to(work)): file.read_bytes() for file in files})
    ours, theirs = found
    differ = [name for name in theirs if ours.get(name) != theirs[name]]
    if differ or len(theirs) != len(tasks):
        raise SystemExit(f"{sae}: result files differ, nothing to compare: {', '.join(differ)}")


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
