"""Damaged data of the probing tasks: one line with the task's name and the remedy."""

import csv
import io
import re

import pytest
import zstandard

from correct_l0.errors import InputError
from correct_l0.metrics.probing.data import read_task, split_task
from correct_l0.sources import sae_probes
from correct_l0.sources.language_model.documents import reserved_texts

TASK = "96_spam_is"
REMEDY = "install them again: pip install --force-reinstall --no-deps sae-probes=="


def table(rows=300, columns=("prompt", "target"), targets=("ham", "spam"), cell=None):
    """Return a table as CSV, targets in turn; `cell` replaces the first row's values by column."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for i in range(rows):
        row = {"prompt": f"grüß dich, {i}", "target": targets[i % len(targets)]}
        if i == 0:
            row |= cell or {}
        writer.writerow([row.get(name, "x") for name in columns])
    return text.getvalue().encode()


def packed(content):
    return zstandard.compress(content)


DAMAGED = {
    "missing": (None, "No such file"),
    "empty": (b"", "cut off"),
    "cut off": (packed(table())[:-9], "cut off"),
    "not packed": (table(), ""),
    "packed nothing": (packed(b""), "No columns"),
    "latin-1": (packed(table().decode().encode("latin-1")), "can't decode byte 0xfc"),
    "no prompts": (packed(table(columns=("target",))), "no column prompt"),
    "no targets": (packed(table(columns=("prompt", "label"))), "no column target"),
    "header only": (packed(table(rows=0)), "no rows"),
    "one class": (packed(table(targets=("ham",))), "1 classes, not 2"),
    "three classes": (packed(table(targets=("a", "b", "c"))), "3 classes, not 2"),
    "40 rows": (packed(table(rows=40)), "40 rows, at least 200 are needed"),
    "mostly one class": (
        packed(table(targets=["ham"] * 9 + ["spam"])),
        "30 rows of class 1, at least 150 are needed",
    ),
    "a prompt missing": (packed(table(cell={"prompt": ""})), "1 of 300 rows without a prompt"),
    "a target missing": (packed(table(cell={"target": ""})), "1 of 300 rows without a prompt"),
    "unbalanced quotes": (packed(b'prompt,target\n"a,b\n' * 300), ""),
    "lines of many fields": (packed(table() + b"a,b,c,d\n"), "Expected 2 fields"),
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes the task's file."""
    path = tmp_path / f"{TASK}.csv.zst"
    monkeypatch.setattr(sae_probes, "_task_files", lambda: {TASK: path})
    return lambda content: None if content is None else path.write_bytes(content)


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_task_is_one_line_with_its_name_and_the_remedy(write, kind):
    content, words = DAMAGED[kind]
    write(content)
    with pytest.raises(InputError) as told:
        read_task(TASK)
    line = str(told.value)
    assert re.match(rf"task '{TASK}': its data cannot be used \(.*\); ", line), line
    assert words.lower() in line.lower() if content is not None else "missing" in line
    assert REMEDY in line and "\n" not in line


@pytest.mark.parametrize("kind", ["cut off", "latin-1", "no prompts"])
def test_texts_kept_out_of_the_cache_are_read_as_carefully(write, kind):
    write(DAMAGED[kind][0])
    with pytest.raises(InputError, match=f"'{TASK}' .*{DAMAGED[kind][1]}.*{re.escape(REMEDY)}"):
        reserved_texts([TASK])


@pytest.mark.parametrize("asked", ["default", [TASK]])
def test_a_task_whose_file_is_missing_is_told_before_a_run(write, monkeypatch, asked):
    monkeypatch.setattr(sae_probes, "DEFAULT_TASKS", (TASK,))
    with pytest.raises(InputError, match=f"task '{TASK}': .*missing.*{re.escape(REMEDY)}"):
        sae_probes.check_tasks(asked)
    write(packed(table()))
    sae_probes.check_tasks(asked)


def test_the_smallest_task_that_is_taken_can_be_split(write):
    write(packed(table(rows=200)))
    split = split_task(read_task(TASK))
    assert (len(split.train), len(split.test)) == (100, 99)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (packed(b"Dataset save name,Data type\n")[:-3], "cut off"),
        (packed(b"Dataset save name,Data type\n"), "no rows"),
        (packed(b"Dataset save name\na.csv\n"), "no column Data type"),
        (packed("ü".encode("latin-1")), "can't decode"),
        (b"nothing", "zstd"),
    ],
)
def test_a_damaged_list_of_tasks_is_one_line(tmp_path, monkeypatch, content, words):
    (tmp_path / "probing_datasets_MASTER.csv.zst").write_bytes(content)
    monkeypatch.setattr(sae_probes, "data_folder", lambda: tmp_path)
    with pytest.raises(InputError, match=rf"sae-probes' list of tasks: .*{words}.*{REMEDY}"):
        sae_probes._task_files.__wrapped__()
