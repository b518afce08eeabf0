"""What the report's code and texts are, whatever their formatting.

A change of a caption, a colour or a sentence has to rewrite the report; a comment or another line
break has not. Numbers of the tables and the verdict are versioned by `reading.RECIPE` besides.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


@cache
def report_source_digest(*rooms: str) -> str:
    """Return the digest of the code, without comments and docstrings, and texts of some rooms.

    Code is compared by its syntax tree, templates and styles by their bytes. Another version of
    Python may give another digest.

    Parameters
    ----------
    *rooms
        Folders of the package, such as `report`.
    """
    digest = hashlib.sha256()
    for path in (path for room in rooms for path in sorted((PACKAGE / room).rglob("*"))):
        if path.suffix == ".py":
            content = code_without_comments(path.read_text(encoding="utf-8")).encode()
        elif path.suffix in (".html", ".css", ".js"):
            content = path.read_bytes()
        else:
            continue
        digest.update(f"{path.relative_to(PACKAGE)} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]


def code_without_comments(source: str) -> str:
    """Return a module's syntax tree as text, docstrings left out.

    Examples
    --------
    >>> a = code_without_comments("def f(x):  # twice\\n    'Doubles.'\\n    return (2 * x)")
    >>> b = code_without_comments("def f(x):\\n    return 2*x")
    >>> a == b, a == code_without_comments("def f(x):\\n    return 3*x")
    (True, False)
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [child for child in body if not _is_docstring(child)]  # type: ignore[attr-defined]
    return ast.dump(tree, annotate_fields=False)


def _is_docstring(node: ast.AST) -> bool:
    """Tell whether a statement is a bare string: a docstring, or one below an attribute."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
