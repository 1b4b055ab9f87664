"""Films read and made into features, side by side: `python -m vtm_lesson bench --reading`.

    reading    60 frames of a long film and of a short one: `video.read` with and without motion, PyAV and OpenCV
    features   films a second from files to features on the disk, by encoder and workers, and where the time goes
    memory     what a dry run and the index fill, for a thousand films and for ten thousand

The films are painted here, so that nothing has to be fetched. OpenCV is measured where it is installed.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from tabulate import tabulate

from .. import films, video
from ..datasets.extraction import Settings, features
from ..datasets.lists import VideoList, labelled, lvu
from ..datasets.rehearsal import rehearse
from ..datasets.stand_in import stand_in
from ..datasets.store import FeatureStore, known
from ..encoders import load_encoder
from . import clock

HEIGHT, WIDTH, SIDE, FPS = 360, 640, 224, 25  # of the film, of what is taken from it
FRAMES = 60
READ, READ_MOTION = "video.read, without motion", "video.read, with motion"
DECODE, SEEK = "PyAV, every frame decoded", "PyAV, a seek for each frame"
CV_GRAB, CV_SEEK = "OpenCV, every frame decoded", "OpenCV, a seek for each frame"
ENCODERS = (("patch", 200), ("random:vit_tiny_patch16_224", 24))  # and how many films each gets
QUICK: dict[str, Any] = {
    "lengths": (300, 100), "encoders": (("patch", 12), ("random:vit_tiny_patch16_224", 4)), "sizes": (40, 80),
    "rounds": 1,
}  # fmt: skip


def reading_and_features(
    lengths: tuple[int, int] = (7500, 250),
    encoders: tuple[tuple[str, int], ...] = ENCODERS,
    sizes: tuple[int, int] = (1000, 10000),
    rounds: int = 3,
) -> dict:
    """All three. lengths: frames of the long film and of the short one. sizes: films of a list, for its memory."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        return {
            "what": "films read, and made into features",
            "rounds": rounds,
            "reading": _reading(home, lengths, rounds),
            "features": _features(home, encoders, rounds),
            "memory": _memory(sizes),
        }


# ------------------------------------------------------------------------------------------------------------- reading


