"""A stand-in for pydantic on a machine that lacks it: classes are made, no value is looked at.

A bare GPU machine may have torch and no pydantic, whose core is compiled. The check writes its own
settings, so nothing is lost by leaving them unchecked; the pipeline itself always needs pydantic.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, ClassVar


class BaseModel:
    """Takes every value as it comes; what is not given has the class's default."""

    model_fields: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **options: object) -> None:
        """Accept a subclass and its options."""

    @classmethod
    def model_validate(cls, values: dict[str, Any]) -> BaseModel:
        """Return an object of these values."""
        made = cls()
        vars(made).update(values)
        return made


def create_model(name: str, __base__: type = BaseModel, **_: object) -> type:
    """Return a subclass without the fields."""
    return type(name, (__base__,), {})


def field(default: object = None, **_: object) -> object:
    """Return a field's default."""
    return default


def decorator(*_: object, **__: object) -> Any:
    """Return a decorator that leaves a method as it is."""
    return lambda function: function


def stand_in() -> None:
    """Make `import pydantic` find this, in this process."""
    for name in ("pydantic", "pydantic.fields"):
        sys.modules[name] = module = ModuleType(name)
        vars(module).update(
            BaseModel=BaseModel,
            ConfigDict=dict,
            Field=field,
            FieldInfo=object,
            ValidationError=ValueError,
            create_model=create_model,
            field_validator=decorator,
            model_validator=decorator,
        )
