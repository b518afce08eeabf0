"""Labels, splits and activations of a task, against the package."""

import numpy as np
import pytest
import torch
from sae_probes.utils_data import get_train_test_indices, get_yvals

from correct_l0.errors import InputError
from correct_l0.metrics.probing.data import (
    Task,
    load_activations,
    read_task,
    split_rows,
    split_task,
)


# Targets: words, booleans, 0 and 1, and 1 first.
@pytest.mark.parametrize("name", ["41_truthqa_tf", "24_headline_isiran", "95_toxic_is"])
def test_labels_are_the_packages(name):
    task = read_task(name)
    assert np.array_equal(task.labels, get_yvals(name))
    assert len(task.prompts) == len(task.labels)
    assert all(isinstance(prompt, str) for prompt in task.prompts)


@pytest.mark.parametrize(("train", "test", "seed"), [(628, 99, 42), (1024, 975, 42), (7, 4, 0)])
def test_splits_are_the_packages(train, test, seed):
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1], 1010))
    ours, theirs = (
        split(labels, train, test, seed=seed) for split in (split_rows, get_train_test_indices)
    )
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_split_sizes_and_balance():
    labels = np.arange(728) % 2
    split = split_task(Task("made up", [str(i) for i in range(728)], labels))
    assert (len(split.train), len(split.test)) == (628, 99)
    assert labels[split.train].sum() == 314 and labels[split.test].sum() == 50
    assert not set(split.train) & set(split.test)
    assert split.new.all()


def test_large_tasks_are_cut_at_5000_rows_and_1024_for_training():
    split = split_task(Task("made up", ["same"] * 6000, np.arange(6000) % 2))
    assert (len(split.train), len(split.test)) == (1024, 3975)
    assert max(split.train.max(), split.test.max()) < 5000
    assert not split.new.any()


def test_test_rows_whose_prompt_is_in_train_are_marked():
    prompts = [f"prompt {i // 2}" for i in range(800)]
    split = split_task(Task("made up", prompts, np.arange(800) % 2))
    in_train = {prompts[i] for i in split.train}
    assert [prompts[i] not in in_train for i in split.test] == split.new.tolist()
    assert 0 < split.new.sum() < len(split.new)


def test_activations_are_checked(tmp_path):
    task = Task("made up", ["a", "b", "c"], np.array([0, 1, 0]))
    path = tmp_path / "model" / "acts.pt"
    path.parent.mkdir()
    with pytest.raises(
        InputError, match=r"acts\.pt: missing; delete .*tasks/made up\.json and run"
    ):
        load_activations(path, task, 4)
    torch.save(torch.ones(3, 4), path)
    assert torch.equal(load_activations(path, task, 4), torch.ones(3, 4))
    with pytest.raises(InputError, match=r"shape \(3, 4\), not \(3, 5\); delete"):
        load_activations(path, task, 5)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"acts\.pt: damaged"):
        load_activations(path, task, 4)
