"""The exercises for those who work in an editor: one file of functions, and the command that marks it.

    make grade                      # marks all exercises; makes work/solutions.py where there is none
    make grade ARGS="02 saliency"   # those of lesson 02, and one of another

What is to be done, signatures and marks come from the lessons' notebooks, so both say the same. What a learner wrote
is never overwritten: an exercise that is new to their file is written at its end, and one that a lesson has changed
goes into solutions.new.py beside it.
"""

from __future__ import annotations

import argparse
import ast
import functools
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from .. import paths
from . import work
from .contents import LESSONS

FILE = "solutions.py"
CHANGED = "solutions.new.py"
PLUGIN = "vtm_lesson.teaching.pytest_exercises"
HEAD = '''"""Your answers: one function an exercise. `make grade` marks them all, `make grade ARGS="00 above"` some.

The words over each function are the lesson's; figures, and the way there, stand in the lesson itself. This file is
yours: nothing you wrote is overwritten. Functions may call each other, and helpers of your own. Where a lesson speaks
of its own my_mean, `checks.group_mean.mine()` is the package's.
"""
'''
MARK = re.compile(r"^# === (\w+) · .*text ([0-9a-f]{8})$", re.MULTILINE)  # over each exercise: whose words these are
TURN = re.compile(r"^#+ .*(?:Your turn|Puzzle)", re.MULTILINE)


class Task(NamedTuple):
    """One exercise, as a file of Python asks it: marks, the words as a comment, the function to fill in."""

    name: str
    lesson: str
    points: int
    words: str
    stub: str

    def text(self) -> str:
        """What goes into a learner's file."""
        number = self.lesson.split("_")[0]
        plural = "" if self.points == 1 else "s"
        head = f"# === {self.name} · lesson {number} · {self.points} mark{plural} · text {self.digest()}"
        return f"{head}\n{self.words}\n{self.stub}\n"

    def digest(self) -> str:
        return work.digest([self.words, self.stub])[:8]


@functools.cache
def tasks() -> dict[str, Task]:
    """Every exercise by its name, in the order of the lessons.

    Examples
    --------
    >>> from vtm_lesson.teaching.grading import tasks
    >>> tasks()["alternate"].points
    1
    """
    found = {}
    for lesson, (_, names) in LESSONS.items():
        cells = _notebook(f"exercises/{lesson}.ipynb")["cells"] if names else []
        marks = {cell["metadata"].get("nbgrader", {}).get("grade_id"): cell for cell in cells}
        for place, cell in enumerate(cells):
            about = cell["metadata"].get("nbgrader", {})
            if cell["cell_type"] == "code" and about.get("solution"):
                name = _function(cell["source"])
                points = marks[f"{about['grade_id']}-check"]["metadata"]["nbgrader"]["points"]
                found[name] = Task(name, lesson, points, _words(cells[:place]), cell["source"].rstrip())
    return {name: found[name] for _, names in LESSONS.values() for name in names}


def imports(names: Iterable[str]) -> list[str]:
    """What a file of these exercises imports: of the lessons' own imports those that their solved functions name."""
    lines = {"checks": "from vtm_lesson import checks"}
    for lesson in dict.fromkeys(tasks()[name].lesson for name in names):
        codes = [cell["source"] for cell in _notebook(f"{lesson}.ipynb")["cells"] if cell["cell_type"] == "code"]
        used = set().union(*(_needed(code) for code in codes if _is_exercise(code, lesson)))
        for part in (part for code in codes for part in ast.parse(code).body):
            for alias in part.names if isinstance(part, (ast.Import, ast.ImportFrom)) else ():
                name = alias.asname or alias.name
                if name in used:
                    lines.setdefault(name, f"{_from(part)}import {ast.unparse(alias)}")
    return sorted(lines.values(), key=lambda line: (line.startswith("from"), "vtm_lesson" in line, line))


def wanted(asked: Sequence[str]) -> list[str]:
    """The exercises that lessons ("02", "02_bipartite_matching") and exercises stand for; all for none.

    Raises
    ------
    ValueError
        For what is neither.
    """
    chosen = set()
    for word in asked:
        lessons = [lesson for lesson in LESSONS if word in (lesson, lesson.split("_")[0])]
        names = [name for lesson in lessons for name in LESSONS[lesson][1]] or [word] * (word in tasks())
        if not names:
            raise ValueError(
                f"{word} has no exercise; give a lesson, such as 02, or an exercise, such as {next(iter(tasks()))}."
            )
        chosen |= set(names)
    return [name for name in tasks() if name in chosen or not asked]


