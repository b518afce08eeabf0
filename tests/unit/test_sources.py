"""What every source offers, whichever kind it is of."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module

import pytest

from correct_l0.sources import OPENERS, Source


def opened_by(stage: str) -> type:
    """Return the class that a stage's opener says it returns."""
    place, name = OPENERS[stage]
    module = import_module(place)
    return getattr(module, inspect.signature(getattr(module, name)).return_annotation)


def members_of(source: type) -> set[str]:
    """Return what the objects of a class have: its own, its fields, and what methods set."""
    found = {*dir(source)}
    for each in source.__mro__[:-1]:
        found |= {*inspect.get_annotations(each)}
        found |= {
            node.attr
            for node in ast.walk(ast.parse(inspect.getsource(each)))
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and ast.unparse(node.value) == "self"
        }
    return found


@pytest.mark.parametrize("stage", OPENERS)
def test_every_source_has_every_member_of_the_protocol(stage):
    source = opened_by(stage)
    functions = {name for name, _ in inspect.getmembers(Source, inspect.isfunction)}
    methods = {name for name in functions if not name.startswith("_")}
    wanted = {*inspect.get_annotations(Source), *methods}
    assert {"norms", "set_aside"} < wanted
    assert wanted - members_of(source) == set()
    for name in methods:
        own, protocol = (inspect.signature(getattr(each, name)) for each in (source, Source))
        assert [*own.parameters.values()] == [*protocol.parameters.values()], name
