"""What differs between two canonical settings strings."""

from __future__ import annotations

import json
from typing import Any


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

    Raises
    ------
    ValueError
        If one of them is not JSON.

    Examples
    --------
    >>> differences('{"training":{"lr":0.1}}', '{"training":{"lr":0.2,"steps":3}}')
    [('training.lr', '0.1', '0.2'), ('training.steps', 'default', '3')]
    """
    old, new = _flatten(json.loads(found)), _flatten(json.loads(wanted))
    return [
        (
            key,
            json.dumps(old[key]) if key in old else "default",
            json.dumps(new[key]) if key in new else "default",
        )
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        parts = (_flatten(v, f"{prefix}.{k}" if prefix else str(k)) for k, v in value.items())
        return {key: item for part in parts for key, item in part.items()}
    return {prefix: value}
