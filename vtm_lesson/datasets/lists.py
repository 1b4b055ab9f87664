"""Lists of labelled films: LVU, Breakfast, COIN, or a folder of your own.

    films = lvu("lvu_1.0", "scene")          # what the list says: 763 films, six classes, three splits
    found = films.find("videos")             # which of them are on the disk
    print(found.summary())

Nothing is decoded here. Films that are missing are expected (many are gone from the web): they are counted and listed.
A list that is not in its format is refused with the file and the line. Label conventions: those of the public code
that the long-form papers share; see each reader.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

SPLITS = ("train", "val", "test")
SUFFIXES = frozenset((".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".3gp", ".wmv"))

LVU_CLASSES = ("relationship", "way_speaking", "scene", "director", "genre", "writer", "year")
LVU_TASKS = (*LVU_CLASSES, "like_ratio", "view_count")
# What is taken from a value, so that it is about zero in the mean: as the public long-form code has it.
LIKE_RATIO_OFFSET = 9.138220535629456
VIEW_COUNT_OFFSET = 11.76425435683139


class ListError(ValueError):
    """A list that cannot be read: the message names the file, the line, what is there and what belongs there."""

    def __init__(self, message: str):
        # A file that is no list may be one line of a million letters, which the message would show.
        super().__init__(message if len(message) <= 1000 else f"{message[:600]} ... {message[-200:]}")


@dataclass(frozen=True)
class Entry:
    """One film of a list.

    Attributes
    ----------
    id : str
        What the list calls it; unique in the list.
    label : int or float
        The number of its class, 0 ... classes - 1; or its value.
    split : str
        "train", "val" or "test"; "" where the list has no splits.
    group : str
        What a fair split keeps together: the feature film a clip is of, the person who cooks; "" where unknown.
    file : Path, optional
        Where the film lies; None before it was looked for, or where it is missing.
    """

    id: str
    label: int | float
    split: str = ""
    group: str = ""
    file: Path | None = None


@dataclass(frozen=True)
class VideoList:
    """Films with labels, as a list names them.

    Attributes
    ----------
    name : str
        The data set and the task.
    entries : tuple of Entry
        In the order of the list.
    classes : tuple of str
        The names of the classes, in the order of the labels; empty where labels are values.
    missing : tuple of Entry
        Films that `find` did not find.
    """

    name: str
    entries: tuple[Entry, ...]
    classes: tuple[str, ...] = ()
    missing: tuple[Entry, ...] = ()
    where: Callable[[Path], str] | None = None  # a film's path below the folder -> the id that it may have

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def task(self) -> str:
        """ "class" (cross-entropy, accuracy) or "value" (squared error): what `Recipe` calls the task."""
        return "class" if self.classes else "value"

    def split(self, name: str) -> VideoList:
        """The films of one split."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.split == name))

    def counts(self) -> dict[str, dict[str, int]]:
        """Split -> class -> films; for values, split -> "films" -> films."""
        table: dict[str, dict[str, int]] = {}
        for split in dict.fromkeys(entry.split for entry in self.entries):
            own = [entry for entry in self.entries if entry.split == split]
            number = Counter(entry.label for entry in own)
            table[split] = {c: number[i] for i, c in enumerate(self.classes)} if self.classes else {"films": len(own)}
        return table

    def find(self, folder: str | Path) -> VideoList:
        """Look for the films below a folder, however they are sorted into folders there.

        Parameters
        ----------
        folder : str or Path
            Where the films are.

        Returns
        -------
        VideoList
            The films that are there, each with its `file`; the others are its `missing`.

        Raises
        ------
        ListError
            Where the folder is none, or two of its files could be the same film.
        """
        files: dict[str, Path] = {}
        wanted = {entry.id for entry in self.entries}
        for path in _films_below(Path(folder)):
            key = self.where(path.relative_to(folder)) if self.where else path.stem
            if key not in wanted:
                continue
            if key in files and _is_second_channel(path, files[key]):
                continue
            if key in files:
                raise ListError(f"{files[key]} and {path} could both be {key}: leave one of them in {folder}.")
            files[key] = path
        here = tuple(replace(entry, file=files[entry.id]) for entry in self.entries if entry.id in files)
        gone = tuple(entry for entry in self.entries if entry.id not in files)
        return replace(self, entries=here, missing=gone)

    def summary(self) -> str:
        """How many films there are, by split, and how many are missing, in a few lines."""
        lines = [f"{self.name}: {len(self)} films" + (f", {len(self.classes)} classes" if self.classes else "")]
        lost = Counter(entry.split for entry in self.missing)
        for split, row in self.counts().items():
            parts = ", ".join(f"{name} {number}" for name, number in row.items()) if self.classes else ""
            gone = f" ({lost[split]} missing)" if lost[split] else ""
            lines.append(f"  {split or 'all'}: {sum(row.values())}{gone}{': ' if parts else ''}{parts}")
        if self.missing:
            shown = ", ".join(entry.id for entry in self.missing[:5])
            more = ", ..." if len(self.missing) > 5 else ""
            lines.append(f"  missing: {len(self.missing)} of {len(self) + len(self.missing)} ({shown}{more})")
        return "\n".join(lines)


