"""A trained SAE is left instead of trained again, and only where it is the same SAE."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import read_manifest
from correct_l0.saes.finished import check_trained
from correct_l0.saes.settings import PointJob
from correct_l0.saes.training.result import card_of
from saes_toy import settings, train_toy

WEIGHTS = "sae/sae_weights.safetensors"
MANIFEST = "manifest.json"
STANDS = "trained earlier with the same settings, seed and activations"


def content_of(folder):
    names = [*read_manifest(folder / MANIFEST)["outputs"], MANIFEST]
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    train_toy(folder)
    return folder


@pytest.fixture
def trained(toy, tmp_path):
    """A trained point, and its bytes."""
    folder = Path(shutil.copytree(toy, tmp_path / "point"))
    return folder, content_of(folder)


def test_the_manifest_names_the_card(trained, monkeypatch):
    assert read_manifest(trained[0] / MANIFEST)["card"] is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A Card 80GB")
    assert card_of("cuda") == "A Card 80GB"


def test_one_that_stands_is_left(trained, capsys):
    folder, content = trained
    dated = {name: (folder / name).stat().st_mtime_ns for name in content}
    train_toy(folder)
    assert STANDS in capsys.readouterr().out
    assert content_of(folder) == content
    assert {name: (folder / name).stat().st_mtime_ns for name in content} == dated


def test_a_job_leaves_it_without_torch(trained):
    """Looked at once, and the activations are not opened."""
    folder, content = trained
    code = f"""if True:
        import sys
        sys.path = {sys.path}
        from pathlib import Path
        from correct_l0.saes import job as training_job
        training_job.digest_of = {{"cache/manifest.json": "toy"}}.get
        point = training_job.PointJob(Path({str(folder)!r}), {settings()!r}, 0)
        options = {{"measures": None, "device": "cuda", "checkpoint_s": 1, "threads": 1}}
        print(training_job.train_saes("cache/manifest.json", [point], **options))
        print("torch" in sys.modules)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told, failed, torch_is_imported = run.stdout.splitlines()
    assert STANDS in told
    assert (failed, torch_is_imported) == ("{}", "False")
    assert content_of(folder) == content


@pytest.mark.parametrize(
    ("other", "reason"),
    [({"text": settings(lr=0.02)}, "lr: 0.01 -> 0.02"), ({"seed": 1}, "its seed is 0")],
    ids=["settings", "seed"],
)
def test_another_sae_is_trained(trained, capsys, other, reason):
    folder, content = trained
    train_toy(folder, **other)
    output = capsys.readouterr().out
    assert reason in output
    assert STANDS not in output
    assert (folder / WEIGHTS).read_bytes() != content[WEIGHTS]


@pytest.mark.parametrize("damage", ["cut", "flipped", "deleted", "record"])
def test_a_damaged_one_is_trained_again_to_the_same_bits(trained, capsys, damage):
    folder, content = trained
    weights = folder / WEIGHTS
    data = weights.read_bytes()
    if damage == "cut":
        weights.write_bytes(data[:-4])
    elif damage == "flipped":
        weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "deleted":
        weights.unlink()
    else:
        (folder / MANIFEST).write_text("{")
    train_toy(folder)
    assert "is not used" in capsys.readouterr().out
    assert weights.read_bytes() == content[WEIGHTS]


def test_another_recipe_is_trained(trained, capsys):
    folder, _ = trained
    record = folder / MANIFEST
    record.write_text(json.dumps({**json.loads(record.read_text()), "recipe": 0}))
    train_toy(folder)
    assert "recipe is 0" in capsys.readouterr().out


def test_other_activations_are_refused(trained):
    job = PointJob(trained[0], settings(), 0)
    assert check_trained(job, "toy")["seed"] == 0
    with pytest.raises(InputError, match="made from another activations"):
        check_trained(job, "others")


def test_without_an_sae_nothing_is_said(tmp_path, capsys):
    train_toy(tmp_path)
    assert "not used" not in capsys.readouterr().out
