"""A finished SAE is brought back instead of trained again, and only where it is the same SAE."""

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest

from correct_l0.provenance.manifest import read_manifest
from correct_l0.saes import finished
from saes_toy import settings, train_toy


def files_of(folder):
    names = [*read_manifest(folder / "manifest.json")["outputs"], "manifest.json"]
    return {name: folder / name for name in names}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    train_toy(folder)
    return folder


@pytest.fixture
def trained(toy, tmp_path):
    """A finished point whose declared outputs Snakemake has deleted, and their bytes."""
    folder = tmp_path / "point"
    content = {name: file.read_bytes() for name, file in files_of(toy).items()}
    shutil.copytree(toy / finished.FOLDER, folder / finished.FOLDER)
    return folder, content


def test_deleted_outputs_come_back_without_training(trained, capsys):
    folder, content = trained
    train_toy(folder)
    assert "brought back" in capsys.readouterr().out
    assert {name: file.read_bytes() for name, file in files_of(folder).items()} == content
    assert not list(folder.rglob("*.link"))


def test_a_job_puts_it_in_place_without_torch(trained):
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
    assert "brought back" in told
    assert (failed, torch_is_imported) == ("{}", "False")
    assert {name: file.read_bytes() for name, file in files_of(folder).items()} == content


def test_a_second_name_costs_no_disk(toy):
    for name, file in files_of(toy).items():
        assert os.path.samefile(file, toy / finished.FOLDER / name)


def test_what_comes_back_is_freshly_dated(trained):
    folder, content = trained
    for name in content:
        os.utime(folder / finished.FOLDER / name, (1, 1))
    train_toy(folder)
    assert min(file.stat().st_mtime for file in files_of(folder).values()) > 1e9


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
    assert "brought back" not in output
    assert (folder / "sae/sae_weights.safetensors").read_bytes() != content[
        "sae/sae_weights.safetensors"
    ]


@pytest.mark.parametrize("damage", ["cut", "flipped", "deleted", "manifest"])
def test_a_damaged_one_is_trained_again_to_the_same_bits(trained, capsys, damage):
    folder, content = trained
    weights = folder / finished.FOLDER / "sae/sae_weights.safetensors"
    data = weights.read_bytes()
    if damage == "cut":
        weights.write_bytes(data[:-4])
    elif damage == "flipped":
        weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "deleted":
        weights.unlink()
    else:
        (folder / finished.FOLDER / "manifest.json").write_text("{")
    train_toy(folder)
    assert "is not used" in capsys.readouterr().out
    assert (folder / "sae/sae_weights.safetensors").read_bytes() == content[
        "sae/sae_weights.safetensors"
    ]


def test_another_recipe_is_trained(trained, capsys):
    folder, _ = trained
    manifest = folder / finished.FOLDER / "manifest.json"
    changed = {**json.loads(manifest.read_text()), "recipe": 0}
    manifest.unlink()
    manifest.write_text(json.dumps(changed))
    train_toy(folder)
    assert "recipe is 0" in capsys.readouterr().out


def test_without_hard_links_a_copy_comes_back(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    train_toy(tmp_path)
    content = {name: file.read_bytes() for name, file in files_of(tmp_path).items()}
    shutil.rmtree(tmp_path / "sae")
    train_toy(tmp_path)
    assert "brought back" in capsys.readouterr().out
    assert {name: file.read_bytes() for name, file in files_of(tmp_path).items()} == content


def test_without_a_second_name_training_goes_on(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "link", refuse)
    train_toy(tmp_path)
    assert "no second name" in capsys.readouterr().out
    assert (tmp_path / "manifest.json").exists()
