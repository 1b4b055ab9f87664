"""The exercises as pytest sees them: a plugin, by which each function of solutions.py is a test with its own name.

    python -m pytest -p vtm_lesson.teaching.pytest_exercises work/solutions.py            # what `make grade` does
    python -m pytest -p vtm_lesson.teaching.pytest_exercises work/solutions.py -k above   # one exercise

An editor that knows pytest shows them one by one with the same option.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tabulate import tabulate

from .contents import lesson_of
from .grading import tasks
from .judging import Verdict, answers_in, verdict

FILE = "solutions.py"
PROPERTY = "exercise"  # under which a report carries (name, marks, of, kind, words)
WIDEST = 64  # letters of what is wrong in the table


class NoModule(pytest.File):
    """What pytest itself makes of that file, if it is named: nothing, so that it is not imported a second time."""

    def collect(self) -> Iterator[pytest.Item]:
        yield from ()


class NotRightError(Exception):
    """An answer that its check does not take; the message is the check's."""


class Answers(pytest.File):
    """A file of answers: one test for each exercise, whether its function is there or not."""

    _found: tuple[dict[str, Any], str | None] | None = None

    def collect(self) -> Iterator[Answer]:
        for name in tasks():
            yield Answer.from_parent(self, name=name)

    def found(self) -> tuple[dict[str, Any], str | None]:
        """The names in the file, which is run once, and why not all of it ran."""
        if self._found is None:
            self._found = answers_in(Path(self.path))
        return self._found


class Answer(pytest.Item):
    """One exercise."""

    parent: Answers

    def runtest(self) -> None:
        names, note = self.parent.found()
        found, exercise = verdict(self.name, names, note)
        of = tasks()[self.name].points
        marks = of if found.kind == "right" else 0
        self.user_properties.append((PROPERTY, [self.name, marks, of, found.kind, found.words]))
        if found.kind != "right":
            raise NotRightError(message(found, exercise))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, NotRightError):
            return str(excinfo.value)  # a learner's error has been told in words; a traceback would show the checks
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


def message(found: Verdict, exercise: Any) -> str:
    """The check's words; where they point to `show()`, which would be another process's, what that shows."""
    if found.kind == "open":
        return f"… {found.exercise}: {found.words}."
    if f"checks.{found.exercise}.show()" not in found.text:
        return found.text
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exercise.show()
    return "\n".join([found.text, *said.getvalue().rstrip().splitlines()[1:]])


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    return Answers.from_parent(parent, path=file_path) if file_path.name == FILE else None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    return NoModule.from_parent(parent, path=module_path) if module_path.name == FILE else None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What is wrong, where pytest was told to leave that out; then the table."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    rows = {value[0]: (value, report) for report in reports for key, value in report.user_properties if key == PROPERTY}
    if not rows:
        return
    ordered = [rows[name] for name in tasks() if name in rows]
    say = terminalreporter.write_line
    if terminalreporter.config.option.tbstyle == "no":
        for (_, _, _, kind, _), report in ordered:
            if kind not in ("right", "open", "missing"):
                say("")
                say(report.longreprtext)
                printed = report.capstdout.splitlines()[:20]
                for line in ["  It printed:", *(f"    {line}" for line in printed)] * bool(printed):
                    say(line)
    say("")
    table = [
        (lesson_of(name), name, f"{marks} of {of}", first_words(words)) for (name, marks, of, _, words), _ in ordered
    ]
    say(tabulate(table, headers=("lesson", "exercise", "marks", "what is wrong"), disable_numparse=True))
    marks, of = (sum(value[i] for value, _ in ordered) for i in (1, 2))
    wrong = [value[0] for value, _ in ordered if value[3] not in ("right", "open", "missing")]
    is_open = sum(value[3] in ("open", "missing") for value, _ in ordered)
    say(f"\n{marks} of {of} marks; {len(wrong)} wrong, {is_open} not solved yet.")
    if wrong:
        say(f"A hint: python -c 'from vtm_lesson import checks; checks.{wrong[0]}.hint(1)'")


def first_words(words: str) -> str:
    """As many words as the table has room for."""
    line = " ".join(words.split())
    return line if len(line) <= WIDEST else f"{line[:WIDEST].rsplit(' ', 1)[0]} …"
