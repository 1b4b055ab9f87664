"""A class on nbgrader: the cells that carry marks, and what they do where nbgrader runs them as they are.

`marking` decides whether a function is right, outside its process; `jail` starts that process; `execute` is both
in nbgrader's autograde; `look` says which submissions need a look.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from ...paths import PACKAGE
from ..contents import LESSONS
from ..exercise import Exercise
from .marking import OTHER, seed_of

CHECK = re.compile(r"^checks\.(\w+)\((\w+)\)\s*$")
MARKS = re.compile(r"^cells\.marks\(\"(\w+)\", (\w+)\)$", re.MULTILINE)
CELL = """\
# The marks for {name}: the function above is tried on these and on other inputs when it is graded.
### BEGIN HIDDEN TESTS
from vtm_lesson.teaching.classroom import cells

cells.marks("{name}", {function})
### END HIDDEN TESTS"""


def exercise_of(name: str) -> Exercise:
    """The exercise of that name, as `vtm_lesson.checks` has it."""
    file = next(file for file, names in LESSONS.values() if name in names)
    return getattr(importlib.import_module(f"..{file}", __package__), name)


def with_hidden_tests(nb: Any) -> Any:
    """A lesson's nbgrader source in which each check has a cell for its marks behind it, with a hidden test.

    Parameters
    ----------
    nb : NotebookNode
        With nbgrader's metadata, as the lessons' builder writes it for nbgrader.

    Returns
    -------
    NotebookNode
        The check cells have lost their points to the new cells, whose ids end in "-marks", and are no longer graded.

    Raises
    ------
    ValueError
        Where a graded cell is not the check of an exercise.
    """
    nb, cells = deepcopy(nb), []
    for cell in nb.cells:
        cells.append(cell)
        about = cell.metadata.get("nbgrader", {})
        if not about.get("grade") or cell.cell_type != "code":
            continue
        called = CHECK.match(cell.source.strip())
        if called is None:
            raise ValueError(f"{about.get('grade_id')}: marks go to the check of an exercise, checks.NAME(function).")
        marks = deepcopy(cell)
        marks.source = CELL.format(name=called[1], function=called[2])
        marks.id = marks.metadata.nbgrader.grade_id = f"{about['grade_id']}-marks"
        del cell.metadata["nbgrader"]  # a learner may add to it; it earns nothing
        cells.append(marks)
    nb.cells = cells
    return nb


def marks(name: str, given: Callable) -> None:
    """Raise AssertionError unless the function is right, on the inputs of its check and on the student's own.

    This is what a marks cell does in nbgrader's own autograde, in the learner's process. With the configuration that
    `make classroom` writes, the cell is not run at all: the function is judged from outside.

    Parameters
    ----------
    name : str
        That of the exercise.
    given : callable
        The learner's function.

    Examples
    --------
    >>> from vtm_lesson.teaching.classroom import cells
    >>> cells.marks("every_gamma_th", lambda n, gamma: range(0, n, gamma))
    Traceback (most recent call last):
    AssertionError: ✗ every_gamma_th, 10 tokens, gamma 5: expected a tensor, got a range.
    """
    exercise = exercise_of(name)
    seen = exercise.problem(given)
    if seen is not None:
        raise AssertionError(seen)
    student = os.environ.get("VTM_STUDENT") or Path.cwd().parent.name  # nbgrader works in autograded/STUDENT/LESSON
    if exercise.variant(seed_of(student)).problem(given) is not None:
        raise AssertionError(f"✗ {name}: {OTHER}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python -m vtm_lesson classroom`: that of the repository, which has the lessons' sources."""
    tool = PACKAGE.parent / "tools" / "classroom.py"
    if not tool.is_file():
        print(
            "classroom: a class is made from the lessons' sources, which only the repository has;"
            " give the command there (make classroom).",
            file=sys.stderr,
        )
        return 2
    return subprocess.call([sys.executable, str(tool), *(sys.argv[1:] if argv is None else argv)])
