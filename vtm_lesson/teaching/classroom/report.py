"""What a class got wrong, exercise by exercise: a figure a lesson, a table, and marks for Moodle and for Canvas.

    python -m vtm_lesson report FOLDER --out DIR         # all lessons that somebody handed in
    python -m vtm_lesson report FOLDER --out DIR 02 above   # these

FOLDER holds what nbgrader collects, submitted/STUDENT/LESSON/LESSON.ipynb (or what is in submitted/), or files of
answers, STUDENT.py or STUDENT/solutions.py. It writes

    mistakes.csv            student, exercise, marks, of, mistake
    mistakes_LESSON.png     how many were right, and which mistakes were made most often; beside it the same in words
    moodle.csv, canvas.csv  a column a lesson

Submissions run one by one, each in a process of its own with a clock and limits of memory, which keeps the report going
but is no wall (see `judging.judged_apart`).
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from ...plots.style import Picture, png
from ..contents import LESSONS
from ..grading import FILE, tasks, wanted
from ..judging import Verdict, judged_apart
from .figure import class_mistakes

COLUMNS = ("student", "exercise", "marks", "of", "mistake")
KINDS = {  # of a verdict -> how the figure sums them up
    "right": "right",
    "named": "a named mistake",
    "wrong": "another wrong result",
    "stopped": "stopped, hung or crashed",
    "slow": "stopped, hung or crashed",
    "crashed": "stopped, hung or crashed",
    "open": "not solved",
    "missing": "not solved",
}
NOT_IN = "not handed in"
COST = 6  # seconds that a submission takes, about: most of it is the start of Python with torch


class Row(NamedTuple):
    """One answer of one student."""

    student: str
    exercise: str
    marks: int
    of: int
    kind: str
    mistake: str


def submissions(folder: Path) -> list[tuple[str, str, Path]]:
    """(student, lesson, file) of all that was handed in; the lesson is "" for a file of answers to all of them.

    Raises
    ------
    ValueError
        Where there is none.
    """
    root = folder / "submitted" if (folder / "submitted").is_dir() else folder
    found = [(path.parts[-3], path.stem, path) for path in root.glob("*/*/*.ipynb") if path.stem == path.parts[-2]]
    found = [row for row in found if row[1] in LESSONS]
    found += [(path.parent.name, "", path) for path in root.glob(f"*/{FILE}")]
    found += [(path.stem, "", path) for path in root.glob("*.py")]
    if not found:
        kinds = f"submitted/STUDENT/LESSON/LESSON.ipynb, STUDENT/{FILE} or STUDENT.py"
        raise ValueError(f"{folder} holds no submission; it needs {kinds}.")
    return sorted(found)


def marked(
    handed_in: Sequence[tuple[str, str, Path]],
    names: Sequence[str],
    judge: Callable[[Path, Sequence[str]], list[Verdict]] = judged_apart,
) -> list[Row]:
    """Every student's rows for the exercises of these names that belong to a lesson somebody worked on."""
    known: dict[tuple[str, str], Verdict] = {}
    worked_on = set()
    for student, lesson, path in tqdm(handed_in, unit="submission", disable=None):
        asked = [name for name in names if not lesson or tasks()[name].lesson == lesson]
        for found in judge(path, asked) if asked else []:
            here = known.get((student, found.exercise))
            if here is None or found.kind == "right" or here.kind == "missing":  # of two answers the better one
                known[student, found.exercise] = found if here is None or here.kind != "right" else here
            if lesson or found.kind not in ("open", "missing"):
                worked_on.add(tasks()[found.exercise].lesson)
    students = sorted({student for student, _, _ in handed_in})
    return [
        _row(student, known.get((student, name)) or Verdict(name, "missing", NOT_IN))
        for student in students
        for name in names
        if tasks()[name].lesson in worked_on
    ]


def _row(student: str, found: Verdict) -> Row:
    of = tasks()[found.exercise].points
    return Row(student, found.exercise, of if found.kind == "right" else 0, of, found.kind, found.words)


# --------------------------------------------------------------------------------------------------------- what is made


def figure(rows: Iterable[Row], lesson: str) -> Picture:
    """What became of the answers to one lesson's exercises."""
    rows = [row for row in rows if tasks()[row.exercise].lesson == lesson]
    names = list(dict.fromkeys(row.exercise for row in rows))
    counts = {name: Counter(KINDS[row.kind] for row in rows if row.exercise == name) for name in names}
    named = {
        name: Counter(row.mistake for row in rows if (row.exercise, row.kind) == (name, "named")) for name in names
    }
    return class_mistakes(
        counts, {name: list(found.items()) for name, found in named.items()}, lesson.replace("_", " ")
    )


