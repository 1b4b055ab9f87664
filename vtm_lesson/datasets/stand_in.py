"""Stand-ins for LVU, Breakfast and COIN: painted films in each data set's own folders, with lists in its own format.

Whoever has no copy of the real films runs the whole way on these: lists, features, training, evaluation. Class names
and the shape of the lists are the real ones; films, ids and counts are invented. What tells the class is the gesture
that the actor of a painted film shows, so a number reached here says that the way works, and nothing about LVU.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np

from .. import films
from .lists import LVU_TASKS

GESTURES = len(films.GESTURES)
SCENES = ("office", "airport", "school", "hotel", "prison", "restaurant")
ACTIVITIES = ("cereals", "coffee", "tea", "pancake", "friedegg", "scrambledegg", "sandwich", "juice", "milk", "salat")
CAMERAS = ("cam01", "webcam01", "webcam02", "stereo", "cam02")
TASKS = ("MakeCoffee", "ChangeCarTire", "CutMango", "InstallCurtain", "PasteCarSticker", "WashDish")  # of 180
KINDS = ("scene", "like_ratio", "breakfast", "coin")


def stand_in(kind: str, folder: str | Path, films_per_class: int = 12, seed: int = 0, **making) -> tuple[Path, Path]:
    """Write a stand-in for one of the data sets.

    Parameters
    ----------
    kind : str
        "scene" or "like_ratio" (tasks of LVU), "breakfast" or "coin".
    folder : str or Path
        Where to; it is made where it is missing. Films that are there already are not painted again.
    films_per_class : int, optional
        In all splits together.
    seed : int, optional
        Other seeds give other films.
    **making
        frames, size and pace of `films.make`.

    Returns
    -------
    lists, films : Path
        Where the annotation files are, as `lists.lvu`, `lists.breakfast` and `lists.coin` take them; and the films.

    Raises
    ------
    ValueError
        For another kind, or fewer than three films of a class.

    Examples
    --------
    >>> import shutil, tempfile
    >>> from vtm_lesson.datasets.lists import lvu
    >>> from vtm_lesson.datasets.stand_in import stand_in
    >>> home = tempfile.mkdtemp()
    >>> where, videos = stand_in("scene", home, films_per_class=3, frames=4, size=32)
    >>> found = lvu(where, "scene").find(videos)
    >>> len(found), found.classes[:3]
    (18, ('office', 'airport', 'school'))
    >>> shutil.rmtree(home)
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it is one of {', '.join(KINDS)}.")
    if films_per_class < 3:
        raise ValueError(f"films_per_class is {films_per_class}; every split needs one, so give 3 or more.")
    home = Path(folder)
    (home / "lists").mkdir(parents=True, exist_ok=True)
    makers: dict[str, Callable[[], Path]] = {
        "scene": lambda: _scene(home, films_per_class, seed, making),
        "like_ratio": lambda: _like_ratio(home, films_per_class, seed, making),
        "breakfast": lambda: _breakfast(home, films_per_class, seed, making),
        "coin": lambda: _coin(home, films_per_class, seed, making),
    }
    return makers[kind](), home / "videos"


def _scene(home: Path, count: int, seed: int, making: dict) -> Path:
    rows: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for number, name in enumerate(SCENES):
        for i in range(count):
            film = _youtube(seed, "scene", number, i)
            _paint(home / "videos" / f"{film}.mp4", [number], (seed, number, i), making)
            rows[_split(i, count)].append(f"{number} {name} {film} tt{1000 + i:07d}")
    return _lvu(home, "scene", "class_id class_name youtube_id imdb_id", rows)


def _like_ratio(home: Path, count: int, seed: int, making: dict) -> Path:
    """The more likes the later the gesture comes in the list of gestures."""
    rows: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for gesture in range(GESTURES):
        for i in range(count):
            film = _youtube(seed, "like_ratio", gesture, i)
            _paint(home / "videos" / f"{film}.mp4", [gesture], (seed, 100 + gesture, i), making)
            likes = 60 + 5 * gesture
            rows[_split(i, count)].append(f"{likes * 10} {(100 - likes) * 10} {film} tt{1000 + i:07d}")
    return _lvu(home, "like_ratio", "like_count dislike_count youtube_id imdb_id", rows)


