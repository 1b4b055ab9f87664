"""From films to tokens, once: decoded in several processes, encoded in one, kept on disk in shards.

    store = features("videos/", "features/")            # decodes and encodes what is not there yet
    store[3]["tokens"], store.ids[3]                    # (L, h, w, C) float16

What lies in the folder of features:

    what.json              the settings that all of it was made with; other settings are refused
    shard-NNNNN.safetensors    the tensors of some films, named ID/tokens, ID/motion, ID/vectors
    index.jsonl            a line for each finished shard: its films, its size, its SHA-256
    failed.jsonl           a line for each film that could not be read, and why

A shard is written beside its place and renamed, and only then is its line written. So whatever a killed run leaves, the
next one finds whole shards that the index names, and throws the rest away. A film is encoded by itself, never in one
batch with another: its tensors do not depend on which other films are there, nor on where a run was stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from tqdm import tqdm

from .. import video
from ..training.checkpoints import write
from .lists import LVU_TASKS, Entry, ListError, VideoList, breakfast, coin, labelled, lvu

SHARD = 256 << 20  # bytes: a killed run loses no more than one shard's films
WHAT, INDEX, FAILED = "what.json", "index.jsonl", "failed.jsonl"
COLUMNS = ("tokens", "motion", "vectors")


class Encoder(Protocol):
    """What turns frames into tokens: a frozen module with `encode`."""

    def encode(self, frames: np.ndarray) -> Tensor:
        """Frames (L, H, W, 3) uint8 -> tokens (L, h, w, C)."""

    def state_dict(self) -> dict[str, Tensor]: ...


class StoreError(ValueError):
    """A folder of features that does not fit: the message says what is there, and what to do."""


@dataclass(frozen=True)
class Settings:
    """How films become features.

    Attributes
    ----------
    frames : int
        L, frames taken evenly from a film.
    size : int
        Pixels of a side of the frame: the short side is scaled to it, and the middle is cut out.
    patch : int
        Pixels of a side of a token: motion is averaged over it.
    motion : bool
        Whether the codec's motion is kept, too. Without it a film is decoded in part only.
    """

    frames: int = 60
    size: int = 224
    patch: int = 14
    motion: bool = True


@dataclass
class Costs:
    """Where the time went: seconds of the main process, of the decoders together, and bytes on the disk."""

    films: int = 0
    wall: float = 0.0
    waiting: float = 0.0  # the encoder waits for a decoder
    encoding: float = 0.0
    writing: float = 0.0
    decoding: float = 0.0  # of all decoders together
    bytes: int = 0
    workers: int = 0

    def summary(self) -> str:
        """The shares, in one line."""
        if not self.films:
            return "Nothing was left to do."
        share = {name: getattr(self, name) / self.wall for name in ("waiting", "encoding", "writing")}
        busy = self.decoding / (self.wall * max(1, self.workers))
        return (
            f"{self.films} films in {self.wall:.0f} s, {self.films / self.wall:.2f} a second: the encoder worked "
            f"{share['encoding']:.0%} of the time and waited for films {share['waiting']:.0%}, writing took "
            f"{share['writing']:.0%}; each of {self.workers} decoders was busy {busy:.0%} of it."
        )


@dataclass
class Features:
    """Features on the disk: a Dataset whose items are dicts of tensors, read when they are asked for.

    features[i] has tokens (L, h, w, C) float16, motion (L, h, w) and vectors (L, h, w, 2) float32 if they were kept,
    and label, where films have one. `ids[i]` is the film.

    Attributes
    ----------
    folder : Path
        Where it is.
    ids : list of str
        The films that have features, in the order of the list.
    entries : list of Entry
        The same, with labels, splits and groups.
    failed : dict
        Films that could not be read -> why.
    missing : tuple of Entry
        Films of the list that are not there.
    costs : Costs
        Of the run that made what was lacking.
    """

    folder: Path
    entries: list[Entry]
    places: dict[str, Path]
    failed: dict[str, str] = field(default_factory=dict)
    missing: tuple[Entry, ...] = ()
    costs: Costs = field(default_factory=Costs)
    task: str = "class"

    @property
    def ids(self) -> list[str]:
        """The films, in order."""
        return [entry.id for entry in self.entries]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        entry = self.entries[index]
        item = self.tensors(entry.id)
        kind = torch.int64 if self.task == "class" else torch.float32
        return {**item, "label": torch.tensor(entry.label, dtype=kind)}

    def tensors(self, film: str) -> dict[str, Tensor]:
        """The tensors of a film by its id."""
        with safe_open(self.places[film], "pt") as shard:
            there = set(shard.keys())
            names = [name for name in COLUMNS if f"{film}/{name}" in there]
            return {name: shard.get_tensor(f"{film}/{name}") for name in names}

    def split(self, name: str) -> Features:
        """The features of one split."""
        chosen = [entry for entry in self.entries if entry.split == name]
        return Features(self.folder, chosen, self.places, self.failed, self.missing, self.costs, self.task)

    def summary(self) -> str:
        """What there is, and what is not, in a few lines."""
        lines = [f"{len(self)} films with features in {self.folder}"]
        if self.missing:
            lines.append(f"  missing: {len(self.missing)} ({_some([entry.id for entry in self.missing])})")
        if self.failed:
            lines.append(f"  unreadable: {len(self.failed)} ({_some(list(self.failed))}); {FAILED} says why")
        return "\n".join(lines)


def features(
    films: VideoList | str | Path,
    folder: str | Path,
    encoder: Encoder | str = "patch",
    settings: Settings | None = None,
    *,
    workers: int = 0,
    shard: int = SHARD,
    retry: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> Features:
    """Make the features of films, those that are not there yet, and give all of them; `vtm.features` is the same.

    Parameters
    ----------
    films : VideoList, str or Path
        A list whose films were looked for (`lists.lvu(...).find(...)`), or a folder: one folder in it for each class.
    folder : str or Path
        Where features are kept. It is made where it is missing.
    encoder : Encoder or str, optional
        A frozen module whose `encode` takes frames (L, H, W, 3) uint8 to tokens (L, h, w, C), or a name for
        `load_encoder`.
    settings : Settings, optional
        How films become features. Default: those of the paper's size, or what is in the folder already.
    workers : int, optional
        How many decode beside the one that encodes: 1 is a thread, more are processes. 0: one less than cores.
    shard : int, optional
        Bytes of a shard, about.
    retry : bool, optional
        Try films again that could not be read before.
    progress : bool, optional
        Show a bar.
    say : callable, optional
        Takes the lines that say what it will cost, and what became of it.

    Returns
    -------
    Features
        Of all films of the list that can be read.

    Raises
    ------
    ListError
        As `lists.labelled`, for a folder.
    StoreError
        Where the folder of features holds features of another kind, or a damaged shard.

    Examples
    --------
    >>> import shutil, tempfile, vtm_lesson as vtm
    >>> from pathlib import Path
    >>> from vtm_lesson.datasets.extraction import Settings, features
    >>> home = Path(tempfile.mkdtemp())
    >>> for name in ("centred", "roaming"):
    ...     (home / "films" / name).mkdir(parents=True)
    ...     _ = shutil.copy(vtm.films.sample(name), home / "films" / name)
    >>> small = Settings(frames=4, size=64, patch=8)
    >>> made = features(home / "films", home / "features", settings=small, progress=False, say=lambda line: None)
    >>> made.ids, made[0]["tokens"].shape
    (['centred/centred.mp4', 'roaming/roaming.mp4'], torch.Size([4, 8, 8, 48]))
    >>> shutil.rmtree(home)
    """
    found = films if isinstance(films, VideoList) else labelled(films)
    home, settings = Path(folder), settings or Settings()
    if isinstance(encoder, str):
        from ..encoders.frozen import load_encoder

        encoder = load_encoder(encoder)
    store = _Store(home, {"settings": settings.__dict__, "encoder": weights_digest(encoder), "format": 1})
    known = {entry.id for entry in found.entries}
    todo = [e for e in found.entries if e.id not in store.places and (retry or e.id not in store.failed)]
    without = [entry.id for entry in todo if entry.file is None]
    if without:
        raise ListError(f"{without[0]} has no file: look for the films first, with .find(folder).")
    costs = Costs()
    if todo:
        count = workers or max(1, len(os.sched_getaffinity(0)) - 1 if hasattr(os, "sched_getaffinity") else 1)
        costs = _Run(store, encoder, settings, min(count, len(todo)), shard, say).over(todo, progress)
        say(costs.summary())
    entries = [entry for entry in found.entries if entry.id in store.places]
    failed = {film: why for film, why in store.failed.items() if film in known and film not in store.places}
    return Features(home, entries, store.places, failed, found.missing, costs, found.task)


def weights_digest(encoder: Encoder) -> str:
    """A name for an encoder's weights: features of another one are not mixed with its own."""
    found = hashlib.sha256()
    for name, value in sorted(encoder.state_dict().items()):
        found.update(name.encode() + np.ascontiguousarray(value.detach().cpu().float().numpy()).tobytes())
    return found.hexdigest()[:16]