def write_mistakes(rows: Iterable[Row], path: Path) -> None:
    """student, exercise, marks, of, mistake: one line an answer."""
    _write(path, [COLUMNS, *((row.student, row.exercise, row.marks, row.of, row.mistake) for row in rows)])


def write_moodle(rows: Sequence[Row], path: Path) -> None:
    """Marks for Moodle: Username, then a column a lesson.

    Notes
    -----
    MoodleDocs, "Grade import", section "CSV import": the first row has the names of the columns, and on import one says
    which of them tells the user ("Map from" Username "to" username) and which grade item each other one belongs to.
    """
    lessons, marks, _ = _sums(rows)
    _write(path, [("Username", *lessons), *((student, *found) for student, found in marks.items())])


def write_canvas(rows: Sequence[Row], path: Path) -> None:
    """Marks for Canvas: the five columns that say who it is, then a column a lesson.

    Notes
    -----
    Canvas Instructor Guide, "How do I import grades in the Gradebook?": the columns Student, ID, SIS User ID, SIS Login
    ID and Section, then one for each assignment, as Canvas exports them; a row "Points Possible" follows the header. A
    student is found by one identifier: here the SIS Login ID, which is the name of the submission's folder. Section is
    empty, for courses that have one; a new column becomes a new assignment.
    """
    lessons, marks, of = _sums(rows)
    head = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section", *lessons)
    lines = [(student, "", "", student, "", *found) for student, found in marks.items()]
    _write(path, [head, ("    Points Possible", "", "", "", "", *of), *lines])


def _sums(rows: Sequence[Row]) -> tuple[list[str], dict[str, list[int]], list[int]]:
    """The lessons, each student's marks in them, and what there was to earn."""
    lessons = list(dict.fromkeys(tasks()[row.exercise].lesson for row in rows))
    marks = {row.student: [0] * len(lessons) for row in rows}
    of = dict.fromkeys(lessons, 0)
    for row in rows:
        lesson = tasks()[row.exercise].lesson
        marks[row.student][lessons.index(lesson)] += row.marks
        of[lesson] += row.of * (row.student == rows[0].student)
    return lessons, marks, list(of.values())


def _write(path: Path, lines: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)


# ------------------------------------------------------------------------------------------------------- the command


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python -m vtm_lesson report`."""
    parser = argparse.ArgumentParser(
        prog="python -m vtm_lesson report", description=(__doc__ or "").split("\n\n")[0], allow_abbrev=False
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="what was handed in")
    parser.add_argument("names", nargs="*", metavar="NAME", help="lessons (02) and exercises (above); all for none")
    parser.add_argument("--out", type=Path, required=True, help="where the report goes; files of it are written anew")
    parser.add_argument("--seconds", type=float, default=20.0, help="for one exercise of one student, at most (20)")
    args = parser.parse_intermixed_args(argv)  # FOLDER --out DIR NAME, in any order
    try:
        names, handed_in = wanted(args.names), submissions(args.folder)
    except ValueError as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    least = -(-COST * len(handed_in) // 60)
    print(f"{len(handed_in)} submissions, one by one: about {least} min, longer where some hang.", flush=True)
    rows = marked(handed_in, names, lambda path, asked: judged_apart(path, asked, args.seconds))
    if not rows:
        print("report: nobody has solved, or tried, an exercise of these.", file=sys.stderr)
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    write_mistakes(rows, args.out / "mistakes.csv")
    write_moodle(rows, args.out / "moodle.csv")
    write_canvas(rows, args.out / "canvas.csv")
    for lesson in dict.fromkeys(tasks()[row.exercise].lesson for row in rows):
        drawn = figure(rows, lesson)
        (args.out / f"mistakes_{lesson}.png").write_bytes(png(drawn))
        (args.out / f"mistakes_{lesson}.txt").write_text(drawn.alt + "\n", encoding="utf-8")
    look = sorted({row.student for row in rows if row.kind in ("slow", "crashed")})
    print(f"{args.out}: mistakes.csv, moodle.csv, canvas.csv, and a figure for each lesson.")
    if look:
        print(f"Hung or crashed somewhere; mistakes.csv says where: {', '.join(look)}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
