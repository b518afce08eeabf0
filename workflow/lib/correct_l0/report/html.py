"""What pages are made of: templates, figures inside the file, typeset names, cells of tables."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from correct_l0.report.captions import Caption


def page_environment(*packages: str) -> Environment:
    """Return the templates of packages, the first one's first; an undefined name is an error."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["notation"] = notation
    return environment


def figure_entry(folder: Path | str, name: str, caption: Caption) -> dict[str, Any]:
    """Return a figure as the templates show it, both widths inside the page."""
    wide, narrow = Path(folder) / f"{name}.svg", Path(folder) / f"{name}.narrow.svg"
    return {
        "title": caption.title,
        "caption": caption.text,
        "alt": caption.alt,
        "wide": _data_uri(wide),
        "narrow": _data_uri(narrow),
        "size": _size(wide),
    }


def notation(text: str) -> Markup:
    """Return text as HTML with the metrics' names typeset.

    Examples
    --------
    >>> notation("c_dec < s_n^dec")
    Markup('<i>c</i><sub>dec</sub> &lt; <i>s</i><sub>n</sub><sup>dec</sup>')
    """
    escaped = str(escape(text)).replace("s_n^dec", "<i>s</i><sub>n</sub><sup>dec</sup>")
    return Markup(re.sub(r"\b([cbW])_dec", r"<i>\1</i><sub>dec</sub>", escaped))


class Explainer:
    """Typesets text, and explains each term on hover where it first stands on a page.

    Examples
    --------
    >>> explained = Explainer({"L0": "Active latents."})
    >>> explained("L0 of 8, not L0 9")
    Markup('<abbr title="Active latents.">L0</abbr> of 8, not L0 9')
    >>> explained("L0")
    Markup('L0')
    """

    def __init__(self, terms: Mapping[str, str]) -> None:
        # The longest first, so that a term within another one does not win.
        known = sorted(terms.items(), key=lambda term: -len(term[0]))
        self._left = {str(notation(term)): escape(text) for term, text in known}

    def __call__(self, text: str) -> Markup:
        """Return text as HTML."""
        if not self._left:
            return notation(text)
        terms = "|".join(map(re.escape, self._left))
        pattern = rf"(?<![\w&/])(?:{terms})(?![\w/]|[<]su)"
        return Markup(re.sub(pattern, self._explain, str(notation(text))))

    def _explain(self, found: re.Match[str]) -> str:
        meaning = self._left.pop(found[0], None)
        return found[0] if meaning is None else f'<abbr title="{meaning}">{found[0]}</abbr>'


def cell(value: Any) -> dict[str, str]:
    """Return what a table's cell shows and what it is sorted by; a missing value is a dash."""
    number = float(value) if value is not None else math.nan
    if not math.isfinite(number):
        return {"text": "–", "sort": ""}
    if number == int(number) and abs(number) < 1e6:
        return {"text": str(int(number)), "sort": repr(number)}
    return {
        "text": f"{number:,.0f}" if abs(number) >= 1e4 else f"{number:.4g}",
        "sort": repr(number),
    }


def _data_uri(path: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()


def _size(path: Path) -> tuple[float, float]:
    """Return an SVG's width and height in points, from its root element."""
    head = path.read_text()[:2000]
    box = head.split('viewBox="', 1)[1].split('"', 1)[0].split()
    return round(float(box[2])), round(float(box[3]))


def asset(environment: Environment, name: str) -> Markup:
    """Return a file of the templates as it is, for a style or a script."""
    if environment.loader is None:
        raise RuntimeError("no template loader")
    return Markup(environment.loader.get_source(environment, name)[0])
