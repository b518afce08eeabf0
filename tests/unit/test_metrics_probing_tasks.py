"""Task names and the default subset."""

import subprocess
import sys

import pytest

from correct_l0.errors import InputError
from correct_l0.metrics.probing.data import read_task
from correct_l0.sources.sae_probes import (
    DEFAULT_COUNT,
    check_tasks,
    default_tasks,
    known_tasks,
    resolve_tasks,
    task_cost,
    task_file,
)


def test_names_are_the_packages():
    from sae_probes import DATASETS

    assert known_tasks() == tuple(DATASETS)
    assert all(task_file(task).exists() for task in known_tasks())


def test_the_default_subset_is_the_cheapest_tasks():
    costs = {task: task_cost(read_task(task).prompts) for task in known_tasks()}
    ranked = sorted(costs, key=lambda task: (costs[task], task))
    assert default_tasks() == tuple(ranked[:DEFAULT_COUNT])
    assert costs["117_us_state_FL"] == 111_803
    assert ranked[-1] == "160_code_HTML"


def test_long_prompts_cost_what_is_kept_of_them():
    assert task_cost(["x" * 5000, "x" * 5000, "y"]) == 4096 + 1 + 300


def test_an_unknown_name_comes_with_the_nearest_one():
    with pytest.raises(InputError) as error:
        check_tasks(["96_spam_is", "96_spam", "glue_cola"])
    assert str(error.value).splitlines() == [
        f"task '{wrong}' is not one of the 113 binary tasks of sae-probes; did you mean '{near}'?"
        for wrong, near in (("96_spam", "96_spam_is"), ("glue_cola", "87_glue_cola"))
    ]
    with pytest.raises(InputError):
        resolve_tasks(["96_spam"])


def test_settings_stand_for_tasks():
    assert resolve_tasks("all") == known_tasks()
    assert resolve_tasks("default") == default_tasks()
    assert resolve_tasks("none") == ()
    assert resolve_tasks(("96_spam_is", "95_toxic_is")) == ("96_spam_is", "95_toxic_is")
    check_tasks("all")


def test_who_wants_no_task_needs_no_sae_probes(monkeypatch):
    def absent():
        raise InputError("package sae-probes is not installed")

    monkeypatch.setattr("correct_l0.sources.sae_probes.known_tasks", absent)
    assert resolve_tasks("none") == ()
    assert len(resolve_tasks("default")) == 25
    with pytest.raises(InputError):
        resolve_tasks("all")


def test_asking_for_names_imports_nothing_heavy():
    code = (
        "import sys; from correct_l0.metrics.probing import RECIPE; "
        "from correct_l0.sources.sae_probes import known_tasks; known_tasks(); "
        "print([m for m in ('torch', 'pandas', 'numpy', 'sklearn', 'sae_probes') "
        "if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
