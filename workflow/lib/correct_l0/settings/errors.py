"""Validation errors of the configuration in words."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from correct_l0.errors import InputError

WANTED = {
    "tuple_type": "give a list, such as [4, 8]",
    "too_short": "list at least one value",
    "string_pattern_mismatch": "use letters, digits, '.', '_' and '-', a letter or digit first",
    "string_too_long": "use at most {max_length} characters",
    "string_type": "give text; a number stands in quotes",
    "int_type": "give a whole number",
    "int_parsing": "give a whole number in digits, such as 2_000_000",
    "int_from_float": "give a whole number",
    "float_type": "give a number",
    "float_parsing": "give a number",
    "finite_number": "give a finite number",
    "bool_type": "give true or false",
    "bool_parsing": "give true or false",
    "dict_type": "give settings, each as key: value",
    "model_type": "give settings, each as key: value",
    "literal_error": "give {expected}",
    "greater_than": "give more than {gt:g}",
    "greater_than_equal": "give at least {ge:g}",
    "less_than": "give less than {lt:g}",
    "less_than_equal": "give at most {le:g}",
}
"""What is to be given, by pydantic's kind of error; where the kind is missing, its own words."""


def check_yaml(path: Path | str) -> None:
    """Refuse a file that is no YAML, or in which a key stands twice: the last would be taken.

    Raises
    ------
    InputError
        With the line in the file; one line per repeated key.
    """
    # Whoever reads curves in a notebook has no configuration, and may have no yaml.
    import yaml

    with open(path, encoding="utf-8") as file:
        try:
            node = yaml.compose(file)
        except (yaml.YAMLError, ValueError) as error:
            raise _not_yaml(path, error) from None
    repeated = [
        f"{path}, line {key.start_mark.line + 1}: {key.value} is set a second time; keep one"
        for key in _repeated_keys(node)
    ]
    if repeated:
        raise InputError("\n".join(repeated))


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Return the settings of a configuration.

    Raises
    ------
    InputError
        If it cannot be read, is no YAML, has no settings, or repeats a key.
    """
    import yaml

    try:
        check_yaml(path)
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; name a study's configuration") from None
    except OSError as error:
        words = f"{error.strerror}; name a study's configuration"
        raise InputError(f"{path}: {words[0].lower()}{words[1:]}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise _not_yaml(path, error) from None
    if not isinstance(raw, dict):
        words = "empty" if raw is None else "no settings in it"
        raise InputError(
            f"{path}: {words}; name a study's configuration, such as config/config.yaml"
        )
    return raw


def _not_yaml(path: Path | str, error: Exception) -> InputError:
    """Return what is wrong with a file that PyYAML cannot read, and where."""
    if isinstance(error, UnicodeDecodeError):
        return InputError(
            f"{path}: not UTF-8 ({error.reason} at byte {error.start:,}); save it as UTF-8"
        )
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}" if mark else ""
    told = getattr(error, "problem", None) or str(error).partition("\n")[0]
    remedy = "indent with spaces, not tabs" if r"'\t'" in told else "correct it"
    return InputError(f"{path}{line}: not YAML ({' '.join(told.split())}); {remedy}")


def _repeated_keys(node: Any) -> Iterator[Any]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if (name := _spelling(key.value)) in seen:
                yield key
            seen.add(name)
            yield from _repeated_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item)


def _spelling(key: Any) -> str:
    """Return a key; a number, an L0 say, in one spelling: 4, 4.0 and "4" are one key."""
    try:
        return repr(float(key))
    except (TypeError, ValueError):
        return str(key)


def describe_errors(model: type[BaseModel], error: ValidationError) -> str:
    """Return one line per wrong value: where, the value, the limit and the remedy."""
    items: dict[tuple[Any, ...], Any] = {}
    for item in error.errors():
        # Several members of a union complain about one value: the first is the simplest.
        items.setdefault(tuple(part for part in item["loc"] if _is_key(part)), item)
    # A wrong element makes its list too short as well, and unlike a literal that may stand there.
    told = {location[:end] for location in items for end in range(len(location))}
    return "\n".join(
        _describe(model, location, item)
        for location, item in items.items()
        if not (item["type"] in ("too_short", "literal_error") and location in told)
    )


def _describe(model: type[BaseModel], location: tuple[Any, ...], item: Any) -> str:
    where = _place(model, location) or "configuration"
    kind = item["type"]
    if kind == "extra_forbidden":
        known = sorted(_fields_at(model, location[:-1]))
        nearest = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        remedy = f"did you mean '{nearest[0]}'?" if nearest else f"known keys: {', '.join(known)}"
        return f"{where}: unknown key; {remedy}"
    if kind == "missing":
        return f"{where}: not set, and it has no default; add it"
    message = item["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return f"{where}: {message}"
    wanted = WANTED.get(kind, "").format_map(item.get("ctx", {}))
    return f"{where}: {item['input']!r} is not usable: {wanted or message[0].lower() + message[1:]}"


def _place(model: type[BaseModel], location: tuple[Any, ...]) -> str:
    """Return where a value is: keys with dots, places in a list counted from 1."""
    words = ""
    for i, part in enumerate(location):
        in_list = isinstance(part, int) and get_origin(_annotation(model, location[:i])) is not dict
        words += f" entry {part + 1}" if in_list else f".{part}"
    return words.removeprefix(".")


def _is_key(part: Any) -> bool:
    """Tell keys and list positions from the names pydantic gives to members of a union."""
    return isinstance(part, int) or not any(sign in part for sign in "[(")


def _fields_at(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    models = _models_in(_annotation(model, location))
    return [str(key) for m in models for key in _fields_by_key(m)]


def _annotation(model: type[BaseModel], location: tuple[Any, ...]) -> Any:
    """Return the type of what stands at a location; a key of a mapping leads nowhere further."""
    current: Any = model
    for part in location:
        fields = [_fields_by_key(m) for m in _models_in(current)]
        found = [known[part] for known in fields if part in known]
        if found:
            current = found[0].annotation
    return current


def _fields_by_key(model: type[BaseModel]) -> dict[Any, Any]:
    """Return the fields of a model by the key that a file has for each."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated, dict, tuple):
        return [m for arg in get_args(annotation) for m in _models_in(arg)]
    return []
