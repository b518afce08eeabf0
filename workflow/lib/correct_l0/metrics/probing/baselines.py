"""What a probe on an SAE is compared with: the raw activations, a constant, a coin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from sklearn.metrics import f1_score

from correct_l0.metrics.probing.data import SPLIT_SEED, Split, Task, load_activations
from correct_l0.metrics.probing.engines import ActivationsFolder
from correct_l0.metrics.probing.exact import package_metrics
from correct_l0.metrics.probing.probe import deduplicated_f1, fit_probe
from correct_l0.metrics.probing.records import COLUMNS, Engine, Probe

LOGISTIC_REGRESSION, CONSTANT, COIN = "logistic_regression", "constant", "coin"


def logistic_regression_engine(activations: ActivationsFolder, d_in: int) -> Engine:
    """Return an engine that fits L2 logistic regression to the raw activations.

    The protocol of sae-probes' baseline `logreg`: the split, the choice of the penalty and the
    scores of the SAE probes. The number of latents is given as `d_in`.
    """

    def engine(task: Task, split: Split, probe_k: Sequence[int]) -> list[Probe]:
        acts = load_activations(activations.path(task.name), task, d_in).double().numpy()
        y_test = task.labels[split.test]
        probe = fit_probe(
            acts[split.train], task.labels[split.train], acts[split.test], y_test, "l2", SPLIT_SEED
        )
        constant = int(task.labels[split.train].mean() >= 0.5)
        extras = {
            "f1_dedup": deduplicated_f1(y_test, probe.predictions, split.new),
            "f1_constant": float(f1_score(y_test, y_test * 0 + constant, average="weighted")),
            "accuracy_constant": float((y_test == constant).mean()),
        }
        return [{"entry": {**package_metrics(probe), "k": k}, "extras": extras} for k in probe_k]

    return engine


def baselines_table(probes: Mapping[str, list[Probe]]) -> pd.DataFrame:
    """Return three rows per task: logistic regression, a constant prediction, and a coin.

    The constant is the more frequent class of train (F1 1/3 on balanced test rows); the coin's
    scores are expectations.
    """
    rows = []
    for task, (probe,) in probes.items():
        entry, extras = probe["entry"], dict(probe["extras"])
        constant = {"f1": extras.pop("f1_constant"), "accuracy": extras.pop("accuracy_constant")}
        fitted = {name: entry[key] for key, name in COLUMNS.items()}
        counts = {key: extras[key] for key in ("n_train", "n_test", "n_test_dedup")}
        rows += [
            {"task": task, "baseline": LOGISTIC_REGRESSION, **fitted, **extras},
            {"task": task, "baseline": CONSTANT, **constant, "auc": 0.5, **counts},
            {"task": task, "baseline": COIN, "f1": 0.5, "accuracy": 0.5, "auc": 0.5, **counts},
        ]
    return pd.DataFrame(rows)