# ---------------------------------------------------------------------------------------------------------- the readers


def lvu(folder: str | Path, task: str) -> VideoList:
    """One of the nine tasks of LVU (Wu and Kraehenbuehl, CVPR 2021).

    Class numbers of a list may have gaps (director and writer do): labels count the classes that occur, in the order
    of their numbers. like_ratio is 10 likes / (likes + dislikes) and view_count the logarithm of the views, less a
    constant each.

    Parameters
    ----------
    folder : str or Path
        It holds a folder for each task, with train.csv, val.csv and test.csv.
    task : str
        One of LVU_TASKS.

    Returns
    -------
    VideoList
        Films by their YouTube ids; groups are the feature films (IMDb ids).

    Raises
    ------
    ListError
        For another task, a missing file, and lines that are not as they should be.
    """
    if task not in LVU_TASKS:
        raise ListError(f"LVU has no task {task!r}; it has {', '.join(LVU_TASKS)}.")
    values = task not in LVU_CLASSES
    head = {"like_ratio": "like_count dislike_count", "view_count": "view_count"}.get(task, "class_id class_name")
    columns = (*head.split(), "youtube_id", "imdb_id")
    rows = [row for split in SPLITS for row in _rows(Path(folder) / task / f"{split}.csv", columns, " ", split)]
    if values:
        label = _like_ratio if task == "like_ratio" else _view_count
        entries = [Entry(row["youtube_id"], label(row), row.split, row["imdb_id"]) for row in rows]
        return VideoList(f"LVU {task}", _unique(entries, rows))
    numbers, names = _classes(rows, "class_id", "class_name")
    entries = [Entry(row["youtube_id"], numbers[row["class_id"]], row.split, row["imdb_id"]) for row in rows]
    return VideoList(f"LVU {task}", _unique(entries, rows), names)


def breakfast(folder: str | Path) -> VideoList:
    """The ten activities of Breakfast (Kuehne et al., CVPR 2014); persons 3 to 46 train, 47 to 54 test.

    Parameters
    ----------
    folder : str or Path
        It holds train.csv and test.csv.

    Returns
    -------
    VideoList
        Films by names such as P03-cam01-P03_cereals, found as P03/cam01/P03_cereals.avi, too, and for "stereo" as
        P03/stereo/P03_cereals_ch0.avi (or _ch1.avi, where only that is there); groups are the persons.

    Raises
    ------
    ListError
        As `lvu`.
    """
    columns = ("file_name", "duration", "action", "class_id")
    rows = [row for split in ("train", "test") for row in _rows(Path(folder) / f"{split}.csv", columns, ",", split)]
    numbers, names = _classes(rows, "class_id", "action")
    entries = []
    for row in rows:
        if not re.fullmatch(r"P\d+-\w+-P\d+_\w+", row["file_name"]):
            raise row.error(f"file_name is {row['file_name']!r}; it should be like P03-cam01-P03_cereals")
        group = row["file_name"].split("-")[0]
        entries.append(Entry(row["file_name"], numbers[row["class_id"]], row.split, group))
    return VideoList("Breakfast", _unique(entries, rows), names, where=_breakfast_id)