# ---------------------------------------------------------------------------------------------------------- on the disk


class _Store:
    """The folder of features: what is finished, and where."""

    def __init__(self, folder: Path, what: dict[str, Any]):
        self.folder = folder
        self.places: dict[str, Path] = {}
        self.failed: dict[str, str] = {}
        self.next = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._agree(what)
        for line in _lines(folder / INDEX):
            path = folder / line["shard"]
            if not path.is_file() or path.stat().st_size != line["bytes"]:
                raise StoreError(
                    f"{path} is missing or has another size than when it was made: delete {folder / INDEX}."
                )
            self.places |= dict.fromkeys(line["films"], path)
            self.next = max(self.next, int(path.stem.split("-")[1]) + 1)
        self.failed = {line["film"]: line["why"] for line in _lines(folder / FAILED)}
        named = {path.name for path in self.places.values()}
        for path in (*folder.glob("shard-*.safetensors"), *folder.glob("shard-*.new")):
            if path.name not in named:  # a run was killed before it could name it
                path.unlink()

    def _agree(self, what: dict[str, Any]) -> None:
        path = self.folder / WHAT
        if not path.exists():
            fresh = path.with_name(f"{WHAT}.{os.getpid()}.new")
            fresh.write_text(json.dumps(what, indent=1) + "\n", encoding="utf-8")
            fresh.replace(path)
            return
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
            old = {**there["settings"], "encoder": there["encoder"], "format": there["format"]}
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{path} is damaged: give another folder, or delete this one.") from None
        new = {**what["settings"], "encoder": what["encoder"], "format": what["format"]}
        changed = [f"{name} {old.get(name)} -> {new[name]}" for name in new if old.get(name) != new[name]]
        if changed:
            raise StoreError(
                f"{self.folder} holds features of another kind ({', '.join(changed)}); give another folder."
            )

    def add(self, films: dict[str, dict[str, Tensor]]) -> int:
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
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file to which lines are appended; a last line that is not whole is cut off."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        fresh.write_bytes(whole)
        fresh.replace(path)
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError:
        raise StoreError(f"{path} is damaged: delete it, and what it names is made again.") from None


