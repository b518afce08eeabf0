"""A small activation cache whose every number is known: no model, no tokenizer, no network."""

import json
from pathlib import Path

import numpy as np
import torch

from correct_l0.provenance.manifest import write_json
from correct_l0.sources.language_model.cache import cache_job
from correct_l0.sources.language_model.checks import cache_record
from correct_l0.sources.language_model.layout import Layout, job_windows
from correct_l0.sources.language_model.seal import seal
from correct_l0.sources.language_model.settings import Activations
from correct_l0.sources.language_model.text import stage_text

BOS = 1


class WordTokenizer:
    """Words `w<number>` to tokens 10 + number; BOS is 1, at the beginning where asked for."""

    bos_token_id = BOS
    eos_token_id = cls_token_id = sep_token_id = pad_token_id = mask_token_id = None

    def get_vocab(self):
        return {"bos": BOS}

    def __call__(self, documents, add_special_tokens=True, max_length=None, **_):
        tokens = [[10 + int(word[1:]) for word in text.split()] for text in documents]
        if add_special_tokens:
            tokens = [[BOS, *ids] for ids in tokens]
        return {"input_ids": [ids[:max_length] for ids in tokens]}


class ToyModel:
    """The activation of a token is (token, position, -token, 1, 0, ...): exact in every type."""

    def __init__(self, d_in=4):
        self.d_in = d_in
        self.contexts_read = 0

    def read_all(self, contexts, batch_tokens, dtype=torch.float32):
        for i in reversed(range(len(contexts))):
            self.contexts_read += 1
            yield i, toy_acts(contexts[i], np.arange(len(contexts[i])), self.d_in).to(dtype)


def toy_acts(token_id, position, d_in=4):
    acts = torch.zeros(len(token_id), d_in)
    token = torch.from_numpy(np.asarray(token_id, dtype=np.float32))
    acts[:, 0], acts[:, 2], acts[:, 3] = token, -token, 1
    acts[:, 1] = torch.from_numpy(np.asarray(position, dtype=np.float32))
    return acts


def toy_settings(folder, **changes):
    values = {
        "cache": "toy",
        "model": {"source": "package:none"},
        "hook_name": "blocks.0.hook_resid_post",
        "d_in": 4,
        "text": {"source": "files", "files": [str(Path(folder) / "toy.jsonl")]},
        "context_size": 8,
        "training_tokens": 300,
        "held_out_tokens": 100,
        "dtype": "float16",
        "shard_tokens": 64,
        "shuffle_tokens": 128,
        "shards_per_job": 2,
    }
    return Activations.model_validate({**values, **changes})


def write_documents(folder, documents=200, words=20, seed=0):
    """Write toy.jsonl; documents differ, each has a few words to `words`."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(3, words + 1, documents)
    texts = [" ".join(f"w{w}" for w in generator.integers(0, 1000, n)) for n in lengths]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (Path(folder) / "toy.jsonl").write_text(lines)
    return texts


def stage_toy(folder, known=lambda settings: settings, **changes):
    """Stage a toy cache in `folder / "toy"`; return its settings, as they are known, and folder."""
    folder = Path(folder)
    if not (folder / "toy.jsonl").exists():
        write_documents(folder)
    settings, cache = toy_settings(folder, **changes), folder / "toy"
    stage_text(settings, WordTokenizer(), cache / "text")
    settings = known(settings)
    model = {"commit": None, "sha256": {}}
    write_json(cache / "cache.json", cache_record(settings, model=model))
    return settings, cache


def jobs_of(settings):
    return range(len(job_windows(Layout.of(settings), settings.shards_per_job)))


def run_job(settings, cache, job, model=None, beside=False):
    model = model or ToyModel(settings.d_in)
    cache_job(settings, cache, job, lambda: model, 64, beside=beside)
    return model


def seal_toy(settings, cache):
    seal(settings, cache, [cache / "parts" / f"part_{job}.json" for job in jobs_of(settings)])
    return cache / "manifest.json"


def toy_cache(folder, **changes):
    """Make a sealed toy cache; return its manifest's path."""
    settings, cache = stage_toy(folder, **changes)
    for job in jobs_of(settings):
        run_job(settings, cache, job)
    return seal_toy(settings, cache)


def shard_files(cache):
    """Return the bytes of every shard file, by its path in the store."""
    store = Path(cache) / "store"
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("c/**/*"))
        if path.is_file()
    }
