"""The stages of a study as a good user of SAELens, sae-probes and the authors' code writes them.

Each stage is a function of the study, the folder of the results, and the part of the items that
this worker takes. What a stage needs is imported in it: a worker pays for its own imports.

SAELens cannot drive a BERT: it loads HookedTransformer's models, or causal ones, and passes no
attention mask. So the activations come from transformers, in padded batches of contexts of like
length, and feed SAELens' own `SAETrainer`, the way its documentation names for such models.
sae-probes has the same limits, and takes activations that are in its cache.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

    from correct_l0.study.config import Config

CONTEXTS_PER_BATCH, PROMPTS_PER_BATCH = 32, 32
PROMPT_TOKENS = 1024
PILOT_BATCHES, PILOT_STEPS = 12, 60


class Part:
    """Which of a stage's items a worker takes: every so-many-th one.

    Examples
    --------
    >>> list(Part(1, 2).of("abcde"))
    ['b', 'd']
    """

    def __init__(self, number: int, workers: int, pilot: bool = False) -> None:
        self.number, self.workers, self.pilot = number, workers, pilot

    def of(self, items: Sequence[Any]) -> Sequence[Any]:
        """Return this worker's items."""
        return items[self.number :: self.workers]


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """Return so many items, spread evenly over all: of contexts by length, a fair piece.

    Examples
    --------
    >>> spread("abcdefghij", 4)
    ['a', 'd', 'g', 'j']
    >>> spread("abc", 4)
    ['a', 'b', 'c']
    """
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def model_of(study: Config) -> tuple[Any, Any]:
    """Return the model, cut off above the hook's block, and its tokenizer."""
    from transformers import AutoModel, AutoTokenizer

    from correct_l0.sources.language_model.model_files import block_index, local_folder

    folder = local_folder(study.activations.model)
    block = block_index(study.activations.hook_name)
    if folder is None or block is None or not study.activations.hook_name.endswith("resid_post"):
        raise SystemExit("the rival's study is written for a local model and a resid_post hook")
    model = AutoModel.from_pretrained(str(folder), num_hidden_layers=block + 1)
    return model.eval(), AutoTokenizer.from_pretrained(str(folder))


def stage_text(study: Config, work: Path, part: Part) -> None:
    """Choose and tokenise the text: the same code as ours, so that the tokens are the same."""
    from correct_l0.sources.language_model.model_files import local_folder
    from correct_l0.sources.language_model.text import stage_text as stage
    from correct_l0.sources.language_model.tokenizer import load_tokenizer

    folder = local_folder(study.activations.model)
    assert folder is not None
    (work / "text").mkdir(parents=True, exist_ok=True)
    stage(study.activations, load_tokenizer(folder), work / "text")
    for split, rows in _rows(study).items():
        shape = (rows, study.activations.d_in)
        np.lib.format.open_memmap(work / f"{split}.npy", "w+", np.float16, shape).flush()


