"""A learner's function as text that stands alone, so that another lesson's notebook can use it.

A function needs more than its own lines: the modules it names, helpers from the cells above it. All of that is
written down with it. What cannot be written down (a tensor of that notebook, say) is named in `NotPortableError`.
"""

from __future__ import annotations

import ast
import dis
import importlib
import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

# Functions that `checks.NAME.mine()` gave to this notebook -> NAME: a text that uses one asks for it again.
handed_out: dict[Callable, str] = {}


class NotPortableError(Exception):
    """A function that only works in its own notebook; the message says why."""


def portable(function: Callable, name: str) -> str:
    """Python text that makes the function again, under the name of its exercise.

    Parameters
    ----------
    function : callable
        A function that was written with `def` in a notebook or a file.
    name : str
        The exercise's.

    Returns
    -------
    str
        Imports, constants, helpers, and the function.

    Raises
    ------
    NotPortableError
        Where that cannot be written down.

    Examples
    --------
    >>> import textwrap
    >>> from vtm_lesson.teaching.carried import portable
    >>> print(portable(textwrap.dedent, "dedent"))
    from textwrap import dedent as dedent
    """
    parts: dict[str, str] = {}
    _write_down(function, name, parts, asked=False)  # it may have been handed out, and asking for it would go round
    return "\n".join(parts.values())


def made_from(text: str, name: str) -> Callable:
    """The function that `portable` wrote down; what the text raises goes through."""
    file = f"<your {name}>"
    names: dict[str, Any] = {"__name__": f"your_{name}"}
    exec(compile(text, file, "exec"), names)
    # Where its lines are found by a traceback.
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    return names[name]


def _write_down(value: Any, name: str, parts: dict[str, str], asked: bool = True) -> None:
    """Add to `parts` what makes `value` under this name, after all that it needs itself."""
    if name in parts:
        return
    if isinstance(value, ModuleType):
        parts[name] = f"import {value.__name__} as {name}"
    elif asked and _asked_for(value):
        parts[name] = f"from vtm_lesson import checks\n{name} = checks.{handed_out[value]}.mine(say=False)"
    elif (home := _importable(value)) is not None:
        parts[name] = f"from {home[0]} import {home[1]} as {name}"
    elif isinstance(value, FunctionType):
        parts[name] = ""  # its place, in case it calls itself
        text, needs = _own_text(value, name)
        del parts[name]
        for needed, what in needs.items():
            if what is not value:
                _write_down(what, needed, parts)
        parts[name] = text if value.__name__ == name else f"{text}{name} = {value.__name__}\n"
    elif _is_plain(value):
        parts[name] = f"{name} = {value!r}"
    else:
        raise NotPortableError(f"it uses {name}, a {type(value).__name__} that exists in its own notebook only")


def _own_text(function: FunctionType, name: str) -> tuple[str, dict[str, Any]]:
    """The lines of a function, and the values of the global names in them."""
    if function.__closure__:
        raise NotPortableError("it was made inside of another function")
    try:
        text = textwrap.dedent(inspect.getsource(function))
        tree = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError):
        raise NotPortableError("its lines cannot be found") from None
    if not isinstance(tree, ast.FunctionDef):
        raise NotPortableError(f"{name} is not written with def")
    head = [*tree.decorator_list, tree.args, *([tree.returns] if tree.returns else [])]
    used = {part.id for piece in head for part in ast.walk(piece) if isinstance(part, ast.Name)}
    used |= set(_globals_of(function.__code__))
    names = function.__globals__
    return text.rstrip() + "\n", {key: names[key] for key in sorted(used) if key in names}


def _globals_of(code: CodeType) -> Iterator[str]:
    """The global names that a function reads, those of functions and comprehensions inside of it included."""
    for step in dis.get_instructions(code):
        if step.opname == "LOAD_GLOBAL":
            yield step.argval
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _globals_of(inner)


def _asked_for(value: Any) -> bool:
    try:
        return value in handed_out
    except TypeError:  # it cannot be looked up
        return False


def _importable(value: Any) -> tuple[str, str] | None:
    """The module and the name under which another notebook finds the same thing; None where it does not."""
    module, name = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if not isinstance(name, str):
        return _made_by_a_module(value)
    if not isinstance(module, str) or module == "__main__":
        return None
    try:
        return (module, name) if getattr(importlib.import_module(module), name, None) is value else None
    except ImportError:
        return None


def _made_by_a_module(value: Any) -> tuple[str, str] | None:
    """The same for a thing that a module has made once, as scipy.stats has made its distribution t."""
    if _is_plain(value):
        return None
    parts = type(value).__module__.split(".")
    for module in (".".join(parts[: i + 1]) for i in range(len(parts))):  # where users find it comes before where it is
        for name, found in vars(sys.modules.get(module, object)).items():
            if found is value and module not in ("__main__", "builtins"):
                return module, name
    return None


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
