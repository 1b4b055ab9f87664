"""From films to tokens, once: decoded and encoded by several workers, kept on disk in shards.

    store = features("videos/", "features/")            # decodes and encodes what is not there yet
    store[3]["tokens"], store.ids[3]                    # (L, h, w, C) float16

`one_film.py` says what is done with a film, `store.py` what lies in the folder. A run that was stopped, however, goes
on where it was, and ends with the same bytes: a film's tensors do not depend on which other films are there, on how
many workers there were, nor on whether they were this machine's or a cluster's (`cluster.py`).

Memory holds few films at a time, however many there are: the shard that is being filled, and for each worker two that
are decoded and one that is encoded. A film's frames fill 1 GiB at most (`Settings`).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from tqdm import tqdm

from ..encoders import add_options, from_options, load_encoder
from ..video.sampling import Settings, decode
from .costs import Costs, cores, forecast
from .lists import LVU_TASKS, Entry, ListError, VideoList, breakfast, coin, labelled, lvu
from .one_film import Encoder, Films, alike, encode, on_gpu
from .rehearsal import rehearse
from .store import FAILED, FeatureStore, StoreError, known, verify

__all__ = ["Costs", "Encoder", "Features", "Settings", "StoreError", "features", "main", "verify", "weights_digest"]

SHARD = 256 << 20  # bytes: a killed run loses no more than one shard's films
COLUMNS = ("tokens", "motion", "vectors")
ENGINES = ("local", "ray")


@dataclass
class Features:
    """Features on the disk: a Dataset whose items are dicts of tensors, read when they are asked for.

    features[i] has tokens (L, h, w, C) float16, motion (L, h, w) and vectors (L, h, w, 2) float32 if they were kept,
    and label, where films have one. With windows (`Settings.window`) each has W before L: tokens (W, L, h, w, C), where
    W is longer for longer films. `ids[i]` is the film. A damaged file raises StoreError; bytes that changed and
    can still be read are seen by `verify` only, which reads everything.

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
        """The tensors of a film by its id; StoreError where their shard is damaged."""
        path = self.places[film]
        try:
            with safe_open(path, "pt") as shard:
                there = set(shard.keys())
                names = [name for name in COLUMNS if f"{film}/{name}" in there]
                return {name: shard.get_tensor(f"{film}/{name}") for name in names}
        except (OSError, SafetensorError) as error:
            raise StoreError(
                f"{path} is damaged ({error}): delete it and its line of index.jsonl, and its films are made anew."
            ) from error

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
    engine: Literal["local", "ray"] = "local",
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
    engine : str, optional
        "local": this machine's processes. "ray": the actors of a cluster, see `cluster.py`; every machine of it finds
        films by the same paths, and this process alone writes.
    workers : int, optional
        How many films are decoded at once, and how many are encoded at once: 1 is a thread, more are processes that
        decode and threads that encode. 0: one less than cores. With Ray, how many actors; 0: as many as fit.
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
    ValueError
        For another engine.
    ImportError
        Where Ray is asked for and missing.

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
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}; it is one of {', '.join(ENGINES)}.")
    found = films if isinstance(films, VideoList) else labelled(films)
    home, settings = Path(folder), settings or Settings()
    if isinstance(encoder, str):
        encoder = load_encoder(encoder)
    seen = {"encoder": weights_digest(encoder), "input": getattr(encoder, "size", None)}
    store = FeatureStore(home, {"settings": asdict(settings), **seen, "format": 1})
    listed_ids = {entry.id for entry in found.entries}
    todo = [e for e in found.entries if e.id not in store.places and (retry or e.id not in store.failed)]
    without = [entry.id for entry in todo if entry.file is None]
    if without:
        raise ListError(f"{without[0]} has no file: look for the films first, with .find(folder).")
    costs = Costs()
    if todo:
        finish = partial(_write, store=store, count=len(todo), shard=shard, progress=progress, say=say)
        if engine == "ray":
            from . import cluster

            with cluster.connected():
                workers = cluster.actors(workers, len(todo), encoder)
                costs = finish(cluster.on_cluster(todo, encoder, settings, workers), Costs(workers=workers))
        else:
            workers = min(workers or max(1, cores() - 1), len(todo))
            encoders = 1 if on_gpu(encoder) else workers
            made = _local(todo, encoder, settings, workers, encoders)
            costs = finish(made, Costs(workers=workers, encoders=encoders))
        say(costs.summary())
    entries = [entry for entry in found.entries if entry.id in store.places]
    failed = {film: why for film, why in store.failed.items() if film in listed_ids and film not in store.places}
    return Features(home, entries, store.places, failed, found.missing, costs, found.task)


def weights_digest(encoder: Encoder) -> str:
    """A name for an encoder's weights: features of another one are not mixed with its own."""
    found = hashlib.sha256()
    for name, value in sorted(encoder.state_dict().items()):
        found.update(name.encode() + np.ascontiguousarray(value.detach().cpu().float().numpy()).tobytes())
    return found.hexdigest()[:16]


