"""An answer put before its check, and the answers of somebody else's file or notebook, in a process of its own.

A file of answers is run as Python runs it. Of a notebook only what an answer can need is run: imports, functions,
classes, plain constants, what `mine()` hands out, and the cells that are the learner's; no training, no figure.

    python -m vtm_lesson.teaching.judging FILE EXERCISE ...      # what `judged_apart` starts; one line of JSON each
"""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib
import io
import json
import linecache
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from .. import paths
from . import work
from .comparing import STOPS, error_text
from .contents import LESSONS
from .exercise import Exercise

try:
    import resource
except ImportError:  # there is none on Windows
    resource = None  # type: ignore[assignment]

GRADING = "NBGRADER_EXECUTION"  # while it is set a check raises its message, gives no hints and records nothing
CHANGED = "your function changed its input; work on a copy."  # a mistake that every check names by itself
STARTING = 60.0  # seconds in which torch is imported, at most
DEATHS = 4  # processes that one submission may kill or hang before the rest of it is left alone
ROOM = 4 << 30  # bytes of memory beyond what the process has when it begins
LARGEST_FILE = 16 << 20


class Verdict(NamedTuple):
    """What became of one answer.

    kind: "right"; "open" (not solved yet) or "missing" (there is no such function); "named" (a known mistake, or what
    a judge finds) or "wrong"; "stopped" (it raised), "slow" (stopped by the clock) or "crashed" (it ended Python).
    words: what is wrong, in a line. text: all that the check says.
    """

    exercise: str
    kind: str
    words: str = ""
    text: str = ""


def exercise_of(name: str) -> Exercise:
    """The check of that name; `checks`, where learners find it, is a floor above."""
    file = next(file for file, names in LESSONS.values() if name in names)
    return getattr(importlib.import_module(f".{file}", __package__), name)


def judged(exercise: Exercise, function: Callable) -> str | None:
    """What the check says of a function while one grades, word for word; None if it takes it.

    Examples
    --------
    >>> from vtm_lesson import checks
    >>> from vtm_lesson.teaching.judging import judged
    >>> judged(checks.alternate, checks.alternate.answer) is None
    True
    """
    before = os.environ.get(GRADING)
    os.environ[GRADING] = "autograde"
    try:
        with warnings.catch_warnings():  # some run under settings that make warnings errors
            warnings.simplefilter("ignore")
            exercise(function)
    except AssertionError as error:
        return str(error)
    finally:
        if before is None:
            os.environ.pop(GRADING, None)
        else:
            os.environ[GRADING] = before
    return None


def verdict(name: str, names: dict[str, Any], note: str | None = None) -> tuple[Verdict, Exercise]:
    """The verdict on an exercise's function among these names, and the check that gave it.

    note: why not all of the file ran, for a function that is not there.
    """
    exercise = copy.copy(exercise_of(name))  # a copy: a check counts hints, and knows the last failure
    if name not in names:
        words = note or f"there is no function {name}"
        return Verdict(name, "stopped" if note else "missing", words, f"✗ {name}: {words}"), exercise
    with contextlib.redirect_stdout(io.StringIO()) if os.environ.get(GRADING) else contextlib.nullcontext():
        text = judged(exercise, names[name])
    return _verdict(exercise, text), exercise


def _verdict(exercise: Exercise, text: str | None) -> Verdict:
    name = exercise.name
    if text is None:
        return Verdict(name, "right")
    first = re.sub(rf"^[✗…] {name}(, called several times)?[,:]? ?", "", text.splitlines()[0])
    if text.startswith("…"):
        return Verdict(name, "open", re.split(r"[.:](?: |$)", first)[0].removeprefix("is "), text)
    words = next((words for words, _ in exercise.mistakes if words in text), CHANGED if CHANGED in text else None)
    if words is not None:
        return Verdict(name, "named", words, text)
    if "your function stopped with" in first:
        return Verdict(name, "stopped", first, text)
    says_why = exercise.judge is not None  # a judge says by itself which demand is not met
    return Verdict(name, "named" if says_why else "wrong", first.split(": ", 1)[-1] if says_why else first, text)


# ---------------------------------------------------------------------------------------------- the answers in a file


def answers_in(path: Path) -> tuple[dict[str, Any], str | None]:
    """The names that a file of answers or a lesson's notebook defines, and why not all of it ran (None: all did)."""
    text = path.read_text(encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _of_notebook(text, path) if path.suffix == ".ipynb" else _of_file(text, path)


def _of_file(text: str, path: Path) -> tuple[dict[str, Any], str | None]:
    names: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    return names, _run(text, str(path), names)


def _of_notebook(text: str, path: Path) -> tuple[dict[str, Any], str | None]:
    nb = work.parse(text.encode())
    if nb is None:
        return {}, f"{path.name} is no notebook"
    here = LESSONS.get(path.stem, ("", ()))[1]
    # What earlier lessons asked for, as a lesson begins with it: the package's.
    known = [name for _, names in LESSONS.values() for name in names if name not in here]
    names: dict[str, Any] = {"__name__": "__main__", **{name: exercise_of(name).answer for name in known}}
    asked, note = {id(cell) for cell in work.exercise_cells(nb).values()}, None
    for number, cell in enumerate(nb["cells"]):
        if cell["cell_type"] != "code":
            continue
        source = re.sub(r"^[%!].*$", "", cell["source"], flags=re.MULTILINE)  # IPython's own commands
        if id(cell) in asked:
            note = _run(source, f"cell {number}", names) or note
        else:
            with contextlib.suppress(SyntaxError):
                for part in filter(_is_needed, ast.parse(source).body):
                    _run(ast.unparse(part), f"cell {number}", names)
    return names, note


def _is_needed(part: ast.stmt) -> bool:
    """Whether an answer may need what this defines, and running it costs nothing."""
    if isinstance(part, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)):
        return True
    if not isinstance(part, (ast.Assign, ast.AnnAssign)) or part.value is None:
        return False
    calls = [call for call in ast.walk(part.value) if isinstance(call, ast.Call)]
    return all(isinstance(call.func, ast.Attribute) and call.func.attr == "mine" for call in calls)


