"""What a learner has solved and guessed: kept in a small file in the learner's own folder, and drawn.

The file is `.vtm-progress.json`. Several notebooks may write to it at once, and one may be killed while it writes: the
file is then as it was. Nothing is ever taken out of it, so a later version of the course finds all of it.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import json
import numbers
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from ..paths import PACKAGE, WORK
from .contents import LESSONS

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

FILE = ".vtm-progress.json"
MARK = ".vtm-work.json"  # in a folder that the course made for a learner
LOCK = ".vtm-progress.lock"  # held by the notebook that writes; the file is empty, and stays
NAMES = {"tome": "ToMe", "vit": "ViT", "vtm": "VTM"}  # as they are written, where a file's name has small letters
PATIENCE = 5.0  # seconds to wait for another notebook

Record = dict[str, Any]  # "solved" and "predictions": name -> what is known of it, as JSON holds it
PARTS = ("solved", "predictions")

_session: Record = {}  # what this session recorded and no file has yet
_told: set[str] = set()  # what went wrong with the file is said once


# -------------------------------------------------------------------------------------------------------- what is shown


def progress() -> None:
    """Draw what is solved, lesson by lesson, with the minutes that are left.

    An exercise counts as solved from the first time its check passes.

    Examples
    --------
    >>> from vtm_lesson import checks
    >>> checks.progress()  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
    lesson                         solved               left
    00 start here                  ░░░░░░░░░░  0 of 4   17 min
    ...
    """
    record = _known()
    solved = record.get("solved", {})
    rows, everything = [], []
    for lesson, (file, names) in LESSONS.items():
        if not names:
            continue
        module = importlib.import_module(f".{file}", __package__)
        exercises = [(name in solved, getattr(module, name).minutes) for name in names]
        rows.append((" ".join(NAMES.get(word, word) for word in lesson.split("_")), *_bar(exercises)))
        everything += exercises
    _print_table(("lesson", "solved", "left"), [*rows, ("all lessons", *_bar(everything))])
    known = {name for _, names in LESSONS.values() for name in names}
    others = sorted(solved.keys() - known)
    if others:
        print(f"Solved, too, and not in this version of the course: {', '.join(others)}.")
    if _folder() is None:
        print("This is what was solved since this notebook was started; it is stored only in the course's work folder.")


def predict(question: str, guess: Any) -> None:
    """Record a guess before the result is known; a later guess for the same question takes its place.

    Parameters
    ----------
    question : str
        The question's name: the number of the lesson, then a word.
    guess : float, int, str, or a list of these
        Your guess; NumPy's numbers, arrays and tensors will do. `...` or None stand for none yet.

    Raises
    ------
    TypeError
        Where the question is no text, or the guess nothing that can be written down.

    Examples
    --------
    >>> from vtm_lesson import checks
    >>> checks.predict("00-ratio", 3)
    Your guess for 00-ratio: 3.
    """
    _check_question(question)
    if guess is None or guess is ...:
        print(f"No guess for {question} yet: write it in place of {'the dots' if guess is ... else guess}.")
        return
    plain = _plain(guess)
    before = _known().get("predictions", {}).get(question, {}).get("guess", plain)
    _record("predictions", question, guess=plain)
    print(f"Your guess for {question}: {_shown(plain)}{'' if before == plain else f' (it was {_shown(before)})'}.")


def replay(question: str, result: Any) -> None:
    """Show a guess beside the result, which is recorded with it.

    Parameters
    ----------
    question : str
        As in `predict`.
    result : float, int, str, or a list of these
        What came out.

    Raises
    ------
    TypeError
        As in `predict`.

    Examples
    --------
    >>> from vtm_lesson import checks
    >>> checks.predict("00-ratio", 3)
    Your guess for 00-ratio: 3.
    >>> checks.replay("00-ratio", 6.4)
    00-ratio: your guess was 3, the result is 6.4.
    """
    _check_question(question)
    plain = _plain(result)
    entry = _known().get("predictions", {}).get(question, {})
    if "guess" not in entry:
        print(f"{question}: you made no guess, the result is {_shown(plain)}.")
        return
    _record("predictions", question, result=plain)
    print(f"{question}: your guess was {_shown(entry['guess'])}, the result is {_shown(plain)}.")


def predictions(start: str = "") -> None:
    """Show every guess, and beside it the result where `replay` has told it.

    Parameters
    ----------
    start : str, optional
        Only questions whose name begins so: "00" for those of lesson 00. Default: all.

    Examples
    --------
    >>> from vtm_lesson import checks
    >>> checks.predict("00-ratio", 3)
    Your guess for 00-ratio: 3.
    >>> checks.predictions("00")
    question  your guess  result
    00-ratio  3           not known yet
    """
    found = sorted(_known().get("predictions", {}).items())
    rows = [
        (question, _shown(entry["guess"]), _shown(entry["result"]) if "result" in entry else "not known yet")
        for question, entry in found
        if question.startswith(start) and "guess" in entry
    ]
    if rows:
        _print_table(("question", "your guess", "result"), rows)
    else:
        print('No guess is recorded here yet; checks.predict("00-ratio", 3) records one.')


def record_solved(name: str, code: str = "") -> None:
    """Note that an exercise is solved, since when, and by what text: the one that passed last."""
    before = _known().get("solved", {}).get(name)
    fields = {} if before else {"on": datetime.date.today().isoformat()}
    if code and code != (before or {}).get("code"):
        fields["code"] = code
    if fields:
        _record("solved", name, **fields)


def stored_code(name: str) -> str | None:
    """The text of the learner's own function that passed last; None where none is known."""
    code = _known().get("solved", {}).get(name, {}).get("code")
    return code if isinstance(code, str) else None


