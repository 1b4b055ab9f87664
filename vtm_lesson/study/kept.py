"""What a study keeps as it goes: a file with its settings in the first line, then one line for each result.

Stopped at any moment, a study finds its finished results here and carries on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from ..training.checkpoints import FileError

P = TypeVar("P", bound=Any)


class Kept:
    """A file of results that all hang on the same settings. Several processes may add to one file.

    Parameters
    ----------
    path : str or Path
        The file; it and its folder are made where they are missing.
    about : dict
        The settings.

    Raises
    ------
    ValueError
        For a file of other settings, or one that does not begin with settings.
    FileError
        Where it cannot be written, or read.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "results.jsonl"
    >>> Kept(path, {"seeds": 2}).add({"seed": 0, "accuracy": 0.9})
    >>> Kept(path, {"seeds": 2}).read()
    [{'seed': 0, 'accuracy': 0.9}]
    >>> Kept(path, {"seeds": 5})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ... holds a study with another seeds; give another --folder or delete it.
    """

    def __init__(self, path: str | Path, about: Mapping[str, Any]):
        self.path = Path(path)
        wanted = json.loads(json.dumps(about))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists() or self.path.stat().st_size == 0:  # empty: a disk was full
                self._begin(json.dumps({"study": wanted}) + "\n")
            text = self.path.read_text(errors="replace")
        except OSError as error:
            raise FileError(
                f"{self.path} cannot be written or read ({error.strerror}); give another --folder."
            ) from error
        try:
            stored = json.loads(text.partition("\n")[0])["study"]
            changed = [name for name in wanted if stored.get(name) != wanted[name]]
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
            raise ValueError(
                f"{self.path} does not begin with the settings of a study; give another --folder or delete that file."
            ) from None
        if changed:
            raise ValueError(
                f"{self.path} holds a study with another {', '.join(changed)}; give another --folder or delete it."
            )

    def _begin(self, settings: str) -> None:
        """The first line, written elsewhere first: no other process may find, or add to, a part of it."""
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            fresh.write_text(settings)
            with suppress(FileNotFoundError):
                if self.path.stat().st_size > 0:
                    return
                self.path.unlink()
            try:
                os.link(fresh, self.path)
            except FileExistsError:  # another process was first
                return
            except OSError:  # a file system without links
                fresh.replace(self.path)
        finally:
            fresh.unlink(missing_ok=True)

    def read(self) -> list[dict]:
        """Every whole result; a line that was cut off in writing is left out, so its result is made again."""
        found = []
        for line in self.path.read_text(errors="replace").splitlines()[1:]:
            with suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return [record for record in found if isinstance(record, dict)]

    def add(self, record: Mapping[str, Any]) -> None:
        """Keep one more result, as a line that is written at once."""
        try:
            with self.path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                whole = file.read() == b"\n"  # if not, a line was cut off in writing: ours begins a new one
            with self.path.open("ab") as file:
                file.write((("" if whole else "\n") + json.dumps(record) + "\n").encode())
        except OSError as error:
            raise FileError(
                f"{self.path} cannot be written ({error.strerror}): mend that, and give the same command again; it goes"
                " on behind the last result."
            ) from error


class PointResults(Generic[P]):
    """What a folder holds of a study: results.jsonl, a line for each point that is measured.

    A study makes a class of its own, and says in `point` what its points are: a frozen, ordered dataclass, whose fields
    tell a result from all others. Fields with defaults may be missing in a line. Several processes may write to one
    folder.

    Parameters
    ----------
    study : dataclass
        The settings.
    folder : str or Path
        Made where it is missing.

    Raises
    ------
    ValueError, FileError
        As `Kept`.

    Examples
    --------
    >>> import tempfile
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, order=True)
    ... class Point:
    ...     seed: int
    >>> @dataclass(frozen=True)
    ... class Study:
    ...     seeds: int = 2
    >>> class Results(PointResults[Point]):
    ...     point = Point
    >>> folder = tempfile.mkdtemp()
    >>> Results(Study(), folder).keep(Point(1), {"accuracy": 0.9})
    >>> Results(Study(), folder).records()
    [{'seed': 1, 'accuracy': 0.9}]
    """

    point: ClassVar[Any]

    def __init__(self, study: Any, folder: str | Path):
        self.study, self.folder = study, Path(folder)
        self.kept = Kept(self.folder / "results.jsonl", asdict(study))
        self.done: dict[P, dict] = {}
        self.read()

    def read(self) -> dict[P, dict]:
        """What is there by now, from all processes."""
        names = [field.name for field in fields(self.point)]
        for record in self.kept.read():
            values = {name: value for name, value in record.items() if name not in names}
            with suppress(TypeError):  # a line that is no result of this study
                self.done[self.point(**{name: record[name] for name in names if name in record})] = values
        return self.done

    def keep(self, point: P, values: Mapping[str, Any]) -> None:
        """Keep a result, in memory and as a line."""
        self.done[point] = dict(values)
        self.kept.add(self.record(point))

    def record(self, point: P) -> dict[str, Any]:
        """A point and what is known of it, as one record."""
        return asdict(point) | self.done[point]

    def records(self) -> list[dict]:
        """All results, one record each, in an order that does not depend on who was first."""
        return [self.record(point) for point in sorted(self.done)]
