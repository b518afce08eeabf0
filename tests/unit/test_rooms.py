"""The rooms of the package: arrows point one way, and nothing lies about at the root."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "workflow" / "lib" / "correct_l0"

ORDER = (
    "settings", "provenance", "jobs", "sources", "saes", "metrics", "reading", "study", "costs",
    "stages", "standing", "report", "trial", "why", "command",
)  # fmt: skip
"""A room imports only rooms before it. Types that are only named in annotations do not count."""


def imports_of(path: Path) -> set[str]:
    """Return the modules of the package that a file imports when it runs."""
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
            whole = node.module == "correct_l0"
            found |= {f"correct_l0.{a.name}" for a in node.names} if whole else {node.module}
    return {name for name in found if name.startswith("correct_l0.")}


def test_every_room_is_in_order_and_imports_only_what_is_before_it():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(ORDER)
    upwards = [
        f"{path.relative_to(PACKAGE)} imports {module}"
        for place, room in enumerate(ORDER)
        for path in (PACKAGE / room).rglob("*.py")
        for module in imports_of(path)
        if module.split(".")[1] in ORDER[place + 1 :]
    ]
    assert upwards == []


def test_no_loose_module_lies_at_the_root():
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "errors.py"}