def _run(text: str, file: str, names: dict[str, Any]) -> str | None:
    """Run Python text in these names; why it stopped, in words, or None."""
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    try:
        exec(compile(text, file, "exec"), names)
    except SyntaxError as error:
        return f"{Path(file).name} is no Python, line {error.lineno}: {error.msg}"
    except KeyboardInterrupt:
        raise
    except STOPS as error:
        line = error.__traceback__ and error.__traceback__.tb_next
        place = f", line {line.tb_lineno}" if line else ""
        return f"{Path(file).name} stopped{place} with {error_text(error)}"
    return None


# -------------------------------------------------------------------------------------------- in a process of its own


def judged_apart(path: Path, names: Sequence[str], seconds: float = 20.0) -> list[Verdict]:
    """The verdicts on a file or notebook that somebody else wrote, each exercise within so many seconds.

    The file runs in a process of its own, in an empty folder, with limits of memory, of processor time and of what a
    file may hold; the clock ends it with all that it started. That keeps a class's report going when one submission
    hangs or crashes. It is no wall: such a process may read what you may read, can reach the network, and
    could give itself marks.
    """
    path, found, left, deaths = path.resolve(), dict[str, Verdict](), list(names), 0
    while left:
        fresh, at, why = _attempt(path, left, seconds)
        found |= fresh
        left = [name for name in left if name not in found]
        if not left:
            break
        deaths += 1
        if at is None or deaths > DEATHS:
            where = f"{path.name} as a whole {why}" if at is None else "not tried, as others before it hung or crashed"
            kind = "slow" if at is None and "longer" in why else "crashed"
            found |= {name: Verdict(name, kind, where) for name in left}
            break
        found[at] = Verdict(at, "slow" if "longer" in why else "crashed", f"your function {why}")
        left.remove(at)
    return [found[name] for name in names]


def _attempt(path: Path, names: Sequence[str], seconds: float) -> tuple[dict[str, Verdict], str | None, str]:
    """Verdicts until the process ends, the exercise it was at then (None: at none yet), and how it ended."""
    keep = ("PATH", "SYSTEMROOT", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
    env = {key: value for key, value in os.environ.items() if key in keep}
    found: dict[str, Verdict] = {}
    at = None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        env |= {"PYTHONPATH": str(paths.PACKAGE.parent), "HOME": folder, GRADING: "autograde", "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "vtm_lesson.teaching.judging", str(path), *names],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder, env=env,
            start_new_session=True, text=True, encoding="utf-8", errors="replace",
        )  # fmt: skip
        try:
            ended = False
            for line in _lines(process, STARTING + seconds, seconds):
                ended = line is None
                if line is None:
                    break
                said = _said(line)
                if isinstance(said, str):
                    at = said if said in names else at
                elif said is not None and said.exercise in names:
                    found[said.exercise] = said
            why = f"took longer than {seconds:g} s" if ended else "ended Python"
        finally:
            _kill(process)
    return found, at, why


def _said(line: str) -> Verdict | str | None:
    """A line of `main`: a verdict, or the name of the exercise that comes next."""
    try:
        said = json.loads(line)
        return said if isinstance(said, str) else Verdict(*map(str, said))
    except (ValueError, TypeError):
        return None


def _lines(process: subprocess.Popen[str], first: float, seconds: float) -> Iterator[str | None]:
    """What the process says, line by line; None, as the last, when it says nothing for too long."""
    said: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None

    def listen(stream: IO[str]) -> None:
        with stream:
            for line in stream:
                said.put(line)
        said.put("")

    threading.Thread(target=listen, args=(process.stdout,), daemon=True).start()
    patience = first
    while True:
        try:
            line = said.get(timeout=patience)
        except queue.Empty:
            yield None
            return
        if not line:
            return
        yield line
        patience = seconds


def _kill(process: subprocess.Popen[str]) -> None:
    """The process, and all that it started."""
    with contextlib.suppress(OSError):
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _limit(seconds: float) -> None:
    if resource is None:
        return
    pages = Path("/proc/self/statm")
    limits = {resource.RLIMIT_CPU: int(seconds), resource.RLIMIT_FSIZE: LARGEST_FILE, resource.RLIMIT_CORE: 0}
    if pages.exists():
        limits[resource.RLIMIT_AS] = int(pages.read_text().split()[0]) * resource.getpagesize() + ROOM
    for which, most in limits.items():
        hard = resource.getrlimit(which)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))


def main(argv: Sequence[str] | None = None) -> int:
    """Judge the exercises of a file; what it prints itself goes nowhere."""
    import torch

    file, *names = sys.argv[1:] if argv is None else argv
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    torch.set_num_threads(1)
    exercises = [exercise_of(name) for name in names]  # loaded before there are limits
    _limit(600 + 20 * len(exercises))
    found, note = answers_in(Path(file))
    for name in names:
        for said in (lambda name=name: name, lambda name=name: verdict(name, found, note)[0]):
            out.write(json.dumps(said()) + "\n")
            out.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