def update(folder: Path, names: Sequence[str] | None = None) -> list[str]:
    """Make a learner's solutions.py, or bring what is new in the lessons; says what was done, line by line.

    names: the exercises that are brought where the file lacks them; all for none. A new file has all.

    Raises
    ------
    OSError
        Where something cannot be written; what was there is as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    before = path.read_bytes() if path.exists() else None
    if before is None:
        text = "\n".join([HEAD, "\n".join(imports(tasks())) + "\n\n", "\n\n".join(t.text() for t in tasks().values())])
        work.put(path, text.encode(), None)
        return [f"{path} is new: {len(tasks())} functions to fill in. Nothing you write there is overwritten."]
    text = before.decode("utf-8", errors="replace")
    said = dict(MARK.findall(text))
    lines = []
    asked = tasks() if names is None else names
    new = [task for name, task in tasks().items() if name in asked and name not in said and not _defines(text, name)]
    if new and _parses(text):  # at the end of a file that is not whole it might land inside of something
        lacking = [line for line in imports(task.name for task in new) if line not in text.splitlines()]
        more = "\n\n\n" + "\n".join([*lacking, "", ""] if lacking else []) + "\n\n".join(task.text() for task in new)
        if work.put(path, before.rstrip() + more.encode(), before):
            lines.append(f"{FILE}: new at its end: {', '.join(task.name for task in new)}.")
    beside = folder / CHANGED
    old = beside.read_bytes() if beside.exists() else None
    told = dict(MARK.findall((old or b"").decode("utf-8", errors="replace")))
    changed = [t for t in tasks().values() if said.get(t.name, t.digest()) != t.digest() != told.get(t.name)]
    if changed:
        more = "\n\n".join(task.text() for task in changed)
        if work.put(beside, b"\n\n".join(filter(None, [old, more.encode()])), old):
            names = ", ".join(task.name for task in changed)
            lines.append(f"{FILE}: the lesson changed {names}. Yours stays; what is asked now stands in {CHANGED}.")
    return lines


def _notebook(name: str) -> work.Notebook:
    path = paths.notebooks_path(name)
    nb = work.shipped(path) or work.parse(path.read_bytes())  # as it was built, even where somebody worked in it
    if nb is None:
        raise ValueError(f"{path} is no notebook; `make lessons` builds it.")
    return nb


def _function(code: str) -> str:
    return next(part.name for part in ast.parse(code).body if isinstance(part, ast.FunctionDef))


def _is_exercise(code: str, lesson: str) -> bool:
    return any(re.search(rf"^def {name}\(", code, re.MULTILINE) for name in LESSONS[lesson][1])


def _needed(code: str) -> set[str]:
    """The names that a cell reads, and neither sets nor takes as arguments."""
    parts = list(ast.walk(ast.parse(code)))
    read = {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}
    own = {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    return read - own - {part.arg for part in parts if isinstance(part, ast.arg)}


def _from(part: ast.Import | ast.ImportFrom) -> str:
    return f"from {part.module} " if isinstance(part, ast.ImportFrom) else ""


def _words(before: Sequence[dict]) -> str:
    """What is asked, as a comment: from the last heading of an exercise on, code that stands there included."""
    lines: list[str] = []
    for cell in reversed(before):
        turn = [m.start() for m in TURN.finditer(cell["source"])] if cell["cell_type"] == "markdown" else []
        source = cell["source"][turn[-1] :] if turn else cell["source"]
        if cell["cell_type"] == "code":
            lines = [*(f"    {line}" for line in source.rstrip().splitlines()), "", *lines]
        else:
            lines = [*source.rstrip().splitlines(), "", *lines]
        if turn:
            break
    return "\n".join(f"# {line}".rstrip() for line in lines[:-1])


def _defines(text: str, name: str) -> bool:
    return re.search(rf"^(?:def {name}\b|{name}\s*=)", text, re.MULTILINE) is not None


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


# ------------------------------------------------------------------------------------------------------- the command


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python -m vtm_lesson grade`: 0 if all that was asked for is right, 1 if not."""
    parser = argparse.ArgumentParser(
        prog="python -m vtm_lesson grade", description=(__doc__ or "").split("\n\n")[0], allow_abbrev=False
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="lessons (02) and exercises (saliency); all for none")
    where = paths.work_path()
    parser.add_argument("--folder", type=Path, default=where, help=f"where your {FILE} is, or will be ({where})")
    args = parser.parse_args(argv)
    if importlib.util.find_spec("pytest") is None:
        return _refused("this Python lacks pytest: pip install pytest.")
    folder = args.folder.expanduser().resolve()
    try:
        names = wanted(args.names)
        for line in update(folder, names):
            print(line)
    except (ValueError, OSError) as error:
        return _refused(str(error))
    os.environ.setdefault("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # nothing of them is needed; they take seconds
    import pytest

    asked = [f"{folder / FILE}::{name}" for name in names]
    # Whatever settings of pytest lie around, here it is the same: nothing of theirs counts but what is asked.
    options = ["-q", "--tb=no", "-rN", "--no-header", "--no-summary", "--noconftest", f"--rootdir={folder}"]
    return int(pytest.main([*options, "-o", "addopts=", "-p", "no:cacheprovider", "-p", PLUGIN, *asked]))


def _refused(why: str) -> int:
    print(f"grade: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
