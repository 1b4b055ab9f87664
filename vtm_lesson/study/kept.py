"""What a study keeps as it goes: a file with its settings in the first line, then one line for each result.

Stopped at any moment, a study finds its finished results here and carries on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..training.checkpoints import FileError


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
