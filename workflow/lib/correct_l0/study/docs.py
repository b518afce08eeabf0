"""The schema and the option table of config/README.md, from the models: `correct-l0 schema`."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import textwrap
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticUndefined, core_schema

from correct_l0.saes.sections import TrainingOverride
from correct_l0.saes.training_settings import Training
from correct_l0.study.file import StudyFile

START, END = "<!-- options: generated -->", "<!-- options end -->"
"""What stands around the table in config/README.md."""


def schema_text(model: type[BaseModel] = StudyFile) -> str:
    """Return the JSON schema of a configuration file."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(schema_generator=_Described),
    }
    return json.dumps(schema, indent=2) + "\n"


class _Described(GenerateJsonSchema):
    """A schema whose options say what they mean."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        for name, field in model.model_fields.items():
            if meaning := _meanings(model).get(name):
                made["properties"][field.alias or name]["description"] = meaning
        return made


@cache
def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return what stands below each option of a section, and of those that it builds on."""
    if model is TrainingOverride:
        return _meanings(Training)
    found: dict[str, str] = {}
    for written in reversed(model.__mro__):
        if issubclass(written, BaseModel) and written is not BaseModel:
            (body,) = ast.parse(textwrap.dedent(inspect.getsource(written))).body
            assert isinstance(body, ast.ClassDef)
            for option, below in itertools.pairwise(body.body):
                match option, below:
                    case (
                        ast.AnnAssign(target=ast.Name(name)),
                        ast.Expr(value=ast.Constant(str(text))),
                    ):
                        found[name] = inspect.cleandoc(text)
    return found


def option_table(model: type[BaseModel] = StudyFile) -> str:
    """Return the Markdown table of every option: key, type, default, meaning."""
    lines = ["| option | type | default | meaning |", "|---|---|---|---|"]
    for key, field, meaning in _options(model, ""):
        cells = (f"`{key}`", _type(field), _default(field), _one_line(meaning))
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    """Return the text of config/README.md with the option table replaced.

    Raises
    ------
    ValueError
        If a marker of the table is missing.
    """
    before, rest = text.split(START)
    return f"{before}{START}\n\n{option_table()}\n\n{END}{rest.split(END)[1]}"


def _options(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo, str]]:
    for name, field in model.model_fields.items():
        sections, is_list = _sections_in(field.annotation)
        if field.annotation not in sections:
            yield prefix + (field.alias or name), field, _meanings(model).get(name, "")
        for section in sections:
            key = field.alias or name
            yield from _options(section, f"{prefix}{key}{'[]' if is_list else ''}.")


def _sections_in(annotation: Any) -> tuple[list[type[BaseModel]], bool]:
    """Return the sections that an option is, may be, or lists; and whether it is a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation], False
    origin = get_origin(annotation)
    if origin not in (Annotated, Union, types.UnionType, tuple):
        return [], False
    found = [_sections_in(argument) for argument in get_args(annotation)]
    sections = [section for sections, _ in found for section in sections]
    return sections, origin is tuple or any(is_list for _, is_list in found)


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
        names = [_type_name(k) for k in arguments if k is not types.NoneType]
        return " or ".join(dict.fromkeys(names))
    if origin is tuple:
        if arguments[-1] is not Ellipsis:
            return f"[{', '.join(map(_type_name, arguments))}]"
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return f"map from {_type_name(arguments[0])} to {_value_name(arguments[1])}"
    if issubclass(kind, BaseModel):
        return "section"
    words = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    return words.get(kind.__name__, kind.__name__)


def _value_name(kind: Any) -> str:
    """Return the name of the values of a map: of sections, that of the first that they may be."""
    sections, _ = _sections_in(kind)
    return sections[0].__name__ if sections else _type_name(kind)


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
    if isinstance(field.default, BaseModel):
        return "as below"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{value}`"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def write_docs(config_folder: Path) -> None:
    """Write the schema and the table."""
    (config_folder / "schema.json").write_text(schema_text())
    readme = config_folder / "README.md"
    readme.write_text(with_table(readme.read_text()))