def coin(path: str | Path) -> VideoList:
    """The 180 tasks of COIN (Tang et al., CVPR 2019), from its COIN.json; the label is the recipe_type.

    Parameters
    ----------
    path : str or Path
        The file; or the folder that holds it as COIN.json.

    Returns
    -------
    VideoList
        Films by their YouTube ids.

    Raises
    ------
    ListError
        As `lvu`; the film's id stands in the place of a line.
    """
    path = Path(path)
    path = path / "COIN.json" if path.is_dir() else path
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ListError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        raise ListError(f"{path} is not JSON: {error}.") from None
    films = found.get("database") if isinstance(found, dict) else None
    if not isinstance(films, dict) or not films:
        raise ListError(f'{path} has no "database" with films; COIN.json is {{"database": {{id: ...}}}}.')
    rows = []
    for name, film in films.items():
        if not isinstance(film, dict):
            raise ListError(f"{path}, {name}: {film!r:.40} is no film's record.")
        row = _Row(film, path, name, {"training": "train", "testing": "test"}.get(str(film.get("subset")), ""))
        if not row.split:
            raise row.error(f"subset is {film.get('subset')!r}; it should be training or testing")
        if not isinstance(film.get("class"), str) or not isinstance(film.get("recipe_type"), int):
            raise row.error("class, a text, and recipe_type, a whole number, are needed")
        rows.append(row)
    numbers, names = _classes(rows, "recipe_type", "class")
    entries = [Entry(str(row.line), numbers[row["recipe_type"]], row.split) for row in rows]
    return VideoList("COIN", tuple(entries), names)


def labelled(folder: str | Path, table: str | Path | None = None) -> VideoList:
    """Films of your own: one folder a class, or a csv beside them.

    Parameters
    ----------
    folder : str or Path
        The films. Without a table each folder in it is a class, of the films in it.
    table : str or Path, optional
        A csv with a head: file (a path below the folder) and label; if you like split (train, val or test) and group
        (what must not be in two splits: a person, a day, a source). Labels that are all numbers with a point are
        values; all others are names of classes.

    Returns
    -------
    VideoList
        Films by their paths below the folder, each with its file; those that the table names and the folder lacks
        are missing.

    Raises
    ------
    ListError
        Where there is no film, fewer than two classes, or the table is not as it should be.
    """
    home = Path(folder)
    if table is None:
        paths = [path.relative_to(home) for path in _films_below(home)]
        names = tuple(sorted({path.parts[0] for path in paths if len(path.parts) > 1}))
        if len(names) < 2:
            raise ListError(f"{home} has films in {len(names)} folders; give one folder for each class, or a csv.")
        own = [path for path in paths if len(path.parts) > 1]
        films = [Entry(path.as_posix(), names.index(path.parts[0]), file=home / path) for path in own]
        return VideoList(home.name, tuple(films), names)
    rows = [*_rows(Path(table), ("file", "label"), ",", "", more=("split", "group"))]
    values = all(re.fullmatch(r"[+-]?\d*\.\d+(e[+-]?\d+)?", row["label"], re.IGNORECASE) for row in rows)
    names = () if values else tuple(sorted({row["label"] for row in rows}))
    if not values and len(names) < 2:
        raise ListError(f"{table} has one label only, {names[0]!r}; at least two classes are needed.")
    entries = []
    for row in rows:
        split = row.get("split", "")
        if split not in (*SPLITS, ""):
            raise row.error(f"split is {split!r}; it should be one of {', '.join(SPLITS)}, or empty")
        path = home / row["file"]
        if not path.resolve().is_relative_to(home.resolve()):
            raise row.error(f"{row['file']!r} lies outside of {home}")
        label = float(row["label"]) if values else names.index(row["label"])
        entries.append(Entry(row["file"], label, split, row.get("group", ""), path if path.is_file() else None))
    unique = _unique(entries, rows)
    here, gone = (tuple(entry for entry in unique if (entry.file is not None) == there) for there in (True, False))
    return VideoList(Path(table).stem, here, names, gone)


# --------------------------------------------------------------------------------------------------------- their parts