def long_film(path: Path, frames: int) -> None:
    """Write a film as common encoders do: H.264, key frames 250 apart at most, B frames.

    Parameters
    ----------
    path : Path
        An mp4.
    frames : int
        Its length; what is painted goes to and fro in it.
    """
    length = min(frames, 125)
    painted = films.make(3, "roaming", frames=length, size=HEIGHT).frames
    wide = np.concatenate([painted, painted[:, :, ::-1]], 2)[:, :, :WIDTH]
    there_and_back = [*range(length), *range(length - 2, 0, -1)] or [0]
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"g": "250", "bf": "3", "preset": "fast"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for i in range(frames):
            picture = np.ascontiguousarray(wide[there_and_back[i % len(there_and_back)]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _reading(home: Path, lengths: tuple[int, int], rounds: int) -> dict:
    cv2 = _opencv()
    rows, told = [], {}
    for name, frames in zip(("long", "short"), lengths, strict=True):
        path = home / f"{name}.mp4"
        long_film(path, frames)
        told[name] = {"frames": frames, "seconds": frames / FPS, "height": HEIGHT, "width": WIDTH}
        taken = min(FRAMES, frames)
        readers: dict[str, Callable[[], np.ndarray]] = {
            READ: partial(_read, path, taken, False),
            READ_MOTION: partial(_read, path, taken, True),
            DECODE: partial(_decode_all, path, frames, taken),
            SEEK: partial(_seek_each, path, frames, taken),
        }
        if cv2 is not None:
            readers[CV_GRAB] = partial(_opencv_all, cv2, path, frames, taken)
            readers[CV_SEEK] = partial(_opencv_each, cv2, path, frames, taken)
        # Whoever is fast with other frames has won nothing: 0 to 255, and scalers differ by a few.
        ours = readers[READ]().astype(np.float32)
        apart = {key: float(np.abs(read().astype(np.float32) - ours).mean()) for key, read in readers.items()}
        times = clock.interleaved(readers, rounds, warmup=0, label=f"reading the {name} film")
        for key in readers:
            rows.append(
                {
                    "film": name, "reader": key, "seconds": clock.spread(times[key]),
                    "over_read": clock.ratio(times, key, READ), "difference": apart[key],
                }
            )  # fmt: skip
    absent = [] if cv2 is not None else ["OpenCV"]
    return {"films": told, "taken": FRAMES, "side": SIDE, "absent": absent, "rows": rows}


def _wanted(frames: int, taken: int) -> list[int]:
    """The frames shown in the middle of equal stretches, as `video.read` takes them."""
    return [int((i + 0.5) * frames / taken) for i in range(taken)]


def _middle(picture: np.ndarray) -> np.ndarray:
    left = (picture.shape[1] - SIDE) // 2
    return picture[:, left : left + SIDE]


def _scaled(frame: av.VideoFrame) -> np.ndarray:
    wide = round(WIDTH * SIDE / HEIGHT)
    return _middle(frame.reformat(wide, SIDE, "rgb24", interpolation="AREA").to_ndarray())


def _read(path: Path, taken: int, motion: bool) -> np.ndarray:
    return video.read(path, taken, SIDE, progress=False, motion=motion).frames


def _decode_all(path: Path, frames: int, taken: int) -> np.ndarray:
    wanted, found = _wanted(frames, taken), {}
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        chosen = set(wanted)
        for i, frame in enumerate(container.decode(video=0)):
            if i in chosen:
                found[i] = _scaled(frame)
    return np.stack([found[i] for i in wanted])


def _seek_each(path: Path, frames: int, taken: int) -> np.ndarray:
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        step = 1 / (FPS * float(stream.time_base or 1))
        for i in _wanted(frames, taken):
            moment = (stream.start_time or 0) + round(i * step)
            container.seek(moment, stream=stream)
            for frame in container.decode(stream):
                if frame.pts is not None and frame.pts >= moment:
                    found.append(_scaled(frame))
                    break
    return np.stack(found)


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        return None
    return cv2


def _opencv_scaled(cv2: Any, picture: np.ndarray) -> np.ndarray:
    small = cv2.resize(picture, (round(WIDTH * SIDE / HEIGHT), SIDE), interpolation=cv2.INTER_AREA)
    return _middle(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))


def _opencv_all(cv2: Any, path: Path, frames: int, taken: int) -> np.ndarray:
    wanted, found, film = _wanted(frames, taken), {}, cv2.VideoCapture(str(path))
    chosen = set(wanted)
    for i in range(frames):
        film.grab()
        if i in chosen:
            found[i] = _opencv_scaled(cv2, film.retrieve()[1])
    film.release()
    return np.stack([found[i] for i in wanted])


def _opencv_each(cv2: Any, path: Path, frames: int, taken: int) -> np.ndarray:
    found, film = [], cv2.VideoCapture(str(path))
    for i in _wanted(frames, taken):
        film.set(cv2.CAP_PROP_POS_FRAMES, i)
        found.append(_opencv_scaled(cv2, film.read()[1]))
    film.release()
    return np.stack(found)


# ------------------------------------------------------------------------------------------------------------ features


def _features(home: Path, encoders: tuple[tuple[str, int], ...], rounds: int) -> dict:
    most = max(count for _, count in encoders)
    settings = Settings(frames=12, size=64, patch=8)
    lists, videos = stand_in("scene", home / "stand_in", films_per_class=max(3, -(-most // 6)), frames=12, size=64)
    every = lvu(lists, "scene").find(videos)
    rows = []
    for name, count in encoders:
        found = VideoList(every.name, every.entries[:count], every.classes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # random weights: that is what they are for here
            encoder = load_encoder(name)
        made: dict[int, list] = {1: [], 2: []}
        for i in range(rounds):
            for workers, runs in made.items():
                out = home / f"features {name.replace(':', ' ')} {workers} {i}"
                run = features(
                    found, out, encoder, settings, workers=workers, progress=False, say=lambda line: None
                )  # fmt: skip
                runs.append(run.costs)
        pace = {workers: [one.films / one.wall for one in runs] for workers, runs in made.items()}
        for workers, runs in made.items():
            rows.append(
                {
                    "encoder": name, "workers": workers, "films": count,
                    "films_per_second": clock.spread(pace[workers]),
                    "over_one_worker": clock.spread([b / a for a, b in zip(pace[1], pace[workers], strict=True)]),
                    "decoding": statistics.median(one.decoding / (one.wall * workers) for one in runs),
                    "encoding": statistics.median(one.encoding / (one.wall * workers) for one in runs),
                    "waiting": statistics.median(one.waiting / one.wall for one in runs),
                    "writing": statistics.median(one.writing / one.wall for one in runs),
                }
            )  # fmt: skip
    return {"settings": vars(settings), "rows": rows}


# -------------------------------------------------------------------------------------------------------------- memory


def dry_run_memory(count: int) -> dict:
    """Look for so many films and rehearse: bytes that this process, one of its own, grew at most."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        made_up(home, count)
        encoder, settings = load_encoder("patch"), Settings(frames=4, size=32, patch=8)
        rehearse(labelled(home / "few").entries, home / "out", encoder, settings)  # what is loaded at first use
        grown, said = clock.peak_resident(
            lambda: rehearse(labelled(home / "films").entries, home / "out", encoder, settings)
        )
    return {"films": count, "bytes": grown, "said": str(said).splitlines()[0]}


def index_memory(count: int) -> dict:
    """Write a shard a film, so many of them, and read the index again: bytes that this process grew at most."""
    what = {"settings": {}, "encoder": "none", "format": 1}

    def run(folder: Path, films_there: int) -> int:
        store = FeatureStore(folder, what)
        for i in range(films_there):
            store.add({f"film {i}": {"tokens": torch.zeros(2, 2, 2, 8, dtype=torch.float16)}})
        return len(known(folder)) + len(FeatureStore(folder, what).places)

    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder) / "few", 4)
        grown, seen = clock.peak_resident(lambda: run(Path(folder) / "many", count))
        assert seen == 2 * count
    return {"films": count, "bytes": grown}


def made_up(home: Path, count: int) -> None:
    """So many films in two folders of `films`, and eight in those of `few`: eight are painted, the others are links.

    Parameters
    ----------
    home : Path
        Where to.
    count : int
        How many.
    """
    for folder, number in (("few", 8), ("films", count)):
        for i in range(number):
            path = home / folder / ("calm", "fight")[i % 2] / f"{i:05d}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            if folder == "few":
                films.write(path, films.make(i, frames=6, size=32, patch=8))
            else:
                os.link(home / "few" / ("calm", "fight")[i % 2] / f"{i % 8:05d}.mp4", path)


def _memory(sizes: tuple[int, int]) -> dict:
    rows = []
    for name, function in (("dry run", dry_run_memory), ("index", index_memory)):
        rows += [{"what": name, **clock.peak_process(function, count=count)} for count in sizes]
    return {"rows": rows}


def text(result: dict) -> str:
    """The tables, as text."""
    reading, made, memory = result["reading"], result["features"], result["memory"]
    shares = ("decoding", "encoding", "waiting", "writing")
    read = [
        (row["film"], row["reader"], clock.words(row["seconds"]), clock.words(row["over_read"]), row["difference"])
        for row in reading["rows"]
    ]
    ran = [
        (row["encoder"], row["workers"], row["films"], clock.words(row["films_per_second"]),
         clock.words(row["over_one_worker"]), *(f"{row[name]:.0%}" for name in shares))
        for row in made["rows"]
    ]  # fmt: skip
    filled = [(row["what"], row["films"], row["bytes"] / clock.MIB) for row in memory["rows"]]
    parts = [
        tabulate(read, ("film", "reader", "seconds", "over the first", "difference of 255"), floatfmt=".2f"),
        *(f"{name} is not installed, and not measured." for name in reading["absent"]),
        tabulate(ran, ("encoder", "workers", "films", "films a second", "over one worker", *shares)),
        tabulate(filled, ("memory of", "films", "MiB"), floatfmt=".1f"),
    ]
    return "\n\n".join(parts)
