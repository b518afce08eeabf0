"""Probes that should find nothing do not, and leave the others as they are."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from correct_l0.metrics.probing.controls import Probed, control_scores
from correct_l0.metrics.probing.engines import ActivationsFolder, exact_engine
from correct_l0.metrics.probing.probe import quiet
from correct_l0.metrics.probing.records import Records, probe_tasks
from correct_l0.metrics.probing.settings import (
    CONTROLS,
    PERMUTED_LATENTS,
    SHUFFLED_LABELS,
    Probing,
    tasks_with_controls,
)
from correct_l0.saes.saved import load_saved_sae
from probing_toy import CACHE, HOOK, TASKS, write_activations, write_sae

D_SAE = 40
DIGESTS = dict.fromkeys(TASKS, "activations")


@pytest.fixture(scope="module")
def told():
    """Latent 7 is the label, the others are noise."""
    rng = np.random.default_rng(0)
    latents = rng.uniform(0.5, 1.5, (600, D_SAE))
    labels = np.arange(600) % 2
    latents[:, 7] = 2 * labels
    test = torch.from_numpy(latents[400:])
    return Probed(
        torch.from_numpy(latents[:400]).float(),
        lambda read: test[:, read].numpy(),
        labels[:400],
        labels[400:],
    )


def test_no_choice_and_no_labels_are_about_a_coin(told):
    (one,) = control_scores("a task", told, [1])
    # 200 test rows: a coin has a standard deviation of .035; who says one class only has 1/3
    for name in CONTROLS:
        assert 1 / 3 - 1e-9 <= one[name] <= 0.5 + 4 * 0.036


def test_with_every_latent_there_is_no_choice_to_lose(told):
    (every,) = control_scores("a task", told, [D_SAE])
    assert every[PERMUTED_LATENTS] == 1.0
    assert every[SHUFFLED_LABELS] < 0.65


def test_controls_are_of_the_tasks_name_alone(told):
    first, again = (control_scores("a task", told, [1, 8]) for _ in range(2))
    assert first == again
    assert first != control_scores("another task", told, [1, 8])


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    write_activations(folder / "probing")
    write_sae(folder)
    return load_saved_sae(folder / "sae"), ActivationsFolder(folder / "probing", CACHE, HOOK)


def probed(toy, folder, controls):
    engine = exact_engine(*toy, controls)
    with quiet():
        return probe_tasks(engine, DIGESTS, [1, 16], Records(folder, {}), controls=controls)


def test_a_record_without_controls_gets_them_and_the_probes_stay_as_they_were(toy, tmp_path):
    controlled, *others = TASKS
    before = probed(toy, tmp_path, ())
    after = probed(toy, tmp_path, (controlled,))
    for task in TASKS:
        assert [p["entry"] for p in before[task]] == [p["entry"] for p in after[task]]
    assert all(set(CONTROLS) <= set(p["extras"]) for p in after[controlled])
    assert not any(set(CONTROLS) & set(p["extras"]) for task in others for p in after[task])
    assert probed(toy, tmp_path, (controlled,)) == after


def test_controls_have_one_task_in_eight():
    assert len(tasks_with_controls(list(map(str, range(113))))) == 15


def test_the_package_has_no_controls():
    with pytest.raises(ValidationError, match="sae-probes has none; use engine exact"):
        Probing(controls=True, engine="reference")
