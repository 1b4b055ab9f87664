"""Which submissions of a lesson need a teacher's look, and why: nbgrader itself gives 0 marks and says nothing."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbgrader.api import Gradebook, MissingEntry  # type: ignore[import-untyped]
from nbgrader.utils import is_grade, is_solution  # type: ignore[import-untyped]

BORROWED = re.compile(r"\.answer\b|\.mistakes\b|\blessons_[a-z]+\b|\bslips\.[a-z]+\b")


class Look(NamedTuple):
    """A submission with its marks (None where there are none), and the reasons to look at it, if there are any."""

    student: str
    marks: float | None
    of: float
    why: tuple[str, ...]


def look(course: Path, lesson: str) -> list[Look]:
    """Every submission of a lesson, with the reasons to look at it.

    Parameters
    ----------
    course : Path
        nbgrader's course folder.
    lesson : str
        The assignment's full name.

    Returns
    -------
    list of Look
        In the order of the students' names. Students whom the gradebook knows are there, too, if nothing was handed in.

    Raises
    ------
    FileNotFoundError
        Where the course has no such lesson.
    """
    released = course / "release" / lesson / f"{lesson}.ipynb"
    if not released.exists():
        raise FileNotFoundError(f"{lesson} is not handed out in {course}: there is no {released}.")
    given = {path.parent.name for path in course.glob(f"submitted/*/{lesson}")}
    empty = nbformat.read(released, as_version=4)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        of = book.find_assignment(lesson).max_score
        students = sorted(given | {student.id for student in book.students})
        return [_looked(course, lesson, student, empty, book, of) for student in students]


def _looked(course: Path, lesson: str, student: str, empty: Any, book: Gradebook, of: float) -> Look:
    folder, path = course / "submitted" / student / lesson, course / "submitted" / student / lesson / f"{lesson}.ipynb"
    if not folder.exists():
        return Look(student, None, of, ("nothing handed in",))
    if not path.exists():
        others = ", ".join(sorted(p.name for p in folder.glob("*.ipynb")))
        return Look(student, None, of, (f"no {path.name}" + (f", but {others}" if others else ""),))
    why = _of_the_notebook(path, empty)
    marked = (course / "autograded" / student / lesson / f"{lesson}.ipynb").exists()
    marks = None
    if marked:
        try:
            marks = book.find_submission(lesson, student).score
        except MissingEntry:
            marked = False
    if not marked:
        why.insert(0, "not marked: its autograde stopped, or is still to come")
    try:
        noted = json.loads((course / "look" / lesson / f"{student}.json").read_text(encoding="utf-8"))
        why += noted["troubles"]
    except (OSError, ValueError, KeyError):
        pass
    if marks == 0 and _answered(path, empty):
        why.append("0 marks, and answers were written")
    return Look(student, marks, of, tuple(why))


def _cells(nb: Any) -> list[Any]:
    return [c for c in nb.cells if is_grade(c) or is_solution(c)]


def _name(cell: Any) -> str:
    return str(cell.metadata.nbgrader.get("grade_id"))


def read(path: Path) -> Any | None:
    """The notebook at `path`; None where there is none or where it cannot be read as one."""
    try:
        nb = nbformat.read(path, as_version=4)
        return nb if all(isinstance(cell.source, str) for cell in nb.cells) else None
    except Exception:  # nbformat has many ways to say that a file holds something else
        return None


def _of_the_notebook(path: Path, empty: Any) -> list[str]:
    nb = read(path)
    if nb is None:
        return ["the notebook cannot be read"]
    why = []
    counts = Counter(_name(cell) for cell in _cells(nb))
    missing = [_name(cell) for cell in _cells(empty) if _name(cell) not in counts]
    twice = [name for name, count in counts.items() if count > 1]
    locked = {_name(cell): cell.source for cell in empty.cells if is_grade(cell)}
    edited = [
        _name(cell) for cell in nb.cells if is_grade(cell) and locked.get(_name(cell), cell.source) != cell.source
    ]
    why += [f"cells missing: {', '.join(missing)}"] if missing else []
    why += [f"cells twice: {', '.join(twice)}"] if twice else []
    why += [f"locked cells changed (put back): {', '.join(edited)}"] if edited else []
    for cell in nb.cells:
        if cell.cell_type == "code" and is_solution(cell):
            try:
                ast.parse(cell.source)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                why.append(f"{_name(cell)} is no Python")
    if any(BORROWED.search(cell.source) for cell in nb.cells if cell.cell_type == "code" and not _given(cell, empty)):
        why.append("may use the package's answer")
    return why


def _given(cell: Any, empty: Any) -> bool:
    return any(cell.source == other.source for other in empty.cells)


def _answered(path: Path, empty: Any) -> bool:
    nb = read(path)
    stubs = {_name(cell): cell.source for cell in empty.cells if is_solution(cell)}
    return nb is not None and any(is_solution(c) and stubs.get(_name(c), c.source) != c.source for c in nb.cells)


def write_csv(rows: list[Look], path: Path) -> None:
    """Those that need a look, as CSV: student, marks, of, why."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["student", "marks", "of", "why"])
        for row in rows:
            if row.why:
                table.writerow([row.student, "" if row.marks is None else row.marks, row.of, "; ".join(row.why)])