def _bar(exercises: Sequence[tuple[bool, int]]) -> tuple[str, str]:
    """The bar and the minutes of some exercises: (solved, minutes) each."""
    done = sum(solved for solved, _ in exercises)
    filled = 10 * done // len(exercises)  # full only when all are solved
    left = sum(minutes for solved, minutes in exercises if not solved)
    return f"{'█' * filled}{'░' * (10 - filled)}  {done} of {len(exercises)}", f"{left} min" if left else ""


def _print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _check_question(question: str) -> None:
    if not isinstance(question, str) or not question.strip():
        raise TypeError(f'The question is a name such as "00-ratio"; {question!r} was given.')


def _plain(value: Any) -> Any:
    """A value as JSON gives it back: numbers, text, and lists of them."""
    try:
        return json.loads(json.dumps(value, default=_as_python))
    except (TypeError, ValueError, RuntimeError):  # of unknown kind, in a circle, a tensor without numbers
        raise TypeError(f"Give a number, a text, or a list of these; this is a {type(value).__name__}.") from None


def _as_python(value: Any) -> Any:
    """A tensor, NumPy's arrays and numbers, fractions."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, numbers.Real):
        return float(value)
    raise TypeError


def _shown(value: Any, most: int = 60) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = ", ".join(map(_shown, value)) if isinstance(value, list) else " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]} …"


# ----------------------------------------------------------------------------------------------------- where it is kept


def _folder() -> Path | None:
    """The learner's folder: the nearest one upwards that is marked, or the checkout's work/; else VTM_WORK, if set."""
    here = Path.cwd().resolve()
    found = next((folder for folder in (here, *here.parents) if _is_learners(folder)), None)
    named = os.environ.get(WORK)
    if found is None and named:
        found = Path(named).expanduser().resolve()
    inside = found is not None and PACKAGE in (found, *found.parents)  # an update replaces the package
    return None if inside else found


def _is_learners(folder: Path) -> bool:
    # Many a folder is named work: only the one beside the package is the course's.
    return (folder / MARK).is_file() or (folder.name == "work" and folder.parent == PACKAGE.parent)


def _is_for_reading(folder: Path) -> bool:
    """Whether this is no notebook to work in: a solved one, which passes by itself, or one that a teacher grades."""
    solved = (folder / "solved", PACKAGE.parent / "notebooks", PACKAGE / "notebooks")
    return bool(os.environ.get("NBGRADER_EXECUTION")) or Path.cwd().resolve() in solved


def _known() -> Record:
    """All that is recorded, stored or not."""
    try:
        folder = _folder()
        return _union(_load(folder) if folder else {}, _session)
    except OSError as error:
        _say_once(f"What you solved and guessed before could not be read ({_reason(error)}).")
        return _union({}, _session)


def _record(part: str, name: str, **fields: Any) -> None:
    """Add to what is known of a name, and store it."""
    _session.update(_union(_session, {part: {name: fields}}))
    try:
        folder = _folder()
        if folder is None or _is_for_reading(folder):
            return
        with _locked(folder):
            stored = _load_or_set_aside(folder)  # another notebook may have written since
            _write(folder, _union(stored, _session))
        _session.clear()
    except OSError as error:
        _say_once(
            f"Your progress could not be stored ({_reason(error)}). All goes on; it is kept until you close this."
        )


def _union(stored: Record, fresh: Record) -> Record:
    """Both, field by field; what is fresh counts where they differ, and what this version does not know stays."""
    both = dict(stored)
    for part in PARTS:
        old, new = stored.get(part, {}), fresh.get(part, {})
        if old or new:
            both[part] = {**old, **{name: {**old.get(name, {}), **fields} for name, fields in new.items()}}
    return both


def _load(folder: Path) -> Record:
    """What is stored. A damaged file is put aside, which takes the lock: another notebook may have mended it."""
    try:
        return _read(folder / FILE)
    except ValueError:
        with _locked(folder):
            return _load_or_set_aside(folder)


def _load_or_set_aside(folder: Path) -> Record:
    """What is stored; call it with the lock held."""
    path = folder / FILE
    try:
        return _read(path)
    except ValueError:
        number = 1
        while (aside := folder / f"{FILE}.damaged{number}").exists():
            number += 1
        path.replace(aside)
        print(f"{FILE} was damaged and is kept as {aside.name}; a new one is begun. Checks that pass again go into it.")
        return {}


def _read(path: Path) -> Record:
    """The record in a file; nothing where there is no file. ValueError where it is not what `_write` writes."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except RecursionError:
        raise ValueError("damaged") from None
    parts = [found.get(part, {}) for part in PARTS] if isinstance(found, dict) else [None]
    if not all(isinstance(part, dict) and all(isinstance(entry, dict) for entry in part.values()) for part in parts):
        raise ValueError("damaged")
    return found


def _write(folder: Path, record: Record) -> None:
    """Write a file beside it, then rename: whoever is killed on the way leaves the old file whole."""
    fresh = folder / f"{FILE}.part"  # one name is enough: only who has the lock writes
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.flush()
        os.fsync(file.fileno())  # a power cut must not leave the new name on an empty file
    fresh.replace(folder / FILE)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One notebook at a time; the next one waits. The lock is the system's: it ends with the process that holds it."""
    with (folder / LOCK).open("a") as file:
        end = time.monotonic() + PATIENCE
        while not _taken(file):
            if time.monotonic() > end:
                raise TimeoutError(f"another notebook has held {LOCK} for {PATIENCE:.0f} s")
            time.sleep(0.01)
        yield


def _taken(file: IO[str]) -> bool:
    """Take the lock; False while another process has it."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks: better to store without one than never
        pass
    return True


def _reason(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _say_once(text: str) -> None:
    if text not in _told:
        _told.add(text)
        print(text)
