"""The exercise checks: `checks.nearest_target(your_function)` says what was expected, what you gave, and a hint.

Every check compares your function with the package's on random and on awkward input (ties, zeros, one target). A
wrong answer is also compared with the mistakes people make here, so that the message can name yours. Each wrong answer
shows the next of three hints; `checks.nearest_target.hint()` shows one without trying, `checks.nearest_target.show()`
all of the input that failed.

`checks.progress()` draws what you have solved. `checks.predict("00-ratio", 3)` records a guess, `checks.replay` shows
it beside the result, `checks.predictions()` shows all of them. `checks.course_map("04")` draws the course, that lesson
marked.

Nothing here stops a notebook: an unsolved or wrong exercise prints what is missing, and the cells after it use the
package. Whatever your function gives or raises is told in words; only pressing "stop" stops it. The right values are
right in any form, NumPy's numbers and arrays included. Only while nbgrader grades (it sets NBGRADER_EXECUTION) does a
failed check raise AssertionError.
"""

from __future__ import annotations

import importlib

from .teaching.contents import LESSONS

# The file of vtm_lesson/teaching -> the names it hands on, in the order of the lessons. A file is loaded when one of
# its names is first used (PEP 562): a lesson is stale when a module that it loaded has changed, so a change in one
# file's checks must not touch the lessons that use other files. `checks.pyi` tells type checkers and editors the same.
_FILES = [
    ("exercise", ("Exercise",)),
    ("comparing", ("difference",)),
    ("progress", ("progress", "predict", "predictions", "replay")),
    ("course", ("course_map",)),
    *LESSONS.values(),
]
_HOMES = {name: file for file, names in _FILES for name in names}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}.")
    value = getattr(importlib.import_module(f".teaching.{_HOMES[name]}", __package__), name)
    globals()[name] = value  # found at once the next time
    return value


def __dir__() -> list[str]:
    return list(__all__)
