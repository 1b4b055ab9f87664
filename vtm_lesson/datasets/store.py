"""The folder of features on the disk: shards of tensors, an index of them, and what all of it was made with.

    what.json                  the settings and the encoder; others are refused
    shard-NNNNN.safetensors    the tensors of some films, named ID/tokens, ID/motion, ID/vectors
    index.jsonl                a line for each finished shard: its films, its size, its SHA-256
    failed.jsonl               a line for each film that could not be read, and why

A shard is written beside its place and renamed, and only then is its line written. So whatever a killed run leaves, the
next one finds whole shards that the index names, and throws the rest away. One process writes: the one that called
`features`, whoever decodes and encodes for it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..training.checkpoints import FileError, beside, sweep, write

WHAT, INDEX, FAILED = "what.json", "index.jsonl", "failed.jsonl"
# What folders of features say nothing of that are older than the setting: it was this.
BEFORE: dict[str, Any] = {"window": 0.0}


class StoreError(ValueError):
    """A folder of features that does not fit: the message says what is there, and what to do."""


class FeatureStore:
    """The folder of features: what is finished, and where.

    Parameters
    ----------
    folder : Path
        It is made where it is missing.
    what : dict
        "settings" (a dict), "encoder", "input" (pixels of a side of what it sees, or None), "format": what features
        are made with. Small values that JSON can hold.

    Attributes
    ----------
    places : dict
        Film -> the shard that holds it.
    failed : dict
        Film -> why it could not be read.

    Raises
    ------
    StoreError
        Where the folder holds features of another kind, or something in it is damaged.
    """

    def __init__(self, folder: Path, what: Mapping[str, Any]):
        self.folder = folder
        self.places: dict[str, Path] = {}
        self.failed: dict[str, str] = {}
        self.next = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder} cannot be a folder of features ({error.strerror}): give another one.") from None
        self._agree(what)
        for line in _lines(folder / INDEX, mend=True):
            path = folder / line["shard"]
            if not path.is_file() or path.stat().st_size != line["bytes"]:
                raise StoreError(
                    f"{path} is missing or has another size than when it was made: delete {folder / INDEX}."
                )
            self.places |= dict.fromkeys(line["films"], path)
            self.next = max(self.next, int(path.stem.split("-")[1]) + 1)
        self.failed = {line["film"]: line["why"] for line in _lines(folder / FAILED, mend=True)}
        named = {path.name for path in self.places.values()}
        for path in (*folder.glob("shard-*.safetensors"), *folder.glob("shard-*.new")):
            if path.name not in named:  # a run was killed before it could name it
                path.unlink()
        for name in (WHAT, INDEX, FAILED):
            sweep(folder / name)

    def _agree(self, what: Mapping[str, Any]) -> None:
        path = self.folder / WHAT
        if not path.exists():
            with beside(path) as fresh:
                fresh.write_text(json.dumps(what, indent=1) + "\n", encoding="utf-8")
            return
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
            old = {**BEFORE, **there["settings"], "encoder": there["encoder"], "format": there["format"]}
            old["input"] = there.get("input", what.get("input"))
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{path} is damaged: give another folder, or delete this one.") from None
        new = {**what["settings"], **{name: what.get(name) for name in ("encoder", "format", "input")}}
        changed = [f"{name} {old.get(name)} -> {new[name]}" for name in new if old.get(name) != new[name]]
        if changed:
            raise StoreError(
                f"{self.folder} holds features of another kind ({', '.join(changed)}); give another folder."
            )

    def add(self, films: Mapping[str, Mapping[str, Tensor]]) -> int:
        """Write a shard, and then its line; returns its bytes."""
        path = self.folder / f"shard-{self.next:05d}.safetensors"
        write(path, {f"{film}/{name}": value for film, own in films.items() for name, value in own.items()}, {})
        with path.open("rb") as file:
            os.fsync(file.fileno())  # a power cut must not leave a line without its shard
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = path.stat().st_size
        _append(self.folder / INDEX, {"shard": path.name, "bytes": size, "sha256": digest, "films": list(films)})
        self.places |= dict.fromkeys(films, path)
        self.next += 1
        return size

    def fail(self, film: str, why: str) -> None:
        """Note a film that cannot be read."""
        self.failed[film] = why
        _append(self.folder / FAILED, {"film": film, "why": why})


def known(folder: str | Path) -> set[str]:
    """The films that a folder of features holds, or could not read; none where there is no such folder.

    Parameters
    ----------
    folder : str or Path
        Of features. Nothing in it is changed.

    Returns
    -------
    set of str
        Their ids.
    """
    films = {film for line in _lines(Path(folder) / INDEX) for film in line["films"]}
    return films | {line["film"] for line in _lines(Path(folder) / FAILED)}


def verify(folder: str | Path) -> list[str]:
    """Read every shard of a folder of features, and name those that are not as they were written.

    Parameters
    ----------
    folder : str or Path
        Of features.

    Returns
    -------
    list of str
        A sentence for each damaged shard; empty where all is well.
    """
    wrong = []
    for line in _lines(Path(folder) / INDEX):
        path = Path(folder) / line["shard"]
        try:
            with path.open("rb") as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == line["sha256"]
        except OSError as error:
            wrong.append(f"{path}: {error.strerror or error}")
            continue
        if not same:
            wrong.append(f"{path} is not as it was written ({len(line['films'])} films)")
    return wrong


def _append(path: Path, record: dict[str, Any]) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise FileError(
            f"{path} cannot be written ({error.strerror}): mend that, and start again; what is finished stays."
        ) from error


def _lines(path: Path, mend: bool = False) -> list[dict[str, Any]]:
    """The records of a file to which lines are appended, but for a last line that is not whole. mend: it is cut off."""
    if not path.exists():
        return []
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}): see who may read it.") from error
    whole = data[: data.rfind(b"\n") + 1]
    if mend and whole != data:
        with beside(path) as fresh:
            fresh.write_bytes(whole)
    fields = {"film", "why"} if path.name == FAILED else {"shard", "bytes", "sha256", "films"}
    try:
        records = [json.loads(line) for line in whole.splitlines()]
        if all(fields <= record.keys() for record in records):
            return records
    except (ValueError, AttributeError):
        pass
    raise StoreError(f"{path} is damaged: delete it, and what it names is made again.")
