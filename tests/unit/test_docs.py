"""What the pages tell people to type, to write and to import; nothing of it is run here.

A block without a language is commands, each line. That they do what a page says is seen elsewhere:
`make test` in every CI, the studies of config/ in tests/workflow/test_refusals.py (dry runs), a
study, its answer, `report`, `share`, `why` and `verify` in the tests of these. `make demo`,
`toy-full`, `calibrate`, `bench` and what is for a GPU, a hub or a cluster of one's own takes too
long or too much for a test.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from snakemake.cli import get_argument_parser

from correct_l0.command import app
from correct_l0.saes.architectures import NAMES
from correct_l0.study.config import parse_study
from correct_l0.study.file import SOURCES, StudyFile

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "config" / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
OURS = ("make", "correct-l0", "snakemake", "python")
OTHERS = (".", "cd", "export", "git", "grep", "hf", "pip", "pre-commit", "squeue", "scancel")
"""Programs that are not checked."""
OF_A_PROFILE = {"set-resources", "set-threads"}


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(r"^( *)```(\S*)\n(.*?)^\1```$", page.read_text(), re.M | re.S)
    return [textwrap.dedent(text) for _, of, text in found if of == language]


def commands(page: Path) -> Iterator[list[str]]:
    """Every command of a page's blocks, and those of ours that stand in its sentences."""
    lines = "\n".join(blocks(page, "")).replace("\\\n", " ").splitlines()
    prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.M | re.S)
    lines += [" ".join(x.split()) for x in re.findall(r"`([^`]+)`", prose) if x.split()[0] in OURS]
    for line in lines:
        line = re.sub(r"<[^>]*>", lambda place: place[0].replace(" ", "_"), line)
        for part in line.split(" && "):
            if words := shlex.split(part, comments=True):
                yield words


def each(what) -> pytest.MarkDecorator:
    """Parametrize over the pages that have any of it."""
    cases = {page.relative_to(ROOT).as_posix(): list(what(page)) for page in PAGES}
    return pytest.mark.parametrize("found", [pytest.param(x, id=p) for p, x in cases.items() if x])


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        name, is_variable, _ = word.partition("=")
        assert re.search(rf"^{name}{' [?]=' if is_variable else ':'}", makefile, re.M), word


def check_correct_l0(words: list[str]) -> None:
    if not words:
        return
    command = typer.main.get_command(app).commands[words[0]]
    parser = command.make_parser(command.context_class(command))
    given, rest, _ = parser.parse_args(words[1:])
    assert not rest, f"too many: {rest}"
    wanted = [p.name for p in command.params if p.param_type_name == "argument" and p.required]
    # In a sentence a command may be named alone.
    assert len(words) == 1 or all(given.get(name) for name in wanted), wanted


def check_snakemake(words: list[str]) -> None:
    parser = get_argument_parser()
    if words == ["--configfile"]:
        return
    parsed = parser.parse_args(words)
    assert parsed.cores or parsed.dryrun or parsed.profile or parsed.lint or len(words) < 2, words
    for path in parsed.configfile or ():
        if path.parent.name == "config" and "<" not in path.name:
            assert (ROOT / path).exists(), path


def check_python(words: list[str]) -> None:
    """What is run is there, and its source names each option that it is given."""
    if words[0] == "-m":
        place = ROOT / words[1].replace(".", "/")
        file = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
        words = words[1:]
    else:
        file = ROOT / words[0]
    source = file.read_text()
    for word in words[1:]:
        name = word.lstrip("-")
        assert name == word or re.search(f'"(--)?{name}"', source), word


@each(commands)
def test_commands_can_be_typed(found):
    checks = [check_make, check_correct_l0, check_snakemake, check_python]
    for program, *words in found:
        assert program in (*OURS, *OTHERS), program
        if program in OURS:
            checks[OURS.index(program)](words)


@pytest.mark.parametrize(
    ("check", "typed"),
    [
        (check_make, "no-such-target"),
        (check_make, "demo NO_SUCH=1"),
        (check_correct_l0, "no-such"),
        (check_correct_l0, "report a b"),
        (check_correct_l0, "report --no-such"),
        (check_correct_l0, "share mine --l0 24"),
        (check_snakemake, "--no-such"),
        (check_snakemake, "--configfile mine.yaml"),
        (check_snakemake, "-n --configfile config/no-such.yaml"),
        (check_python, "-m calibration --no-such"),
        (check_python, "benchmarks/no-such.py"),
    ],
)
def test_a_command_that_cannot_be_typed_is_seen(check, typed):
    with pytest.raises((AssertionError, KeyError, OSError, SystemExit, typer.TyperException)):
        check(shlex.split(typed))


@each(lambda page: blocks(page, "yaml"))
def test_settings_are_those_of_a_study(found, request):
    """A whole study, or sections in place of those of the page on one's own model."""
    page = (ROOT / request.node.callspec.id).read_text()
    (whole,) = blocks(ROOT / "docs" / "your-model.md", "yaml")
    for block in found:
        section = yaml.safe_load(block)
        if not section or section.keys() <= OF_A_PROFILE:
            continue
        study = yaml.safe_load(whole)
        if section.keys() <= study["saes"].keys():
            section = {"saes": section}
        if "import" in section.get("saes", {}):
            if "..." in section.get("activations", {}).values():
                # Left to the reader.
                del section["activations"]
            StudyFile.model_validate({"study": "s"} | section)
            continue
        if "saes" in section:
            name = section["saes"].get("architecture", {}).get("name", "batchtopk")
            if f"architectures/{name}.py" in page and name not in NAMES:
                # The page itself has it made.
                del section["saes"]["architecture"]
            section["saes"] = {**study["saes"], "d_sae": 768, "l0": [8, 16], **section["saes"]}
        for kind in ({*SOURCES}, {"saes", "sweeps"}):
            if kind & section.keys():
                study = {key: value for key, value in study.items() if key not in kind}
        parse_study(section if "study" in section else study | section)


@each(lambda page: blocks(page, "python"))
def test_python_imports_what_is_there(found, request):
    page = (ROOT / request.node.callspec.id).read_text()
    for block in found:
        for node in ast.walk(ast.parse(block)):
            if not isinstance(node, ast.ImportFrom) or not node.module.startswith("correct_l0"):
                continue
            try:
                there = importlib.util.find_spec(node.module)
            except ModuleNotFoundError:
                there = None
            if there is None:
                # The page itself has it made.
                assert node.module.removeprefix("correct_l0.").replace(".", "/") in page
                continue
            module = importlib.import_module(node.module)
            assert all(hasattr(module, name.name) for name in node.names), block