# ------------------------------------------------------------------------------------------------------------- the run


def _write(
    films: Films,
    costs: Costs,
    store: FeatureStore,
    count: int,
    shard: int,
    progress: bool,
    say: Callable[[str], None],
) -> Costs:
    """Take films as they come, and write a shard whenever one is full; whatever made them."""
    start = time.perf_counter()
    held: dict[str, dict[str, Tensor]] = {}
    size = 0

    def flush() -> None:
        begin = time.perf_counter()
        costs.bytes += store.add(held)
        held.clear()
        costs.writing += time.perf_counter() - begin

    with closing(films), tqdm(total=count, desc="features", unit="film", disable=not progress, smoothing=0.05) as bar:
        while True:
            begin = time.perf_counter()
            film, made = next(films, ("", None))
            costs.waiting += time.perf_counter() - begin
            if made is None:
                break
            if film in held or film in store.places:  # a cluster may do a film twice; it counts once
                continue
            bar.update()
            costs.decoding += made.decoding
            if made.why:
                store.fail(film, made.why)
                continue
            costs.encoding += made.encoding
            costs.films += 1
            held[film] = made.tensors
            size += made.bytes
            if costs.films == 1:
                seconds = costs.pace(made.decoding, made.encoding)
                workers = f"{costs.workers} worker{'s' * (costs.workers != 1)}"
                say(forecast(count, seconds, made.bytes, store.folder, f"the first one, with {workers}"))
            if size >= shard:
                flush()
                size = 0
        if held:
            flush()
    costs.wall = time.perf_counter() - start
    return costs


def _local(todo: Sequence[Entry], encoder: Encoder, settings: Settings, workers: int, encoders: int) -> Films:
    """The films in order, decoded by processes, and encoded by as many threads of this one: torch lets them run."""
    waiting: deque[tuple[str, Future]] = deque()  # to be decoded
    going: deque[tuple[str, Future]] = deque()  # to be encoded
    entries = iter(todo)
    with (
        warnings.catch_warnings(),
        alike(),
        _pool(workers) as decode_there,
        ThreadPoolExecutor(encoders) as encode_here,
    ):
        warnings.simplefilter("ignore")  # damage and codecs without vectors: a film is used for what it has
        try:
            while True:
                while len(waiting) < 2 * workers and (entry := next(entries, None)) is not None:
                    waiting.append((entry.id, decode_there.submit(decode, str(entry.file), settings)))
                if going and (len(going) >= encoders or not waiting):
                    film, future = going.popleft()
                    yield film, future.result()
                elif waiting:
                    film, future = waiting.popleft()
                    decoded, seconds = future.result()
                    going.append((film, encode_here.submit(encode, encoder, decoded, seconds, settings)))
                else:
                    break
        finally:
            decode_there.shutdown(cancel_futures=True)


def _pool(workers: int) -> Executor:
    """One decoder is a thread, as decoding leaves Python alone for most of the time; more are processes."""
    if workers == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(workers, get_context("spawn"), warnings.simplefilter, ("ignore",))


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
    add_options(parser)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--size", type=int, default=224, help="pixels of a side of the frame")
    parser.add_argument("--patch", type=int, default=14, help="pixels of a side of a token, for motion")
    parser.add_argument(
        "--window", type=float, default=0.0, help="seconds of a window (default: the film is one window)"
    )
    parser.add_argument("--no-motion", action="store_true", help="only tokens: films are decoded in part only")
    parser.add_argument("--engine", choices=ENGINES, default="local", help="this machine, or a cluster with Ray")
    parser.add_argument("--workers", type=int, default=0, help="films at once (default: one less than cores)")
    parser.add_argument("--retry", action="store_true", help="try again what could not be read before")
    parser.add_argument("--dry-run", action="store_true", help="make a few, and say what all would cost")
    parser.add_argument("--verify", action="store_true", help="read all features that are there, and check their sums")
    options = parser.parse_args(argv)
    try:
        settings = Settings(options.frames, options.size, options.patch, not options.no_motion, options.window)
        if options.verify:
            wrong = verify(options.out)
            print("\n".join(wrong) or f"{options.out}: every shard is as it was written.")
            return int(bool(wrong))
        found = listed(options.data, options.lists, options.task, options.films)
        print(found.summary())
        encoder = from_options(options)
        if options.dry_run:
            done = known(options.out)
            todo = [entry for entry in found.entries if entry.id not in done]
            on_ray = options.engine == "ray"
            print(rehearse(todo, options.out, encoder, settings, workers=options.workers, together=on_ray))
            return 0
        made = features(
            found, options.out, encoder, settings,
            engine=options.engine, workers=options.workers, retry=options.retry,
        )  # fmt: skip
        print(made.summary())
        return 0
    except (ValueError, ImportError, SafetensorError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here.", file=sys.stderr)
        return 130
