"""Write config/schema.json and the option table of config/README.md from the models.

Run as `python -m correct_l0.config_docs` in the repository's root.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from correct_l0.config import Config

START, END = "<!-- options: generated -->", "<!-- options end -->"


def schema_text() -> str:
    """Return the JSON schema of a configuration file."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(),
    }
    return json.dumps(schema, indent=2) + "\n"


def option_table() -> str:
    """Return the Markdown table of every option: key, type, default, meaning."""
    lines = ["| option | type | default | meaning |", "|---|---|---|---|"]
    for key, field in _options(Config, ""):
        cells = (f"`{key}`", _type(field), _default(field), _one_line(field.description or ""))
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    """Return the text of config/README.md with the option table replaced.

    Raises
    ------
    ValueError
        If a marker of the table is missing.
    """
    before, after = text.split(START)[0], text.split(END)[1]
    return f"{before}{START}\n\n{option_table()}\n\n{END}{after}"


def _options(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from _options(section, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def _type(field: FieldInfo) -> str:
    limits = [text for item in field.metadata for text in _limits(item)]
    return ", ".join([_type_name(field.annotation), *limits])


def _type_name(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(k) for k in arguments if k is not types.NoneType)
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return f"map from {_type_name(arguments[0])} to {_type_name(arguments[1])}"
    return {"str": "text", "int": "whole number", "float": "number"}.get(
        kind.__name__, kind.__name__
    )


def _limits(item: Any) -> Iterator[str]:
    if isinstance(item, FieldInfo):
        for inner in item.metadata:
            yield from _limits(inner)
    for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<=")):
        if (limit := getattr(item, name, None)) is not None:
            yield f"{sign} {limit}"


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if field.default in (None, "", (), {}):
        return "none"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{value}`"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main(config_folder: Path = Path("config")) -> None:
    """Write both files."""
    (config_folder / "schema.json").write_text(schema_text())
    readme = config_folder / "README.md"
    readme.write_text(with_table(readme.read_text()))


if __name__ == "__main__":
    main()
