"""The learner's own folder: copies of the lessons to work in, and how the course's changes reach them.

    work/NN_name.ipynb                  the lesson to work in
    work/solved/NN_solved_name.ipynb    the same lesson solved and executed, to read

What a learner wrote is never overwritten. Each copy carries, in its metadata, a digest of all that was written into
it: a file that still matches holds nothing of theirs and is renewed in place. Beside any other the changed lesson
appears as NN_name.new.ipynb, with the learner's answers in it wherever the exercise is still there. A file gets its
name when all of it is on the disk: a copying that is stopped at any moment leaves whole notebooks, and the next one
goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

from .. import paths

STAMP = "vtm_lesson"  # the key in a notebook's metadata; the builder of the lessons uses it in the same way
UNSOLVED = "exercise not solved yet"  # in the code that stands where a learner's answer goes
GUESS = "guess "  # before the id of a cell in which a learner writes what they expect
STATE = ".vtm-work.json"  # marks the folder, and holds which versions were brought there: none is brought twice
LESSON = re.compile(r"(?:\d\d|[A-Z])_\w+")
LINK = re.compile(
    r"""(?P<image>!?)\[(?P<words>[^]]*)\]\((?P<to>[^)\s]+)\)|\b(?P<key>src|href)=(?P<q>["'])(?P<at>.+?)(?P=q)"""
)

Notebook = dict[str, Any]


class Copy(NamedTuple):
    """A file of the learner's folder: its bytes when it was read, and the notebook in them (None: it holds none)."""

    path: Path
    data: bytes | None
    nb: Notebook | None


# ------------------------------------------------------------------------------------------------ notebooks, as JSON


def parse(data: bytes | None) -> Notebook | None:
    """The notebook in these bytes, its texts joined as `nbformat` joins them; None where there is none."""
    try:
        nb = json.loads(data or b"")
        for cell in nb["cells"]:
            cell["source"] = "".join(cell["source"])
            cell.setdefault("metadata", {})
            bundles = [out.get("data", {}) for out in cell.get("outputs", [])] + [*cell.get("attachments", {}).values()]
            for bundle in bundles:
                for kind, value in bundle.items():
                    if not re.fullmatch(r"application/(.*\+)?json", kind):
                        bundle[kind] = "".join(value)
            for out in cell.get("outputs", []):
                if out["output_type"] == "stream":
                    out["text"] = "".join(out["text"])
        return nb if isinstance(nb["metadata"], dict) else None
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ):  # there are many ways to be something else
        return None


