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

    def __eq__(self, other: object) -> bool:
        """Tell whether another object is of the same class and was given the same values."""
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        """Return the class and the values of its own fields, as pydantic does."""
        values = (f"{name}={getattr(self, name)!r}" for name in type(self).__annotations__)
        return f"{type(self).__name__}({', '.join(values)})"

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


class Mark:
    """Whatever else settings name: taken with any arguments, leaves a function as it is."""

    def __init__(self, *_: object, **__: object) -> None:
        """Take any arguments."""

    def __call__(self, function: Any) -> Any:
        """Return the function that this decorates."""
        return function


def anything(name: str) -> type:
    """Return `Mark` for a name of pydantic's, but for those that Python's imports ask for."""
    if name.startswith("__"):
        raise AttributeError(name)
    return Mark


def stand_in() -> None:
    """Make `import pydantic` find this, in this process."""
    for name in ("pydantic", "pydantic.fields"):
        sys.modules[name] = module = ModuleType(name)
        vars(module).update(
            BaseModel=BaseModel,
            ConfigDict=dict,
            Field=field,
            ValidationError=ValueError,
            create_model=create_model,
            __getattr__=anything,
        )
