"""How long can a film be? Time, memory, and whether a few seconds are found again in an hour.

    time      decode, encode and merge of films from a minute to four hours, piece by piece
    memory    the highest resident memory of a process that does so, by part
    equal     what comes piece by piece against what comes at once
    recall    films that show their actor for some seconds: is it among the few tokens that are kept in the end?

Films are painted, a frame a second, and written as H.264 with `films.write`; on the way back they go through
`video.stream`, the patch encoder, and levels of merging (`network.levels`). An hour is 3,600 frames of 14 x 14 tokens.
Saliency is learned from the labels of other films, other ones for every seed. This file has the films and recall,
`hours_costs` the other three; `hours_command` is the command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import films, video
from ..datasets.toy import painted
from ..encoders import load_encoder
from ..merging.strategies import Saliency
from ..network.levels import merging_levels
from ..network.streaming import Live
from ..training.loop import Items
from .kept import PointResults
from .saliencies import Learning, learn
from .statistics import interval

HOUR = 3600  # frames
FILMS, OTHERS = 100, 120  # where the seeds of films begin, and of those that saliency is learned on
PATCH, DIM = 8, 48  # of the encoder
PARTS = ("decode", "encode", "merge")
NETWORKS = ("network, last chunk the whole film", "network, chunks of chunks")
WHOLE = "matching all with all"
MEMORY = ("decode", "decode, encode", "decode, encode, merge", "all at once")
# Name of a run -> what is different about it.
RUNS: dict[str, dict[str, Any]] = {
    "random": {},
    "uniform": {},
    "motion": {},
    "relative": {},
    "learnable": {},
    "oracle": {},
    "learnable, drawn": {"top": False},
    "learnable, means": {"signal": "mean"},
    "random, larger budget": {"larger": True},
    "motion, larger budget": {"larger": True},
    "relative, larger budget": {"larger": True},
}


@dataclass(frozen=True)
class Hours:
    """Everything that decides the results; with the code's version, enough to repeat them.

    Attributes
    ----------
    size : int
        Pixels of a side of a frame.
    keep, larger : int
        Tokens that a film is merged to in the end, and the larger budget, which only the shortest films of recall get.
    first, ratio : int
        As in `merging.hierarchy.chunk_lengths`.
    piece : int
        Frames that are read at a time.
    shown : int
        Seconds in a row that show the actor.
    lengths : tuple of int
        Seconds of the films of recall.
    seeds : int
        Of films in each of the ways of filming.
    others, other_frames, steps : int
        Films that saliency is learned on, their frames, and steps.
    seconds : tuple of int
        Seconds of the films that are timed.
    rounds : int
        How often each is timed.
    whole : int
        Seconds of the longest film whose tokens are matched all with all.
    memory : tuple of int
        Seconds of the films whose memory is looked at.
    equal : int
        Seconds of the film that is computed both ways.
    """

    size: int = 112
    keep: int = 196
    larger: int = 784
    first: int = 6
    ratio: int = 6
    piece: int = 60
    shown: int = 12
    lengths: tuple[int, ...] = (600, HOUR)
    seeds: int = 5
    others: int = 120
    other_frames: int = 24
    steps: int = 200
    seconds: tuple[int, ...] = (60, 120, 300, 600, 1800, HOUR, 2 * HOUR, 4 * HOUR)
    rounds: int = 3
    whole: int = 1800
    memory: tuple[int, ...] = (600, HOUR, 4 * HOUR)
    equal: int = 216

    def __post_init__(self) -> None:
        if self.seeds < 2 or self.rounds < 1 or not 1 <= self.shown <= min(self.lengths):
            raise ValueError(
                f"seeds is {self.seeds}, rounds {self.rounds}, shown {self.shown} of {self.lengths} seconds; give 2 "
                "seeds, 1 round, and seconds that the shortest film has."
            )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Hours:
        """From a dictionary that may have gone through JSON."""
        own: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in settings.items()}
        return cls(**own)

    @property
    def patches(self) -> int:
        """Tokens of a frame."""
        return (self.size // PATCH) ** 2


QUICK = Hours(
    size=64, keep=64, larger=192, piece=20, shown=6, lengths=(120,), seeds=2, others=60, other_frames=12, steps=100,
    seconds=(30, 60, 120), rounds=1, whole=120, memory=(120,), equal=36,
)  # fmt: skip


@dataclass(frozen=True, order=True)
class Point:
    """One thing that is measured: the fields that tell its result from all others. round: of time; seed: of recall."""

    part: str
    seconds: int
    name: str = ""
    way: str = ""
    seed: int = 0


class Results(PointResults[Point]):
    """What a folder holds of such a study."""

    point = Point


def points(study: Hours, part: str) -> list[Point]:
    """Everything that a part measures.

    >>> len(points(Hours(), "recall")), len(points(Hours(), "time"))
    (285, 24)
    """
    if part == "time":
        return [Point("time", seconds, seed=k) for seconds in study.seconds for k in range(study.rounds)]
    if part == "memory":
        return [Point("memory", seconds, name) for seconds in study.memory for name in MEMORY]
    if part == "equal":
        return [Point("equal", study.equal)]
    return [
        Point("recall", seconds, name, way, seed)
        for seconds, seed, way, (name, options) in product(study.lengths, range(study.seeds), films.WAYS, RUNS.items())
        if seconds == min(study.lengths) or "larger" not in options  # the larger budget costs several times as much
    ]


# ---------------------------------------------------------------------------------------------------------- the films


def shown_at(number: int, seconds: int, shown: int) -> tuple[int, int]:
    """Where in the film of that seed its actor enters and leaves: `shown` frames in a row, anywhere."""
    chance = np.random.Generator(np.random.PCG64([number, shown])).random()
    start = int(chance * (seconds - shown + 1))
    return start, start + shown


def film(study: Hours, seconds: int, way: str, seed: int) -> films.Film:
    """A film with a frame a second whose actor is there for some of them.

    Parameters
    ----------
    study : Hours
        Its settings.
    seconds : int
        The film's length.
    way : str
        One of films.WAYS.
    seed : int
        0 or more.

    Returns
    -------
    Film
        Its `share` says where the actor is.

    Examples
    --------
    >>> from vtm_lesson.study.hours import QUICK, film
    >>> made = film(QUICK, 30, "roaming", seed=0)
    >>> made, int(made.actor.any((1, 2)).sum())
    (Film(roaming, jump, 30 frames of 64 x 64, seed 104857600), 6)
    """
    number = (FILMS + seed) * 2**20
    shown = shown_at(number, seconds, study.shown)
    return films.make(number, way, frames=seconds, size=study.size, patch=PATCH, fps=1, shown=shown)


@cache
def other_saliency(study: Hours, seed: int) -> Saliency:
    """Saliency from the labels of other films: short ones, whose actor is always there."""
    numbers = [(OTHERS + seed) * 2**20 + i for i in range(study.others)]
    items: Items = painted(
        numbers, encoder=load_encoder("patch"), frames=study.other_frames, size=study.size, progress=False
    )
    return learn(items.columns["tokens"], items.columns["label"], seed, Learning(steps=study.steps, gain=3.0))


# ------------------------------------------------------------------------------------------------------------- recall


def recall(
    study: Hours,
    results: Results,
    seeds: Sequence[int] | None = None,
    after: Callable[[int], object] = lambda count: None,
) -> None:
    """Do what is not done yet of the part on recall. seeds: some of them only; after: takes how many results came."""
    for seconds in study.lengths:
        for seed in range(study.seeds) if seeds is None else seeds:
            for way in films.WAYS:
                todo = [
                    point
                    for point in points(study, "recall")
                    if (point.seconds, point.seed, point.way) == (seconds, seed, way) and point not in results.done
                ]
                if todo:
                    path = results.folder / f"recall-{seconds}-{seed}-{way}.mp4"
                    for point, values in recall_of(study, todo, path):
                        results.keep(point, values)
                    after(len(todo))


def recall_of(study: Hours, todo: Sequence[Point], path: Path) -> list[tuple[Point, dict]]:
    """Paint a film, send it through H.264, the encoder and each run's levels, and see what of its actor is kept.

    Parameters
    ----------
    study : Hours
        Its settings.
    todo : sequence of Point
        Runs on one film.
    path : Path
        Where the film is written; it is deleted in the end.

    Returns
    -------
    list of (Point, dict)
        recall: the share of the actor's patches that are kept; seconds: the share of the seconds that show the actor of
        which one such patch is kept or more; share: of the kept tokens those that continue a patch of the actor.
    """
    first = todo[0]
    made = film(study, first.seconds, first.way, first.seed)
    try:
        films.write(path, made)
        lives = {point: _run(study, point) for point in todo}
        _push(study, path, torch.from_numpy(made.share), list(lives.values()))
    finally:
        path.unlink(missing_ok=True)
    actor = torch.from_numpy(made.actor).flatten()
    there = torch.from_numpy(made.actor.any((1, 2)))
    found = []
    for point, live in lives.items():
        position = live.kept().position[0]
        met = position[actor[position]]
        seconds = (met // study.patches).unique()
        values = {
            "recall": len(met) / max(1, int(actor.sum())),
            "seconds_found": len(seconds) / max(1, int(there.sum())),
            "share": len(met) / len(position),
            "kept": len(position),
            "actor": int(actor.sum()),
            "tokens": len(actor),
            "most_held": live.most_held,
        }
        found.append((point, values))
    return found


def _run(study: Hours, point: Point) -> Live:
    options = dict(RUNS[point.name])
    partition = point.name.split(",")[0]
    keep = study.larger if options.pop("larger", False) else study.keep
    if partition == "learnable":
        options["saliency"] = other_saliency(study, point.seed)
    levels = merging_levels(partition, point.seconds, keep, study.first, study.ratio, **options)
    return Live(levels, torch.Generator().manual_seed(point.seed))


def _push(study: Hours, path: Path, share: Tensor, lives: Sequence[Live]) -> None:
    """Stream a film into several runs at once: it is decoded and encoded once."""
    encoder, done = load_encoder("patch"), 0
    for clip in video.stream(path, len(share), None, piece=study.piece, progress=False):
        x = encoder.encode(clip.frames)[None]
        motion, vectors = (torch.from_numpy(v)[None] for v in (clip.patches(PATCH)[1], clip.vectors(PATCH)))
        here = share[done : done + len(clip.frames)][None]
        done += len(clip.frames)
        for live in lives:
            live.push(x, motion, here, vectors)


# --------------------------------------------------------------------------------------------------- what it says


def recall_rows(records: Sequence[Mapping]) -> list[dict]:
    """One row a length and run: means over the ways, with intervals over seeds, and the means of each way."""
    rows = []
    known = [record for record in records if record["part"] == "recall"]
    for seconds in sorted({record["seconds"] for record in known}):
        for name in RUNS:
            same = [r for r in known if (r["seconds"], r["name"]) == (seconds, name)]
            by_seed: dict[int, list[Mapping]] = {}
            for record in same:
                by_seed.setdefault(record["seed"], []).append(record)
            whole = [own for own in by_seed.values() if len(own) == len(films.WAYS)]
            if not whole:
                continue
            row: dict[str, Any] = {"seconds": seconds, "name": name, "seeds": len(whole), "kept": same[0]["kept"],
                                   "tokens": same[0]["tokens"]}  # fmt: skip
            for what in ("recall", "seconds_found", "share"):
                row[what] = interval([sum(r[what] for r in own) / len(own) for own in whole])
                row[f"{what}_by_way"] = {
                    way: interval([r[what] for own in whole for r in own if r["way"] == way]) for way in films.WAYS
                }
            rows.append(row)
    return rows