class _Row(Mapping[str, Any]):
    """A line of a list by the names of its columns, and where it stands."""

    def __init__(self, values: Mapping[str, Any], path: Path, line: int | str, split: str):
        self.values_by_name, self.path, self.line, self.split = dict(values), path, line, split

    def __getitem__(self, column: str) -> Any:
        return self.values_by_name[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    @property
    def place(self) -> str:
        return f"{self.path}, {'line ' if isinstance(self.line, int) else ''}{self.line}"

    def error(self, what: str) -> ListError:
        return ListError(f"{self.place}: {what}.")

    def whole(self, column: str) -> int:
        if not re.fullmatch(r"\d{1,18}", self[column]):
            raise self.error(f"{column} is {self[column]!r}; it should be a whole number, 0 or more")
        return int(self[column])


def _rows(path: Path, columns: Sequence[str], between: str, split: str, more: Sequence[str] = ()) -> Iterator[_Row]:
    """The lines of a table with a head of these columns, and perhaps `more`, in any order."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ListError(f"{path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise ListError(f"{path} is no text in UTF-8: {error.reason} at byte {error.start}.") from None
    # A line is a line: a quote that is never closed must not swallow the rest of the file.
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) < 2:
        has = f"{len(lines)} line{'s' * (len(lines) != 1)}"
        raise ListError(f"{path} has {has}; a head and a line for each film are needed.")
    table = [(number, _cells(line, between)) for number, line in lines]
    (first, head), body = table[0], table[1:]
    lacking = [column for column in columns if column not in head]
    strange = [column for column in head if column not in (*columns, *more)]
    if lacking or strange or len(set(head)) < len(head):
        wanted = " ".join(columns) + (f" (and {' '.join(more)})" if more else "")
        raise ListError(f"{path}, line {first}: the head is {' '.join(head)!r}; it should be {wanted!r}.")
    for number, cells in body:
        if len(cells) != len(head) or not all(cells[head.index(column)] for column in columns):
            raise ListError(f"{path}, line {number}: {cells} does not fit the head {' '.join(head)!r}.")
        yield _Row(dict(zip(head, cells, strict=True)), path, number, split)


def _cells(line: str, between: str) -> list[str]:
    if between == " ":
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line]))]


def _classes(rows: Sequence[_Row], number: str, name: str) -> tuple[dict[Any, int], tuple[str, ...]]:
    """The label of each class number that occurs, and the names in the order of the labels."""
    names: dict[int, str] = {}
    for row in rows:
        key = row[number] if isinstance(row[number], int) else row.whole(number)
        if names.setdefault(key, row[name]) != row[name]:
            raise row.error(f"class {key} is {row[name]!r} here and {names[key]!r} further up")
    order = sorted(names)
    labels: dict[Any, int] = {key: label for label, key in enumerate(order)}
    labels |= {row[number]: labels[int(row[number])] for row in rows}
    return labels, tuple(names[key] for key in order)


def _like_ratio(row: _Row) -> float:
    likes, dislikes = row.whole("like_count"), row.whole("dislike_count")
    if not likes + dislikes:
        raise row.error("no likes and no dislikes: there is no ratio")
    return 10 * likes / (likes + dislikes) - LIKE_RATIO_OFFSET


def _view_count(row: _Row) -> float:
    views = row.whole("view_count")
    if not views:
        raise row.error("view_count is 0, which has no logarithm")
    return math.log(views) - VIEW_COUNT_OFFSET


def _unique(entries: Sequence[Entry], rows: Sequence[_Row]) -> tuple[Entry, ...]:
    """The entries, if each film is there once: one in two splits would be tested on what was trained on."""
    seen: dict[str, _Row] = {}
    for entry, row in zip(entries, rows, strict=True):
        if entry.id in seen:
            raise row.error(f"{entry.id} is there already, in {seen[entry.id].place}")
        seen[entry.id] = row
    return tuple(entries)


def _films_below(folder: Path) -> Iterator[Path]:
    """Every film below a folder, in the order of their names; hidden ones are left out."""
    if not folder.is_dir():
        raise ListError(f"{folder} is no folder of films.")
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Path(place) / name


def _is_second_channel(path: Path, first: Path) -> bool:
    """Whether this is the right eye's film of a stereo pair, whose left eye's is the film."""
    return path.parent == first.parent and path.name == first.name.replace("_ch0.", "_ch1.") != first.name


def _breakfast_id(path: Path) -> str:
    """P03/cam01/P03_cereals.avi -> P03-cam01-P03_cereals. Of a stereo pair one channel stands for the film."""
    stem = re.sub(r"_ch[01]$", "", path.stem)
    return stem if "-" in stem or len(path.parts) < 3 else "-".join((*path.parts[-3:-1], stem))
