"""Settings as one string, which says whether two configurations ask for the same numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def canonical(section: BaseModel | Mapping[str, Any], *leave_out: str) -> str:
    """Return settings as one JSON string with sorted keys, defaults left out.

    Two configurations have the same string exactly where they ask for the same numbers: the order
    of keys, the spelling of a value and an explicitly written default make no difference, and a
    default that a later version adds leaves the strings of older configurations as they are.
    """
    if isinstance(section, BaseModel):
        values = section.model_dump(mode="json", exclude_defaults=True)
    else:
        values = dict(section)
    kept = {key: value for key, value in values.items() if key not in leave_out}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"))
