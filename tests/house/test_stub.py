"""The stub of the front door, which type checkers and editors read, says what `__init__.py` does."""

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

import vtm_lesson as vtm

STUB = Path(vtm.__file__).with_suffix(".pyi")


def handed_on(stub: str) -> dict[str, tuple[str, str]]:
    """Public name -> module and name there: `from .module import name as name`, or `other = module.name`.

    `import name as other` hands nothing on, by the rules for stubs.
    """
    found = {}
    for node in ast.parse(stub).body:
        match node:
            case ast.ImportFrom(module=module, names=names):
                found |= {a.name: (f".{module or ''}", a.name) for a in names if a.asname == a.name}
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Attribute(value=ast.Name(id=module), attr=inner)):
                found[name] = (f".{module}", inner)
    return found


FOUND = handed_on(STUB.read_text(encoding="utf-8"))


def test_the_stub_has_every_name_of_the_front_door_and_no_other():
    assert sorted(FOUND) == vtm.__all__


@pytest.mark.parametrize("name", vtm.__all__)
def test_a_name_of_the_stub_is_what_the_front_door_gives(name):
    home, inner = FOUND[name]
    if home == ".":  # a module: it is not loaded for this
        assert inner == name and importlib.util.find_spec(f"vtm_lesson.{name}")
    else:
        assert getattr(importlib.import_module(home, "vtm_lesson"), inner) is getattr(vtm, name)


@pytest.mark.parametrize("line", ["from .paths import data_path", "from .video import read as read_video"])
def test_an_import_in_another_form_hands_nothing_on(line):
    assert handed_on(line) == {}
