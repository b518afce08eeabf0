"""SAEs that travel: what a saved one tells, and a folder that SAELens loads from a hub."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
import yaml

from correct_l0 import __version__
from correct_l0.command import main
from correct_l0.command.share import find_saes
from correct_l0.saes.saved import load_saved_sae
from saes_toy import BATCH, STEPS, settings, train_toy

SOURCE = {
    "model_name": "toy", "hook_name": "blocks.1.hook_resid_post", "dataset_path": "ada/texts",
}  # fmt: skip
VERDICT = {
    "headline": "Train at L0 4.",
    "lines": ["c_dec is lowest at 4."],
    "stability_lines": ["Seeds agree best at 4."],
    "caveats": ["The loss still falls."],
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of two SAEs that has an answer."""
    folder = tmp_path_factory.mktemp("shared")
    results = folder / "results" / "mine"
    for l0 in (2, 4.5):
        train_toy(results / "saes" / f"l0_{l0}" / "seed_0", settings(l0), metadata=SOURCE)
    for name, content in (("figures/answer.png", b"png"), ("tables/verdict.json", VERDICT)):
        path = results / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


def test_a_saved_sae_tells_how_it_came_out(study):
    point = study / "results/mine/saes/l0_4.5/seed_0"
    told = json.loads((point / "sae" / "cfg.json").read_text())["metadata"]
    facts = json.loads((point / "manifest.json").read_text())
    assert told["training_architecture"] == "batchtopk"
    assert told["training_architecture_details"]["k"] == 4.5
    assert told["l0_measured"] == pytest.approx(facts["l0_measured"], rel=5e-3)
    assert told["fvu"] == pytest.approx(facts["fvu"], rel=5e-3)
    assert told["dead_latents"] == facts["dead_latents"]
    assert told["correct_l0_version"] == __version__
    assert (told["seed"], told["training_tokens"]) == (0, STEPS * BATCH)
    assert list(told) == sorted(told)


def test_of_a_search_that_trained_longer_those_are_shared_that_its_report_is_about(study, tmp_path):
    results = tmp_path / "mine"
    shutil.copytree(study / "results/mine", results)
    shutil.copytree(results / "saes/l0_2", results / "saes/longer_4/l0_2")
    assert [sae.name for sae in find_saes(results)] == ["l0_2/seed_0", "l0_4.5/seed_0"]
    told = {"parameters": json.dumps({"saes": {"factors": [1, 4]}})}
    (results / "tables/manifest.json").write_text(json.dumps(told))
    (longer,) = find_saes(results)
    assert longer.folder == results / "saes/longer_4/l0_2/seed_0"


class Hub(BaseHTTPRequestHandler):
    """Answers for files of one repository as a model hub does."""

    folder: Path

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        _, _, name = self.path.partition("/resolve/main/")
        path = self.folder / name
        if not self.path.startswith("/ada/mine/") or not path.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@contextmanager
def hub(folder):
    """Serve a folder as the repository ada/mine on the loopback."""
    kind = type("OfFolder", (Hub,), {"folder": folder})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


LOAD = """
import sys, torch
from sae_lens import SAE
sae = SAE.from_pretrained("ada/mine", "l0_4.5/seed_0")
x = torch.linspace(-1, 1, 32).reshape(2, 16)
torch.save([sae.encode(x), sae.cfg.metadata.l0_measured], sys.argv[1])
"""


def test_saelens_loads_the_folder_from_a_hub(study, tmp_path, capsys):
    shared = tmp_path / "mine"
    arguments = ["share", "mine", str(shared), "--directory", str(study), "--license", "mit"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{shared}: 2 SAEs and README.md, which is yours to complete",
        f"To upload it: hf upload <user>/mine {shared}",
    ]
    with hub(shared) as address:
        environment = {
            name: value for name, value in os.environ.items() if not name.endswith("_OFFLINE")
        }
        environment |= {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home")}
        environment |= {"HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
        run = subprocess.run(
            [sys.executable, "-c", LOAD, str(tmp_path / "codes.pt")],
            env=environment, capture_output=True, text=True,
        )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    codes, l0_measured = torch.load(tmp_path / "codes.pt")
    ours = load_saved_sae(study / "results/mine/saes/l0_4.5/seed_0/sae")
    torch.testing.assert_close(codes, ours.encode(torch.linspace(-1, 1, 32).reshape(2, 16)))
    assert 4 < l0_measured < 5


def test_the_card_says_what_they_are_and_what_was_found(study, tmp_path):
    arguments = ["share", "mine", str(tmp_path / "mine"), "--directory", str(study)]
    assert main([*arguments, "--l0", "2"]) == 0
    text = (tmp_path / "mine" / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["library_name"] == "saelens"
    assert "license" not in yaml.safe_load(head)
    assert "1 sparse autoencoder on `blocks.1.hook_resid_post` of toy: 32 latents" in body
    assert "trained as batchtopk on 25,600 tokens of ada/texts" in body
    for words in (
        "Train at L0 4.",
        "- c_dec is lowest at 4.",
        "- Against it: The loss still falls.",
    ):
        assert words in body
    assert 'SAE.from_pretrained("<user>/mine", "l0_2/seed_0")' in body
    assert "| l0_2/seed_0 | 2 |" in body
    names = sorted(p.relative_to(tmp_path / "mine").as_posix() for p in tmp_path.rglob("mine/*"))
    assert names == ["README.md", "answer.png", "l0_2"]


def test_a_folder_of_any_name_has_one_that_a_hub_takes(study, tmp_path, capsys):
    shared = tmp_path / "geteilt ü"
    assert main(["share", "mine", str(shared), "--directory", str(study), "--l0", "2"]) == 0
    assert capsys.readouterr().out.endswith(f"hf upload <user>/geteilt-u '{shared}'\n")
    assert 'from_pretrained("<user>/geteilt-u", ' in (shared / "README.md").read_text()


class TestRefused:
    def test_no_such_study_and_no_such_l0(self, study, tmp_path, capsys):
        assert main(["share", "no", str(tmp_path / "x"), "--directory", str(study)]) == 1
        assert "results/no: no SAE is there; run the study first" in capsys.readouterr().err
        arguments = ["share", "mine", str(tmp_path / "x"), "--directory", str(study), "--l0", "3"]
        assert main(arguments) == 1
        assert "no SAE of l0 3 is there" in capsys.readouterr().err

    def test_a_folder_that_is_not_empty(self, study, tmp_path, capsys):
        (tmp_path / "a").write_text("")
        assert main(["share", "mine", str(tmp_path), "--directory", str(study)]) == 1
        assert capsys.readouterr().err == (
            f"error: {tmp_path}: is not empty; name another folder, or delete it\n"
        )

    def test_a_damaged_sae(self, study, tmp_path, capsys):
        weights = study / "results/mine/saes/l0_2/seed_0/sae/sae_weights.safetensors"
        content = weights.read_bytes()
        weights.write_bytes(content[:-1])
        try:
            assert main(["share", "mine", str(tmp_path / "x"), "--directory", str(study)]) == 1
        finally:
            weights.write_bytes(content)
        assert "sae_weights.safetensors" in capsys.readouterr().err
        assert not (tmp_path / "x").exists()