def cache_activations(study: Config, work: Path, part: Part) -> None:
    """Run the model over both splits; rows of special tokens are left out."""
    import torch

    model, tokenizer = model_of(study)
    special = torch.tensor(tokenizer.all_special_ids)
    for split, rows in _rows(study).items():
        values = np.load(work / f"{split}.npy", mmap_mode="r+")
        tokens, starts, row_starts = (
            np.load(work / "text" / f"{split}_{name}.npy")
            for name in ("tokens", "starts", "row_starts")
        )
        order = np.argsort(-np.diff(starts), kind="stable")
        batches = np.array_split(order, -(-len(order) // CONTEXTS_PER_BATCH))
        mine = part.of(batches)
        for batch in spread(mine, PILOT_BATCHES) if part.pilot else mine:
            contexts = [torch.from_numpy(tokens[starts[i] : starts[i + 1]]).long() for i in batch]
            found = _hidden(model, contexts)
            for i, context, hidden in zip(batch, contexts, found, strict=True):
                kept = hidden[: len(context)][~torch.isin(context, special)]
                kept = kept[: max(0, rows - int(row_starts[i]))]
                values[row_starts[i] : row_starts[i] + len(kept)] = kept.half().numpy()
        values.flush()


def cache_probing(study: Config, work: Path, part: Part) -> None:
    """Write sae-probes' cache, data set by data set as the package does it, with a mask."""
    import pandas as pd
    import torch
    from sae_probes.constants import DATA_PATH

    model, tokenizer = model_of(study)
    tokenizer.truncation_side = "left"
    limit = min(PROMPT_TOKENS, model.config.max_position_embeddings)
    special = torch.tensor(tokenizer.all_special_ids)
    for task in part.of(_tasks(study)):
        path = DATA_PATH / "cleaned_data" / f"{task}.csv.zst"
        prompts = pd.read_csv(path, compression="zstd")["prompt"].tolist()
        rows = []
        for start in range(0, len(prompts), PROMPTS_PER_BATCH):
            encoded = tokenizer(
                prompts[start : start + PROMPTS_PER_BATCH], truncation=True, max_length=limit
            )["input_ids"]
            contexts = [torch.tensor(ids) for ids in encoded]
            for context, hidden in zip(contexts, _hidden(model, contexts), strict=True):
                real = (~torch.isin(context, special)).nonzero().view(-1)
                rows.append(hidden[int(real[-1]) if len(real) else len(context) - 1].clone())
        out = _probing_cache(work) / f"model_activations_{study.activations.cache}"
        out.mkdir(parents=True, exist_ok=True)
        torch.save(torch.stack(rows), out / f"{task}_{study.activations.hook_name}.pt")


def train_saes(study: Config, work: Path, part: Part) -> None:
    """Train one SAE after another with SAELens' trainer on rows in memory; save for inference."""
    import saelens_trainer
    import torch

    rows = torch.from_numpy(np.load(work / "training.npy"))
    scale = study.activations.d_in**0.5 / float(rows.float().norm(dim=1).mean())
    for label, seed in part.of(study.points()):
        training = study.training(float(label))
        total = PILOT_STEPS * training.batch_tokens if part.pilot else training.training_tokens
        steps = total // training.batch_tokens
        torch.manual_seed(seed)
        sae = saelens_trainer.batchtopk(
            study.activations.d_in,
            study.saes.d_sae,
            float(label),
            aux_loss_coefficient=training.aux_loss_coefficient,
        )
        saelens_trainer.trainer(
            sae,
            training.batch_tokens,
            steps,
            training.lr,
            _batches(rows, training.batch_tokens, scale, seed),
            lr_warm_up_steps=training.lr_warm_up_steps,
            lr_decay_steps=round(training.lr_decay_fraction * steps),
            dead_feature_window=training.dead_feature_window,
        ).fit()
        if part.pilot:
            return
        saelens_trainer.save(sae, scale, _sae_folder(work, label, seed))
        (_sae_folder(work, label, seed) / "scale.json").write_text(json.dumps(scale))


def decoder_metrics(study: Config, work: Path, part: Part) -> None:
    """Measure s_n^dec and c_dec as the authors do: a full sort per batch, all cosines."""
    import torch
    from sae_lens import SAE

    rows = np.load(work / "held_out.npy", mmap_mode="r")
    size = study.decoder_metrics.batch_tokens
    batches = min(study.decoder_metrics.batches, len(rows) // size)
    for label, seed in part.of(study.points()):
        folder = _sae_folder(work, label, seed)
        sae = SAE.load_from_disk(str(folder))
        scale = json.loads((folder / "scale.json").read_text())
        with torch.no_grad():
            found = []
            for number in range(batches):
                x = torch.from_numpy(rows[number * size : (number + 1) * size]).float()
                projections = (x - sae.b_dec) * scale @ sae.W_dec.T
                ordered = projections.flatten().sort(descending=True).values
                found.append([float(ordered[n * size]) for n in study.n_values()])
            unit = torch.nn.functional.normalize(sae.W_dec, dim=1)
            cosines = (unit @ unit.T).abs()
            off_diagonal = ~torch.eye(len(unit), dtype=torch.bool)
            c_dec = float(cosines[off_diagonal].mean())
        means = dict(zip(study.n_values(), np.mean(found, axis=0).tolist(), strict=True))
        content = {"l0": label, "seed": seed, "c_dec": c_dec, "s_n_dec": means}
        (folder / "metrics.json").write_text(json.dumps(content))


def probing(study: Config, work: Path, part: Part) -> None:
    """Probe one SAE after another with sae-probes, all from one cache of activations."""
    from sae_lens import SAE
    from sae_probes import run_sae_evals

    for label, seed in part.of(study.points()):
        run_sae_evals(
            sae=SAE.load_from_disk(str(_sae_folder(work, label, seed))),
            model_name=study.activations.cache,
            hook_name=study.activations.hook_name,
            reg_type="l1",
            setting="normal",
            ks=list(study.probing.probe_k),
            results_path=work / "probing" / f"l0_{label}_seed_{seed}",
            model_cache_path=_probing_cache(work),
            datasets=list(_tasks(study)),
            device="cpu",
        )


STAGES: dict[str, Callable[[Config, Path, Part], None]] = {
    "text": stage_text,
    "activations": cache_activations,
    "probing_activations": cache_probing,
    "saes": train_saes,
    "decoder_metrics": decoder_metrics,
    "probing": probing,
}

IMPORTS: dict[str, tuple[str, ...]] = {
    "text": ("transformers",),
    "activations": ("torch", "transformers"),
    "probing_activations": ("torch", "transformers", "sae_probes"),
    "saes": ("sae_lens",),
    "decoder_metrics": ("sae_lens",),
    "probing": ("sae_probes",),
}
"""What each stage loads before it begins: a cost of the process, not of the work."""


def _rows(study: Config) -> dict[str, int]:
    a = study.activations
    return {"training": a.training_tokens, "held_out": a.held_out_tokens}


def _tasks(study: Config) -> tuple[str, ...]:
    from correct_l0.sources.sae_probes import resolve_tasks

    return resolve_tasks(study.probing.tasks)


def _probing_cache(work: Path) -> Path:
    return work / "probing_activations"


def _sae_folder(work: Path, label: str, seed: int) -> Path:
    return work / "saes" / f"l0_{label}_seed_{seed}"


def _hidden(model: Any, contexts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the last layer's output for contexts padded on the right."""
    import torch

    lengths = torch.tensor([len(context) for context in contexts])
    tokens = torch.nn.utils.rnn.pad_sequence(list(contexts), batch_first=True)
    mask = (torch.arange(tokens.shape[1]) < lengths[:, None]).long()
    with torch.inference_mode():
        return model(input_ids=tokens, attention_mask=mask).last_hidden_state


def _batches(rows: torch.Tensor, size: int, scale: float, seed: int) -> Iterator[torch.Tensor]:
    """Yield batches of rows in a new order each time through."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(rows), generator=generator)
        for start in range(0, len(rows) - size + 1, size):
            yield rows[order[start : start + size]].float() * scale