# ------------------------------------------------------------------------------------------------------------- the run


@dataclass
class _Run:
    """One pass over the films that lack features: few films in memory at a time, however many there are."""

    store: _Store
    encoder: Encoder
    settings: Settings
    workers: int
    shard: int
    say: Callable[[str], None]

    def over(self, todo: Sequence[Entry], progress: bool) -> Costs:
        costs, start = Costs(workers=self.workers), time.perf_counter()
        held: dict[str, dict[str, Tensor]] = {}
        size, said = 0, False
        bar = tqdm(total=len(todo), desc="features", unit="film", disable=not progress, smoothing=0.05)
        with bar, torch.inference_mode(), _one_bar(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damage and codecs without vectors: a film is used for what it has
            for film, made, seconds, waited in self._decoded(todo):
                costs.waiting, costs.decoding = costs.waiting + waited, costs.decoding + seconds
                if isinstance(made, str):
                    self.store.fail(film, made)
                    bar.update()
                    continue
                begin = time.perf_counter()
                own = {"tokens": self.encoder.encode(made["frames"]).half(), **self._motion(made)}
                costs.encoding += time.perf_counter() - begin
                held[film] = own
                bytes_of_film = sum(value.nbytes for value in own.values())
                size += bytes_of_film
                costs.films += 1
                bar.update()
                if not said:
                    self._estimate(len(todo), bytes_of_film, seconds, time.perf_counter() - begin)
                    said = True
                if size >= self.shard:
                    costs.bytes, costs.writing = self._write(held, costs)
                    size = 0
            if held:
                costs.bytes, costs.writing = self._write(held, costs)
        costs.wall = time.perf_counter() - start
        return costs

    def _estimate(self, films: int, bytes_of_film: int, decoding: float, encoding: float) -> None:
        seconds = films * max(decoding / self.workers, encoding)
        free = _free(self.store.folder)
        need = films * bytes_of_film
        self.say(
            f"{films} films: about {_size(need)} on the disk ({_size(free)} free) and {_span(seconds)}, judged "
            f"by the first one, with {self.workers} decoder{'s' * (self.workers != 1)}."
        )
        if need > free:
            raise StoreError(
                f"the features need about {_size(need)}, and {self.store.folder} has {_size(free)} left: take "
                "fewer frames, or another folder."
            )

    def _write(self, held: dict[str, dict[str, Tensor]], costs: Costs) -> tuple[int, float]:
        begin = time.perf_counter()
        size = self.store.add(held)
        held.clear()
        return costs.bytes + size, costs.writing + time.perf_counter() - begin

    def _motion(self, made: dict[str, np.ndarray]) -> dict[str, Tensor]:
        return {name: torch.from_numpy(made[name]) for name in ("motion", "vectors") if name in made}

    def _decoded(self, todo: Sequence[Entry]) -> Iterator[tuple[str, dict[str, np.ndarray] | str, float, float]]:
        """The films in order: id, what `decode` gave, its seconds, and how long this process waited for it."""
        ahead: deque[tuple[Entry, Future]] = deque()
        with _pool(self.workers) as pool:
            entries = iter(todo)

            def fill() -> None:
                while len(ahead) < 2 * self.workers and (entry := next(entries, None)) is not None:
                    ahead.append((entry, pool.submit(decode, str(entry.file), self.settings)))

            try:
                fill()
                while ahead:
                    entry, future = ahead.popleft()
                    begin = time.perf_counter()
                    made, seconds = future.result()
                    waited = time.perf_counter() - begin
                    fill()
                    yield entry.id, made, seconds, waited
            finally:
                pool.shutdown(cancel_futures=True)


def _pool(workers: int) -> Executor:
    """One decoder is a thread, as decoding leaves Python alone for most of the time; more are processes."""
    if workers == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(workers, get_context("spawn"), warnings.simplefilter, ("ignore",))


def decode(path: str, settings: Settings) -> tuple[dict[str, np.ndarray] | str, float]:
    """One film: its frames, and its motion on patches; or the reason why it cannot be read. And the seconds."""
    start = time.perf_counter()
    try:
        clip = video.read(path, settings.frames, settings.size, progress=False, motion=settings.motion)
        made = {"frames": clip.frames}
        if settings.motion:
            made |= {"motion": clip.patches(settings.patch)[1], "vectors": clip.vectors(settings.patch)}
    except (video.VideoError, ValueError, OSError) as error:
        return " ".join(str(error).split()), time.perf_counter() - start
    return made, time.perf_counter() - start


@contextlib.contextmanager
def _one_bar() -> Iterator[None]:
    """The encoder's own bars stay away: there is one for all films."""
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TQDM_DISABLE"]
        else:
            os.environ["TQDM_DISABLE"] = before


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _span(seconds: float) -> str:
    if seconds < 7200:
        return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


# --------------------------------------------------------------------------------------------------------- the command


def listed(data: str, lists: Path | None, task: str, films: Path) -> VideoList:
    """The films of a data set by its name, looked for in a folder."""
    if data == "folder":
        return labelled(films, lists)
    if lists is None:
        raise ListError(f"--lists is missing: say where the annotation files of {data} are.")
    found = {"lvu": lambda: lvu(lists, task), "breakfast": lambda: breakfast(lists), "coin": lambda: coin(lists)}
    return found[data]().find(films)


def main(argv: list[str]) -> int:
    """The command `python -m vtm_lesson features`."""
    parser = argparse.ArgumentParser(
        prog="python -m vtm_lesson features",
        description="Films to tokens, once, kept on the disk; a run that was stopped goes on where it was.",
    )
    parser.add_argument("films", type=Path, help="the folder of films")
    parser.add_argument("out", type=Path, help="the folder of features")
    parser.add_argument("--data", choices=("folder", "lvu", "breakfast", "coin"), default="folder")
    parser.add_argument("--lists", type=Path, help="the data set's annotation files; for a folder, a csv of labels")
    parser.add_argument("--task", choices=LVU_TASKS, default="scene", help="of LVU (default: scene)")
    parser.add_argument("--encoder", default="patch", help="a name for load_encoder (default: patch)")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--size", type=int, default=224, help="pixels of a side of the frame")
    parser.add_argument("--patch", type=int, default=14, help="pixels of a side of a token, for motion")
    parser.add_argument("--no-motion", action="store_true", help="only tokens: films are decoded in part only")
    parser.add_argument("--workers", type=int, default=0, help="processes that decode (default: one less than cores)")
    parser.add_argument("--retry", action="store_true", help="try again what could not be read before")
    parser.add_argument("--dry-run", action="store_true", help="only say what there is to do")
    parser.add_argument("--verify", action="store_true", help="read all features that are there, and check their sums")
    options = parser.parse_args(argv)
    try:
        if options.verify:
            wrong = verify(options.out)
            print("\n".join(wrong) or f"{options.out}: every shard is as it was written.")
            return int(bool(wrong))
        found = listed(options.data, options.lists, options.task, options.films)
        print(found.summary())
        if options.dry_run:
            return 0
        settings = Settings(options.frames, options.size, options.patch, not options.no_motion)
        made = features(found, options.out, options.encoder, settings, workers=options.workers, retry=options.retry)
        print(made.summary())
        return 0
    except (ListError, StoreError, SafetensorError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here.", file=sys.stderr)
        return 130