def written(nb: Notebook) -> bytes:
    """The notebook as JupyterLab itself would write it."""
    nb = deepcopy(nb)
    for cell in nb["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
    return (json.dumps(nb, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def whole_digest(nb: Notebook) -> str:
    """Of all that a learner may have put into a notebook: cells, outputs, attachments, tags, metadata.

    Left out are our own record, and the two entries that JupyterLab rewrites by itself when it opens a file; nor does
    the layout of the file count. Of a lesson as it was built this is the builder's own digest.
    """
    ours = (STAMP, "kernelspec", "language_info")
    return digest({**nb, "metadata": {key: value for key, value in nb["metadata"].items() if key not in ours}})


def record(nb: Notebook | None) -> dict[str, Any]:
    found = nb["metadata"].get(STAMP) if nb else None
    return found if isinstance(found, dict) else {}


def is_untouched(nb: Notebook | None) -> bool:
    """Whether the file holds just what was written into it; a file that was never ours does not."""
    return nb is not None and record(nb).get("whole") == whole_digest(nb)


def exercise_cells(nb: Notebook) -> dict[str, dict]:
    """The cells that a learner fills in, by the name of their exercise. Of two with one name the later one counts."""
    graders = [(cell["metadata"].get("nbgrader"), cell) for cell in nb["cells"]]
    return {g["grade_id"]: cell for g, cell in graders if isinstance(g, dict) and g.get("solution") and "grade_id" in g}


def cells_to_fill(nb: Notebook) -> dict[str, dict]:
    """The cells that are the learner's to write in: exercises by their names, and guesses by the ids of their cells."""
    guesses = {
        GUESS + cell["id"]: cell
        for cell in nb["cells"]
        if "id" in cell and ("prediction" in cell["metadata"].get("tags", ()) or "checks.predict(" in cell["source"])
    }
    return guesses | exercise_cells(nb)


def answers(nb: Notebook | None) -> dict[str, str]:
    """What a learner wrote into the cells that are theirs: those that are not as they were handed out."""
    handed_out = record(nb).get("stubs", {})
    found = {}
    for name, cell in cells_to_fill(nb).items() if nb else ():
        source = cell["source"]
        asked = UNSOLVED not in source and not name.startswith(GUESS)
        changed = digest(source) != handed_out[name] if name in handed_out else asked
        if changed and source.strip():
            found[name] = source
    return found


# --------------------------------------------------------------------------------------------- the course, as it ships


def places(notebooks: Path) -> dict[Path, str]:
    """Each notebook of the course, and where in the learner's folder its copy goes."""
    sources = notebooks / "source"  # in a checkout; a learner's own notebooks beside the lessons have no source
    found = sorted(sources.glob("*.py") if sources.is_dir() else (notebooks / "exercises").glob("*.ipynb"))
    lessons = [path.stem for path in found if LESSON.fullmatch(path.stem)]
    work = {notebooks / "exercises" / f"{name}.ipynb": f"{name}.ipynb" for name in lessons}
    # The two differ where a narrow tab still shows it.
    read = {notebooks / f"{name}.ipynb": f"solved/{name.replace('_', '_solved_', 1)}.ipynb" for name in lessons}
    return {path: place for path, place in (work | read).items() if path.is_file()}


def shipped(path: Path) -> Notebook | None:
    """The lesson as it was built: at `path`, or beside it where somebody worked in the course's own notebook."""
    beside = sorted(path.parent.glob(f"{path.stem}.new*.ipynb"), key=_number, reverse=True)
    built = (nb for nb in map(parse, map(_read, (path, *beside))) if is_untouched(nb))
    return next(built, None)


def root_of(folder: Path, notebooks: Path | None = None) -> Path:
    """What JupyterLab shows: the checkout, where the learner's folder lies in it; else that folder alone."""
    top = (notebooks or paths.notebooks_path()).resolve().parent
    return top if folder.is_relative_to(top) else folder


def relinked(nb: Notebook, source: Path, place: Path, course: dict[Path, Path], root: Path) -> Notebook:
    """The notebook with its links as they must be at `place`. A link that leaves `root` becomes plain words."""

    def target(link: str) -> str | None:
        if re.match(r"[a-z]+:|#|/", link):
            return link
        path, mark, fragment = link.partition("#")
        found = Path(os.path.normpath(source.parent / path))
        to = course.get(found, found if found.exists() and found.is_relative_to(root) else None)
        return to if to is None else Path(os.path.relpath(to, place.parent)).as_posix() + mark + fragment

    def moved(match: re.Match) -> str:
        old = match["to"] or match["at"]
        new = target(old)
        if match["key"]:
            return f"{match['key']}={match['q']}{new or old}{match['q']}"
        words = new if new and match["words"] == old else match["words"]
        return f"{match['image']}[{words}]({new})" if new else words

    nb = deepcopy(nb)
    for cell in nb["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = LINK.sub(moved, cell["source"])
    return nb


# ---------------------------------------------------------------------------------------------- the learner's folder


def update(folder: Path, notebooks: Path | None = None, say: Callable[[str], None] = print) -> None:
    """Bring the course into a learner's folder, and leave alone all that the learner wrote there.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    notebooks : Path, optional
        The course's notebooks. Default: those of this checkout, or of the installed package.
    say : callable, optional
        Takes each line of what was done. Nothing was changed, nothing is said.

    Raises
    ------
    OSError
        Where something cannot be written. What was there is as it was.
    ValueError
        Where `folder` lies among the course's own notebooks.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     update(Path(folder), say=lambda line: None)
    ...     (Path(folder) / "00_start_here.ipynb").is_file()
    True
    """
    notebooks, folder = (notebooks or paths.notebooks_path()).resolve(), folder.resolve()
    if folder.is_relative_to(notebooks):
        raise ValueError(f"{folder} belongs to the course itself; name another folder for your own copies.")
    (folder / "solved").mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    course, root = places(notebooks), root_of(folder, notebooks)
    at = {source: folder / place for source, place in course.items()}
    before = _read(folder / STATE)
    seen = _seen(before)
    gone = sorted(seen.keys() - set(course.values()))
    first = not seen and not any(map(_copies, at.values()))
    done, lines = {}, []
    for source, place in course.items():
        # An exercise may have come here from a lesson that now has another name, or from a neighbour.
        others = [folder / name for name in (*gone, *course.values()) if name != place and "/" not in name]
        bring = _Bringing(source, folder / place, at, root, None if "/" in place else others)
        done[place], said = bring.at_rest(seen.get(place))
        lines += said
    lines += [f"{name} is no longer in the course; yours stays." for name in gone if "/" not in name]
    if done != seen:
        put(folder / STATE, (json.dumps({"seen": done}, indent=1, sort_keys=True) + "\n").encode(), before)
    if first:
        lines = [f"The course is now in {folder}: work there, and nothing of yours is ever overwritten."]
    for line in lines:
        say(line)


class _Bringing(NamedTuple):
    """One notebook of the course on its way to the learner's folder."""

    source: Path
    target: Path
    course: dict[Path, Path]  # where each notebook goes
    root: Path
    others: list[Path] | None  # the learner's other notebooks to work in; None for one that is only read

    def at_rest(self, seen: str | None) -> tuple[str, list[str]]:
        """Bring it; once more where the learner saved the same file meanwhile. Its version, and what was done."""
        for _ in range(5):
            copies = _copies(self.target)
            own = parse(_read(self.source))
            if not copies and own is not None and not is_untouched(own) and not self.bring_theirs(own):
                continue
            copies = copies or _copies(self.target)
            fresh = shipped(self.source)
            if fresh is None:
                return seen or "", []
            fresh = self.fitted(fresh)
            version = digest([[cell["cell_type"], cell["source"], cell["metadata"]] for cell in fresh["cells"]])
            line = self.bring(fresh, version, copies, seen)
            if line is not None:
                return version, [line] if line else []
        raise OSError(f"{self.target} changes all the time")

    def fitted(self, nb: Notebook) -> Notebook:
        return relinked(nb, self.source, self.target, self.course, self.root)

    def bring_theirs(self, own: Notebook) -> bool:
        """Somebody worked in the course's own notebook: their work goes along, and is theirs here, too."""
        own = self.fitted(own)
        own["metadata"].pop(STAMP, None)
        return put(self.target, written(own), None)

    def bring(self, fresh: Notebook, version: str, copies: list[Copy], seen: str | None) -> str | None:
        """Write it where nothing of the learner's is; returns what was done, None where it must look again."""
        last = copies[-1] if copies else None
        edition = whole_digest(fresh)  # with its stored results, which may be new where no text is
        missing = last is None or copies[0].path != self.target
        same = not missing and (seen == version or any(record(copy.nb).get("version") == version for copy in copies))
        if same and record(last and last.nb).get("edition") in (edition, None):
            return ""
        stubs = {name: digest(cell["source"]) for name, cell in cells_to_fill(fresh).items()}
        carried = self.carry(fresh, copies)
        fresh["metadata"][STAMP] = {"version": version, "edition": edition, "stubs": stubs}
        fresh["metadata"][STAMP]["whole"] = whole_digest(fresh)
        if missing or last is None:
            path, before = self.target, None
        elif is_untouched(last.nb) and answers(last.nb).items() <= carried.items():
            path, before = last.path, last.data
        elif same:
            return ""
        else:
            number = _number(last.path) + 1
            path, before = self.target.with_suffix(f".new{number if number > 1 else ''}.ipynb"), None
        if not put(path, written(fresh), before):
            return None
        return "" if same else _line(self, path, None if missing else last, fresh, carried)

    def carry(self, fresh: Notebook, copies: list[Copy]) -> dict[str, str]:
        """Put the learner's answers into the new notebook, by the exercise's name; returns those that found one."""
        if self.others is None:
            return {}
        known = {
            name: text for path in self.others for copy in _copies(path) for name, text in answers(copy.nb).items()
        }
        for copy in sorted(copies, key=lambda copy: not is_untouched(copy.nb)):  # where they worked last counts most
            known |= answers(copy.nb)
        cells = cells_to_fill(fresh)
        carried = {name: text for name, text in known.items() if name in cells}
        for name, text in carried.items():
            cells[name]["source"] = text
        return carried


def _line(bring: _Bringing, path: Path, last: Copy | None, fresh: Notebook, carried: dict[str, str]) -> str:
    """What was done, in one line."""
    name = bring.target.name if bring.others is not None else f"solved/{bring.target.name}"
    solved = [name for name in carried if not name.startswith(GUESS)]
    guesses = len(carried) - len(solved)
    kept = f" Your answers are in it: {', '.join(solved)}." if solved else ""
    kept += f" Your guesses are in it: {guesses}." if guesses else ""
    if last is None:
        return f"{name}: new here.{kept}"
    old = {cell.get("id") for cell in last.nb["cells"]} if last.nb else set()
    stubs, before = record(fresh)["stubs"], record(last.nb).get("stubs", {})
    exercises = [name for name in stubs if not name.startswith(GUESS)]
    exercises = [name for name in exercises if before.get(name, stubs[name]) != stubs[name] or name not in old]
    cells = sum(cell.get("id") not in {*old, *exercises} for cell in fresh["cells"])
    changes = [f"exercises {', '.join(exercises)}"] * bool(exercises) + [f"{cells} other cells"] * bool(cells)
    what = f"the lesson changed ({' and '.join(changes) or 'a few cells went'})"
    if path == last.path:
        return f"{name}: {what}; {path.name} is renewed, as nothing in it was yours alone.{kept}"
    left = [name for name in answers(last.nb) if name not in carried] if bring.others is not None else []
    guesses = sum(name.startswith(GUESS) for name in left)
    left = [name for name in left if not name.startswith(GUESS)]
    kept += f" Only in the old one, as the exercise went: {', '.join(left)}." if left else ""
    kept += f" Only in the old one, as the question changed: {guesses} of your guesses." if guesses else ""
    return f"{name}: {what}. Yours stays as it is; the new one is beside it, {path.name}.{kept}"


def put(path: Path, data: bytes, before: bytes | None) -> bool:
    """Write a file whole or not at all, and only while it still holds `before` (None: while there is none)."""
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part")  # another lab's has another name
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if os.path.lexists(path) != (before is not None) or _read(path) != before:
            return False
        partial.replace(path)
        return True
    finally:
        partial.unlink(missing_ok=True)


def _copies(target: Path) -> list[Copy]:
    """The learner's files of one lesson, as `target` and its .new ones, in this order."""
    pattern = re.compile(re.escape(target.stem) + r"(\.new\d*)?\.ipynb")
    found = sorted((path for path in target.parent.iterdir() if pattern.fullmatch(path.name)), key=_number)
    read = [(path, _read(path)) for path in found]
    return [Copy(path, data, parse(data)) for path, data in read]


def _number(path: Path) -> int:
    """0 for NAME.ipynb, 1 for NAME.new.ipynb, 2 for NAME.new2.ipynb."""
    match = re.search(r"\.new(\d*)\.ipynb$", path.name)
    return int(match[1] or 1) if match else 0


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:  # not there, or not for us to read: then it is not ours either
        return None


def _seen(state: bytes | None) -> dict[str, str]:
    try:
        return {str(place): str(version) for place, version in json.loads(state or b"")["seen"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):  # without it nothing is lost, and some is said twice
        return {}


def _sweep(folder: Path) -> None:
    """Remove what a copying left that was killed; one at work needs no hour."""
    for partial in (*folder.glob(".*.part"), *folder.glob("solved/.*.part")):
        with contextlib.suppress(FileNotFoundError):  # it has its name by now
            if time.time() - partial.stat().st_mtime > 3600:
                partial.unlink()
