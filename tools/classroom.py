"""A class on nbgrader: make the course, mark a lesson, list what needs a look. `make classroom` is the first of them.

    python tools/classroom.py make 00 02     classroom/: sources with hidden tests, configuration, release versions
    python tools/classroom.py grade 00       nbgrader autograde for each submission, in a process of its own
    python tools/classroom.py look 00        which submissions need a look, and why; also as look/LESSON.csv

Everything else is nbgrader's: in the course's folder `nbgrader collect`, `generate_feedback`, `export`. What is
isolated while marks are made, and what is not: docs/teachers.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm

import build_lessons
from lesson_rules import BuildError
from vtm_lesson.teaching.classroom import jail
from vtm_lesson.teaching.classroom import look as looking
from vtm_lesson.teaching.classroom.cells import with_hidden_tests

ROOT = Path(__file__).resolve().parent.parent
CONFIG = '''\
"""nbgrader's configuration of this course: written once by `make classroom`, then yours to change."""

from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbgrader.preprocessors import (
    AssignLatePenalties, CheckCellMetadata, ClearOutput, DeduplicateIds, IgnorePattern, LimitOutput, OverwriteCells,
    OverwriteKernelspec, SaveAutoGrades,
)
from vtm_lesson.teaching.classroom.execute import IsolatedExecute, RestoreCells, WithoutHiddenTests

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "video-token-merging"
c.ClearSolutions.code_stub = {{"python": {stub!r}}}
c.ClearSolutions.text_stub = {text!r}
# nbgrader's own steps, but for RestoreCells and, in place of Execute, IsolatedExecute.
c.Autograde.sanitize_preprocessors = [
    ClearOutput, DeduplicateIds, OverwriteKernelspec, RestoreCells, OverwriteCells, CheckCellMetadata,
]
c.Autograde.autograde_preprocessors = [
    IsolatedExecute, IgnorePattern, ClearMetadataPreprocessor, LimitOutput, SaveAutoGrades, AssignLatePenalties,
    CheckCellMetadata,
]
c.HTMLExporter.preprocessors = [WithoutHiddenTests]  # feedback

c.IsolatedExecute.timeout = 300  # seconds for a cell
c.IsolatedExecute.seconds = 1800  # for a submission
c.IsolatedExecute.call_seconds = 60  # for one call of an exercise's function
'''


def lesson_names(wanted: list[str]) -> list[str]:
    return [path.stem for path in build_lessons.find_sources(wanted, ROOT / "notebooks" / "source")]


def nbgrader(course: Path, *arguments: str, seconds: float = 600) -> tuple[int, str]:
    """Run one of nbgrader's commands in the course's folder; its exit status (124: too long), and what it said."""
    env = dict(os.environ)
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])  # alembic's place
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    env |= {"JUPYTER_PREFER_ENV_PATH": "1", "JUPYTER_PLATFORM_DIRS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=seconds)
        return process.returncode, said.decode(errors="replace")
    except subprocess.TimeoutExpired:
        return 124, "it took too long and was ended"
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            jail.end_all(jail.user_of(process.pid))


def make(course: Path, lessons: list[str]) -> int:
    """nbgrader's source tree with hidden tests, and from it, by nbgrader, the release versions."""
    course.mkdir(parents=True, exist_ok=True)
    course.chmod(0o700)  # sources, gradebook and submissions are nobody else's business
    config = course / "nbgrader_config.py"
    if not config.exists():
        build_lessons.put(config, CONFIG.format(stub=build_lessons.STUB, text=build_lessons.TEXT_STUB).encode())
    status = 0
    for name in lessons:
        nb = build_lessons.read_source(ROOT / "notebooks" / "source" / f"{name}.py")
        source = build_lessons.for_nbgrader(with_hidden_tests(nb), name)
        target = course / "source" / name / f"{name}.ipynb"
        if build_lessons.write(target, source) != target:
            continue  # a teacher's own source stands there, and says so
        code, said = nbgrader(course, "generate_assignment", name, "--create", "--force")
        print(
            f"{name}: release/{name}" if code == 0 else f"{name}: nbgrader could not make the release version.\n{said}"
        )
        status |= code != 0
    return int(status)


def grade(course: Path, lesson: str, again: bool, seconds: float, options: list[str]) -> int:
    """nbgrader autograde for each submission that has no marks yet, one process each."""
    students = sorted(path.parent.name for path in course.glob(f"submitted/*/{lesson}"))
    todo = [s for s in students if again or not (course / "autograded" / s / lesson / f"{lesson}.ipynb").exists()]
    print(f"{lesson}: {len(students)} submissions, {len(todo)} to be marked, one after the other")
    failed = []
    unread = {s for s in todo if looking.read(course / "submitted" / s / lesson / f"{lesson}.ipynb") is None}
    for student in unread:
        print(f"{student}: there is no notebook of that name, or it cannot be read")
    todo = [s for s in todo if s not in unread]
    for student in tqdm(todo, disable=None, unit="submission"):
        more = [*(["--force"] if again else []), *options]
        code, said = nbgrader(course, "autograde", lesson, "--student", student, *more, seconds=seconds)
        if code != 0:
            failed.append(student)
            log = course / "look" / lesson / f"{student}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(said[-100_000:], encoding="utf-8")
    for student in failed:
        print(f"{student}: nbgrader could not mark it; what it said is in look/{lesson}/{student}.log")
    taken = [set(json.loads(p.read_text())["isolated"]) for p in course.glob(f"look/{lesson}/*.json")]
    if taken:
        print(f"isolated: {', '.join(sorted(set.intersection(*taken))) or 'nothing'}")
    return 0


def look(course: Path, lesson: str) -> int:
    rows = looking.look(course, lesson)
    worth = [row for row in rows if row.why]
    for row in worth:
        marks = "no marks" if row.marks is None else f"{row.marks:g} of {row.of:g}"
        print(f"{row.student} ({marks}): {'; '.join(row.why)}")
    path = course / "look" / f"{lesson}.csv"
    looking.write_csv(rows, path)
    print(f"{lesson}: {len(rows)} students, {len(worth)} need a look; also in {path.relative_to(course)}")
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("command", choices=("make", "grade", "look"))
    parser.add_argument("lessons", nargs="*", help="numbers or names; make takes all without any")
    parser.add_argument("--folder", type=Path, default=ROOT / "classroom", help="the course's folder")
    parser.add_argument("--again", action="store_true", help="grade: also what has marks already")
    parser.add_argument(
        "--seconds", type=float, default=2400, help="grade: for one submission, all of nbgrader included"
    )
    parser.add_argument("--option", action="append", default=[], help="grade: an option for nbgrader, --option=--X=Y")
    args = parser.parse_args(argv)
    course = args.folder.resolve()
    if args.command != "make" and not args.lessons:
        parser.error(f"{args.command} which lesson? For example: {args.command} 00")
    try:
        lessons = lesson_names(args.lessons)
        with jail.ended_with_us():
            if args.command == "make":
                return make(course, lessons)
            status = 0
            for lesson in lessons:
                if args.command == "grade":
                    status |= grade(course, lesson, args.again, args.seconds, args.option)
                else:
                    status |= look(course, lesson)
            return status
    except KeyboardInterrupt:
        print("\nclassroom: stopped. What is marked is kept; the same command goes on.", file=sys.stderr)
        return 130
    except (BuildError, FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
