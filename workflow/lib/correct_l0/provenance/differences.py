"""What differs between two canonical settings strings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from correct_l0.settings.base import Section

OVERRIDE = re.compile(r"(.*\b)overrides\.[0-9.e+-]+\.(\w+)")
UNKNOWN = "default"


def describe_difference(found: str, wanted: str) -> str:
    """Return the differing settings of two canonical strings, as `key: found -> wanted`.

    Examples
    --------
    >>> describe_difference('{"lr":0.1,"seed":1}', '{"lr":0.2,"seed":1}')
    'lr: 0.1 -> 0.2'
    """
    try:
        changed = differences(found, wanted)
    except ValueError:
        return "unreadable settings"
    return ", ".join(f"{key}: {old} -> {new}" for key, old, new in changed)


def differences(found: str, wanted: str) -> list[tuple[str, str, str]]:
    """Return the differing settings of two canonical strings: key, found and wanted, as JSON.

    A setting that is left out of one has its default there, an override that of all points.

    Raises
    ------
    ValueError
        If one of them is not JSON.

    Examples
    --------
    >>> differences('{"training":{"lr":0.1}}', '{"training":{"lr":0.2,"lr_warm_up_steps":3}}')
    [('training.lr', '0.1', '0.2'), ('training.lr_warm_up_steps', '0', '3')]
    """
    before, after = json.loads(found), json.loads(wanted)
    old, new = _flatten(before), _flatten(after)
    names = {str(name) for side in (before, after) if isinstance(side, dict) for name in side}
    sections = [section for section in _kept() if names <= section.model_fields.keys()]
    return [
        (key, _value(key, old, sections), _value(key, new, sections))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def _kept(of: type[Section] = Section) -> Iterator[type[Section]]:
    """Yield the sections in use whose canonical strings are kept, wherever they are declared."""
    for section in of.__subclasses__():
        if section.kept:
            yield section
        yield from _kept(section)


def _value(key: str, settings: dict[str, Any], sections: list[type[Section]]) -> str:
    """Return a setting as JSON, its default where it is left out; `default` where none is known."""
    if key in settings:
        return json.dumps(settings[key])
    if override := OVERRIDE.fullmatch(key):
        return _value(f"{override[1]}training.{override[2]}", settings, sections)
    defaults = {_default(section, key) for section in sections}
    return defaults.pop() if len(defaults) == 1 else UNKNOWN


def _default(section: type[BaseModel], key: str) -> str:
    name, _, inner = key.partition(".")
    field = section.model_fields.get(name)
    if field is None:
        return UNKNOWN
    if not inner:
        return UNKNOWN if field.is_required() else json.dumps(field.default)
    kind = _section_in(field.annotation)
    return _default(kind, inner) if kind else UNKNOWN


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a setting is; of several kinds the first."""
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    return next(filter(None, map(_section_in, get_args(annotation))), None)


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        parts = (_flatten(v, f"{prefix}.{k}" if prefix else str(k)) for k, v in value.items())
        return {key: item for part in parts for key, item in part.items()}
    return {prefix: value}