def _lvu(home: Path, task: str, head: str, rows: dict[str, list[str]]) -> Path:
    assert task in LVU_TASKS
    for split, lines in rows.items():
        _text(home / "lists" / task / f"{split}.csv", "\n".join([head, *lines]) + "\n")
    return home / "lists"


def _breakfast(home: Path, count: int, seed: int, making: dict) -> Path:
    """Ten activities and eight gestures: the last two show one gesture and then another."""
    rows: dict[str, list[list[object]]] = {"train": [], "test": []}
    for number, name in enumerate(ACTIVITIES):
        gestures = [number] if number < GESTURES else [number - GESTURES, number - GESTURES + 4]
        for i in range(count):
            split = "test" if _split(i, count) == "test" else "train"
            person = f"P{(47 if split == 'test' else 3) + i % 8:02d}"
            camera = CAMERAS[(i // 8 + number) % len(CAMERAS)]
            stem = f"{person}_{name}" + ("_ch0" if camera == "stereo" else "")
            path = home / "videos" / person / camera / f"{stem}.avi"
            _paint(path, gestures, (seed, 200 + number, i), making)
            rows[split].append([f"{person}-{camera}-{person}_{name}", 30 + i, name, number])
    for split, lines in rows.items():
        path = home / "lists" / f"{split}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([["file_name", "duration", "action", "class_id"], *lines])
    return home / "lists"


def _coin(home: Path, count: int, seed: int, making: dict) -> Path:
    database = {}
    for number, name in enumerate(TASKS):
        for i in range(count):
            film = _youtube(seed, "coin", number, i)
            _paint(home / "videos" / str(number) / f"{film}.mp4", [number], (seed, 300 + number, i), making)
            database[film] = {
                "recipe_type": number,
                "subset": "testing" if _split(i, count) == "test" else "training",
                "class": name,
                "duration": 2.0,
                "start": 0.2,
                "end": 1.9,
                "annotation": [{"id": "1", "segment": [0.2, 1.0], "label": "show a gesture"}],
                "video_url": f"invented:{film}",
            }
    _text(home / "lists" / "COIN.json", json.dumps({"database": database}, indent=1) + "\n")
    return home / "lists"


def _split(i: int, count: int) -> str:
    """About three fifths train, a fifth each validates and tests; at least one of each."""
    few = max(1, round(count / 5))
    return "test" if i >= count - few else "val" if i >= count - 2 * few else "train"


def _youtube(*what: object) -> str:
    """Eleven characters that look like YouTube's, and that nothing real bears: they begin with "vtm"."""
    return "vtm" + hashlib.sha256(repr(what).encode()).hexdigest()[:8]


def _paint(path: Path, gestures: Sequence[int], number: tuple[int, int, int], making: dict) -> None:
    """One film, its stretches of equal length showing these gestures; in AVI it is MPEG-4, as Breakfast's films are."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"frames": 12, "size": 64, **making}
    total = settings.pop("frames")
    length = math.ceil(total / len(gestures))
    start = number[0] * 2**24 + number[1] * 2**12 + number[2]
    way = films.WAYS[number[2] % len(films.WAYS)]
    parts = [films.make(start, way, frames=length, label=gesture, **settings).frames for gesture in gestures]
    frames = np.concatenate(parts)[:total]
    fresh = path.with_name(f".{path.stem}.new{path.suffix}")
    if path.suffix == ".avi":
        _write_avi(fresh, frames)
    else:
        films.write(fresh, frames)
    fresh.replace(path)


def _write_avi(path: Path, frames: np.ndarray) -> None:
    """MPEG-4 part 2 without B frames, whose vectors are read as H.264's are."""
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=12, options={"qscale": "3"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.gop_size = len(frames) + 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
