"""The rooms of the package: arrows point one way, and nothing lies about at the root."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "workflow" / "lib" / "correct_l0"

ORDER = (
    "settings", "provenance", "jobs", "sources", "saes", "metrics", "reading", "study", "costs",
    "stages", "standing", "report", "trial", "why", "command",
)  # fmt: skip
"""A room imports only rooms before it. Types that are only named in annotations do not count."""

NAMED = re.compile(r"correct_l0\.[\w.]+")
"""What loaders are told, as in `import_module("correct_l0.saes.saved")` or `module:function`."""

OF_NO_ROOM = {
    "benchmark", "benchmarks", "calibration", "docs", "engine", "environment", "gpu", "kernels",
    "notebook",
    "paper", "public", "recipes", "rooms",
}  # fmt: skip
"""What else tests are of: what stands beside the package, and the house as a whole."""

CHOSEN_LATE = {"batchtopk", "building", "saelens"}
"""Of the engines: what builds the trainers of ours builds SAELens', too, where it is asked for."""


def imports_of(path: Path) -> set[str]:
    """Return the modules of the package, and names in them, that a file imports when it runs."""
    tree = ast.parse(path.read_text())
    named = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in named:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return {name for name in found if name.startswith("correct_l0.")}


def named_in(path: Path) -> set[str]:
    """Return the modules of the package that a file names in strings, for what loads them."""
    strings = (
        node.value.partition(":")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return {text for text in strings if NAMED.fullmatch(text)}


def upwards_in(package: Path) -> list[str]:
    """Return what files of a package import or name of rooms that come after theirs."""
    return [
        f"{path.relative_to(package)} imports {module}"
        for place, room in enumerate(ORDER)
        for path in sorted((package / room).rglob("*.py"))
        for module in sorted(imports_of(path) | named_in(path))
        if module.split(".")[1] in ORDER[place + 1 :]
    ]


def in_circles(package: Path) -> set[str]:
    """Return the modules that import themselves by way of others, late imports included."""
    modules = {
        ".".join((package.name, *path.relative_to(package).with_suffix("").parts)): path
        for path in package.rglob("*.py")
    }
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    del modules[package.name]
    graph = {name: imports_of(path) & {*modules} - {name} for name, path in modules.items()}
    return {name for name in graph if name in reached_from(name, graph)}


def reached_from(first: str, graph: dict[str, set[str]]) -> set[str]:
    """Return what a module imports, and what that does, and so on."""
    found: set[str] = set()
    ahead = {first}
    while ahead:
        ahead = set().union(*(graph[name] for name in ahead)) - found
        found |= ahead
    return found


def test_every_room_is_in_order_and_imports_only_what_is_before_it():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(ORDER)
    assert upwards_in(PACKAGE) == []


def test_no_modules_import_each_other():
    assert {name.rpartition(".")[0] for name in in_circles(PACKAGE)} == {"correct_l0.saes.engine"}
    assert {name.rpartition(".")[2] for name in in_circles(PACKAGE)} == CHOSEN_LATE


def test_no_loose_module_lies_at_the_root():
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "errors.py"}


def test_the_pages_name_the_rooms_in_order():
    table = re.findall(r"^\| `(\w+)` \| ", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    assert tuple(table) == ORDER
    page = (ROOT / "docs" / "how-it-works.md").read_text()
    (picture,) = re.findall(r"^```text\n(settings .*?)^```", page, re.M | re.S)
    lines = [line.partition("  ")[0] for line in picture.splitlines() if "──" in line]
    assert tuple(re.findall(r"\w+", " ".join(lines))) == ORDER


def test_tests_are_named_after_the_room_that_they_are_of():
    names = {path.stem.split("_")[1] for path in Path(__file__).parent.glob("test_*.py")}
    assert names - {*ORDER} == OF_NO_ROOM


@pytest.mark.parametrize(
    "line",
    [
        "from correct_l0.saes.saved import load_saved_sae",
        "from correct_l0.saes import saved",
        "def late():\n    from correct_l0.saes import saved",
        "import correct_l0.saes.saved",
        'LOADER = ("correct_l0.saes.saved", "load_saved_sae")',
        'LOADER = "correct_l0.saes.saved:load_saved_sae"',
    ],
)
def test_an_arrow_that_points_the_other_way_is_seen(line, tmp_path):
    package = tmp_path / "correct_l0"
    for file, text in (("sources/store.py", line), ("saes/saved.py", "")):
        (package / file).parent.mkdir(parents=True)
        (package / file).write_text(text)
    (found,) = {each.partition(" imports ")[0] for each in upwards_in(package)}
    assert found == "sources/store.py"
    assert "correct_l0.saes" in upwards_in(package)[0]


@pytest.mark.parametrize("late", [False, True])
def test_modules_of_a_room_that_import_each_other_are_seen(late, tmp_path):
    study = tmp_path / "correct_l0" / "study"
    study.mkdir(parents=True)
    for file in (study.parent / "__init__.py", study / "__init__.py"):
        file.touch()
    (study / "rounds.py").write_text("from correct_l0.study.plan import Plan\n")
    (study / "plan.py").write_text("class Plan:\n    pass\n")
    assert in_circles(study.parent) == set()
    body = "from correct_l0.study.rounds import follow\n"
    (study / "plan.py").write_text(f"def opened():\n    {body}" if late else body)
    assert in_circles(study.parent) == {"correct_l0.study.plan", "correct_l0.study.rounds"}
