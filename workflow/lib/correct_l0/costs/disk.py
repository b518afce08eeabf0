"""What a study takes on the disk. Nothing heavy is imported here; `throughputs` has the figures."""

from __future__ import annotations

from correct_l0.costs import throughputs as stated
from correct_l0.costs.memory import FLOAT, over_tasks, sae_parameters, snapshot_bytes
from correct_l0.sources.language_model.layout import Layout
from correct_l0.sources.sae_probes import resolve_tasks
from correct_l0.study import frozen_control, self_check
from correct_l0.study.config import Config


def disk_bytes(study: Config) -> dict[str, int]:
    """Return the bytes of each part of a finished study, and of the checkpoint of one training.

    Token, document, position and norm of a row are 4 bytes each; a training step is a line of 40
    bytes; decoders kept along a training are a part of its SAE and of its checkpoint; a point's
    measurements are 1.2 MB, mostly its heat map. Of a checkpoint two states are on
    disk while one replaces the other.
    """
    points, sae = len(study.points()), FLOAT * sae_parameters(study)
    kept = snapshot_bytes(study)
    source: dict[str, int] = {}
    if (a := study.activations) is not None:
        rows = a.training_tokens + a.held_out_tokens
        source = {
            "activations": rows * (Layout.of(a).row_bytes + 16),
            "text": rows * 10,
        }
    checked = self_check.MOST * self_check.POINTS * len(self_check.SEEDS) * study.self_check
    control = min(frozen_control.SEEDS, len(study.saes.seeds)) * study.frozen_control
    asked = study.train_on
    trained_on = 0 if asked is None else len(asked.factors) * len(asked.seeds)
    steps = max(study.training(l0).steps for l0 in study.saes.l0)
    tasks = len(resolve_tasks(study.probing.tasks))
    prompts = over_tasks(study, stated.TASK_ROWS) * study.source.d_in * FLOAT
    return {
        **source,
        "probing activations": prompts * (study.prompted is not None),
        "weights": points * sae * study.saes.downloads,
        "SAEs": points * (sae + 40 * steps + kept),
        "measurements": points * (1_200_000 + 10_000 * tasks),
        "frozen control": control * (sae + 40 * steps + 1_200_000 + 10_000 * tasks),
        "SAE trained on": trained_on * (sae + 1_200_000),
        "self-check": checked * (sae + 1_200_000),
        "report": 20_000_000,
        "one checkpoint": 2 * (stated.CHECKPOINT_COPIES * sae + kept) * (not study.saes.imported),
    }
