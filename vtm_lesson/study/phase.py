"""When does the choice of targets matter? A grid of film worlds: screened by the probe, then trained at a few cells.

    actor's height x frames that show the actor x props on the set x gamma          (and, trained: the place of merging)

Long films are painted once with the actor in every frame and once without. The encoder looks at each frame by itself,
so a film whose actor is there for 3 of 48 frames is made of the tokens of both.

(screen)   frozen tokens are merged twice and averaged; a linear reader tells the label (`study.probe`). Every seed has
           films of its own; its saliency is learned by pooling on the films of the next two seeds.
(trained)  networks trained with merging at cells that `chosen` takes from the screen by rule. Every seed has its own
           films for training, for the choice of the best epoch, and for the test.

`phase_command` is the command, its table and its figures.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..datasets.toy import Encoder, painted
from ..encoders.frozen import load_encoder
from ..network.model import VideoClassifier
from ..training.loop import Items, Recipe, evaluate, fit
from .experiment import forward, network
from .jobs import ACTOR, PLACES, Study
from .kept import PointResults
from .probe import linear_probe, retain
from .saliencies import Learning, learn
from .statistics import interval, together

SCREENED = ("random", "learnable", "oracle")
FOLDS = 5  # of a seed's films: the reader is fitted on four, and reads the fifth
SCREEN_FILMS, TRAINED_FILMS = 40, 80  # where the seeds of films begin; other studies use smaller ones


class Cell(NamedTuple):
    """One point of the grid.

    Attributes
    ----------
    stature : float
        The actor's height, as a multiple of the usual one.
    shown : int
        Frames in a row that show the actor.
    props : int
        Other figures on one frame's area of the set.
    gamma : float
        The partition factor.
    """

    stature: float
    shown: int
    props: int
    gamma: float

    @classmethod
    def of(cls, text: str) -> Cell:
        """A cell from its text, STATURE:SHOWN:PROPS:GAMMA.

        >>> Cell.of("1.5:12:4:6")
        Cell(stature=1.5, shown=12, props=4, gamma=6.0)
        """
        try:
            stature, shown, props, gamma = text.split(":")
            return cls(float(stature), int(shown), int(props), float(gamma))
        except ValueError:
            raise ValueError(f"{text!r} is no cell; give STATURE:SHOWN:PROPS:GAMMA, such as 1.5:12:4:6.") from None

    def __str__(self) -> str:
        return f"{self.stature:g}:{self.shown}:{self.props}:{self.gamma:g}"


@dataclass(frozen=True)
class Phase:
    """Everything that decides the results; with the code's version, enough to repeat them."""

    frames: int = 48
    size: int = 64
    statures: tuple[float, ...] = (0.75, 1.0, 1.5)
    shown: tuple[int, ...] = (3, 12, 48)
    props: tuple[int, ...] = (4, 16)
    gammas: tuple[float, ...] = (2, 6, 20)
    seeds: int = 5
    films: int = 200  # of a seed, in the screen
    steps: int = 200  # of learning saliency, 16 films each
    gain: float = 3.0  # this and the temperature: what `compare` chose for learnable VTM on its validation films
    temperature: float = 6.0
    train: int = 480
    valid: int = 160
    test: int = 320
    epochs: int = 10
    warmup: float = 1.0
    lr: float = 3e-3
    batch: int = 16
    chunks: tuple[int, ...] = (2, 4, 12)
    whole: int = 2  # seeds of the network without merging, by far the slowest

    def __post_init__(self) -> None:
        if self.seeds < 2 or min(self.films, self.train, self.valid, self.test) < 2 * FOLDS:
            raise ValueError(f"seeds is {self.seeds}, films are {self.films}; give 2 seeds and {2 * FOLDS} films.")
        if not all(1 <= shown <= self.frames for shown in self.shown) or not all(gamma > 1 for gamma in self.gammas):
            raise ValueError(
                f"shown is {self.shown}, gammas {self.gammas}; the actor is there for 1 to {self.frames} frames, and"
                " every gamma is more than 1."
            )

    def cells(self) -> list[Cell]:
        """The grid."""
        return [Cell(*values) for values in product(self.statures, self.shown, self.props, self.gammas)]


@dataclass(frozen=True, order=True)
class Point:
    """One thing that is measured: the fields that tell its result from all others. No merging has gamma 1."""

    part: str
    stature: float
    shown: int
    props: int
    gamma: float
    strategy: str
    seed: int
    place: str = ""

    @property
    def cell(self) -> Cell:
        return Cell(self.stature, self.shown, self.props, self.gamma)


class Results(PointResults[Point]):
    """What a folder holds of such a study."""

    point = Point


# ---------------------------------------------------------------------------------------------------------- films


def window(number: int, frames: int, shown: int) -> tuple[int, int]:
    """Where in the film of that seed its actor enters and leaves: `shown` frames in a row, anywhere."""
    chance = np.random.Generator(np.random.PCG64([number, shown])).random()
    start = int(chance * (frames - shown + 1))
    return start, start + shown


def composed(full: Items, empty: Items, numbers: Sequence[int], shown: int) -> Items:
    """Films whose actor is there for some frames, of the same films with the actor in every frame and in none."""
    frames = Tensor(full.columns["tokens"]).shape[1]
    there = torch.zeros(len(full), frames, dtype=torch.bool)
    for row, number in zip(there, numbers, strict=True):
        enters, leaves = window(number, frames, shown)
        row[enters:leaves] = True
    columns = dict(full.columns)
    columns["tokens"] = torch.where(there[..., None, None, None], full.columns["tokens"], empty.columns["tokens"])
    columns["oracle"] = full.columns["oracle"] * there[..., None, None]
    return Items(**columns)


def standardised(items: Items, by: Items) -> Items:
    """Tokens with mean 0 and deviation 1 in each channel of the films `by`."""
    some = Tensor(by.columns["tokens"])[:, ::4].float()
    mean, std = some.mean((0, 1, 2, 3)), some.std((0, 1, 2, 3)).clamp(min=1e-6)
    parts = [((part.float() - mean) / std).half() for part in Tensor(items.columns["tokens"]).split(50)]
    return Items(**items.columns | {"tokens": torch.cat(parts)})


# --------------------------------------------------------------------------------------------------------- screen


def screen_points(study: Phase, props: int | None = None) -> list[Point]:
    """Everything that the screen measures, of one number of props or of all."""
    points = []
    for stature, shown, many, seed in product(study.statures, study.shown, study.props, range(study.seeds)):
        if props in (None, many):
            points.append(Point("screen", stature, shown, many, 1, "none", seed))
            for gamma, name in product(study.gammas, SCREENED):
                points.append(Point("screen", stature, shown, many, gamma, name, seed))
    return points


def screen(study: Phase, folder: str | Path, props: int, encoder: Encoder | None = None, progress: bool = True) -> None:
    """Do what is not done yet of the screen, for one number of props."""
    results = Results(study, folder)
    encoder = encoder or load_encoder("patch")
    numbers = [[(SCREEN_FILMS + seed) * 2**20 + i for i in range(study.films)] for seed in range(study.seeds)]
    common: dict[str, Any] = {"frames": study.frames, "size": study.size, "props": props, "encoder": encoder}
    empty: list[Items] = []
    for stature in study.statures:
        todo = [p for p in screen_points(study, props) if p.stature == stature and p not in results.done]
        if not todo:
            continue
        never = [(0, 0)] * study.films
        empty = empty or [painted(n, shown=never, progress=progress, **common) for n in numbers]
        full = [painted(n, stature=stature, progress=progress, **common) for n in numbers]
        for shown, seed in product(study.shown, range(study.seeds)):
            mine = [point for point in todo if (point.shown, point.seed) == (shown, seed)]
            if mine:
                films = {k: composed(full[k], empty[k], numbers[k], shown) for k in _needed(study, seed)}
                for point, values in _screened(study, mine, films.pop(seed), list(films.values())):
                    results.keep(point, values)


def _needed(study: Phase, seed: int) -> list[int]:
    """Whose films a seed needs: its own, and those of the next two to learn saliency on."""
    return [seed, *sorted({(seed + 1) % study.seeds, (seed + 2) % study.seeds} - {seed})]


def _screened(
    study: Phase, points: Sequence[Point], own: Items, others: Sequence[Items]
) -> Iterator[tuple[Point, dict]]:
    other = Items(**{name: torch.cat([items.columns[name] for items in others]) for name in own.columns})
    own, other = standardised(own, other), standardised(other, other)
    labels, saliency = own.columns["label"], None
    for point in points:
        started = time.perf_counter()
        strategy: Any = point.strategy
        if strategy == "learnable":
            how = Learning(steps=study.steps, gain=study.gain, temperature=study.temperature)
            saliency = saliency or learn(other.columns["tokens"], other.columns["label"], point.seed, how)
            strategy = saliency
        kept = retain(own, strategy, point.gamma, seed=point.seed, actor=ACTOR)
        right = torch.zeros(len(own), dtype=torch.bool)
        order = torch.randperm(len(own), generator=torch.Generator().manual_seed(point.seed))
        for fold in range(FOLDS):
            read = order[fold::FOLDS]
            rest = torch.ones(len(own), dtype=torch.bool).index_fill(0, read, False)
            right[read] = linear_probe(kept.features[rest], labels[rest], kept.features[read]) == labels[read]
        values = {
            "accuracy": float(right.double().mean()),
            "recall": float(kept.recall.mean()),
            "share": float(kept.share.mean()),
            "tokens": kept.tokens,
            "actor": float((Tensor(own.columns["oracle"]) >= ACTOR).double().mean()),
        }
        yield point, values | {"seconds": round(time.perf_counter() - started, 2)}


# -------------------------------------------------------------------------------------------------------- trained


def trained_points(study: Phase, cells: Iterable[Cell], places: Sequence[str] = PLACES[:2]) -> list[Point]:
    """Everything that is trained for these cells: without merging once for all places and gammas."""
    points: dict[Point, None] = {}
    for cell, seed in product(cells, range(study.seeds)):
        for place, name in product(places, SCREENED):
            points[Point("trained", *cell, name, seed, place)] = None
        if seed < study.whole:
            points[Point("trained", *cell[:3], 1, "none", seed)] = None
    return list(points)


def train(
    study: Phase, folder: str | Path, points: Sequence[Point], encoder: Encoder | None = None, progress: bool = True
) -> None:
    """Train what is not done yet of these points, which share a seed and, but for gamma, a cell."""
    results = Results(study, folder)
    todo = [point for point in points if point not in results.done]
    if not todo:
        return
    first, sets = todo[0], []
    if {(point.cell[:3], point.seed) for point in points} != {(first.cell[:3], first.seed)}:
        raise ValueError("the points are of several seeds or kinds of films; give those of one at a time.")
    encoder = encoder or load_encoder("patch")
    for k, count in enumerate((study.train, study.valid, study.test)):
        numbers = [(TRAINED_FILMS + 3 * first.seed + k) * 2**20 + i for i in range(count)]
        shown = [window(number, study.frames, first.shown) for number in numbers]
        sets.append(painted(numbers, encoder=encoder, shown=shown, progress=progress, frames=study.frames,
                            size=study.size, stature=first.stature, props=first.props))  # fmt: skip
    films = [standardised(items, sets[0]) for items in sets]
    del sets
    for point in todo:
        started = time.perf_counter()
        values = _trained(study, results.folder, point, films, progress)
        results.keep(point, values | {"seconds": round(time.perf_counter() - started, 2)})


def _trained(study: Phase, folder: Path, point: Point, films: Sequence[Items], progress: bool) -> dict:
    training, valid, test = films
    with torch.random.fork_rng([]):
        torch.manual_seed(point.seed)
        model = VideoClassifier(
            **network(Study(chunks=study.chunks, width=Tensor(training.columns["tokens"]).shape[-1])),
            partition=point.strategy,
            gamma=point.gamma,
            merge_at=point.place or PLACES[0],
            temperature=study.temperature if point.strategy == "learnable" else None,
        )
    name = "-".join([point.strategy, *[point.place] * bool(point.place), *str(point.cell).split(":"), str(point.seed)])
    recipe = Recipe(epochs=study.epochs, warmup=study.warmup, lr=study.lr, batch=study.batch, seed=point.seed)
    run = fit(model, training, valid, recipe, folder=folder / "networks" / name, forward=forward, device="cpu",
              label=f"{point.strategy}, seed {point.seed}", progress=progress)  # fmt: skip
    seen = evaluate(model, test, Recipe(seed=point.seed, batch=32), forward=forward)
    some = {column: value.float() for column, value in test[:64].columns.items()}
    torch.manual_seed(point.seed)
    with torch.no_grad():
        trace = forward(model.eval(), some, trace=True)[1]
    actor = some["oracle"].flatten(1) >= ACTOR
    met = torch.zeros_like(actor).scatter(1, trace.blocks[0].target_patches, True)
    recall = ((met & actor).sum(1) / actor.sum(1).clamp(min=1)).mean()
    losses = [[round(e["train_loss"], 4), round(e["valid_loss"], 4)] for e in run.history]
    return {"accuracy": seen.accuracy, "loss": seen.loss, "recall": float(recall), "tokens": trace.blocks[-1].left,
            "best_epoch": run.best, "losses": losses}  # fmt: skip


# --------------------------------------------------------------------------------------------------- what it says


def rows(records: Iterable[Mapping], part: str) -> list[dict]:
    """One row a cell (and place): each strategy's accuracy with its interval, and its difference to random, by seed."""
    records = [record for record in records if record["part"] == part]
    axes = ("stature", "shown", "props")
    whole = together((record for record in records if record["strategy"] == "none"), *axes)
    table = []
    merged = [record for record in records if record["strategy"] != "none"]
    for key, same in together(merged, *axes, "gamma", "place").items():
        row: dict[str, Any] = dict(zip((*axes, "gamma", "place"), key, strict=True))
        found = {
            "none": {record["seed"]: record for record in whole.get(key[:3], [])},
            **{name: {r["seed"]: r for r in same if r["strategy"] == name} for name in SCREENED},
        }
        found = {name: by_seed for name, by_seed in found.items() if by_seed}
        row["accuracy"] = {name: interval([r["accuracy"] for r in by.values()]) for name, by in found.items()}
        row["recall"] = {name: interval([r["recall"] for r in by.values()]) for name, by in found.items()}
        row["minus_random"], row["by_seed"] = {}, {}
        for name, by in found.items():
            seeds = sorted(set(by) & set(found.get("random", {})))
            if name != "random" and seeds:
                gaps = [by[seed]["accuracy"] - found["random"][seed]["accuracy"] for seed in seeds]
                row["minus_random"][name], row["by_seed"][name] = interval(gaps), gaps
        row["tokens"] = same[0]["tokens"]
        if "actor" in same[0]:
            row["actor"] = sum(record["actor"] for record in same) / len(same)
        table.append(row)
    return sorted(table, key=lambda row: [row[name] for name in ("place", "gamma", "stature", "props", "shown")])


def apart(values: Sequence[float]) -> bool:
    """Whether a difference is told apart from 0: its interval, (mean, low, high), leaves it out."""
    return values[1] > 0 or values[2] < 0


def chosen(table: Sequence[Mapping]) -> dict[str, Cell]:
    """The cells to train, by rules that look at the screen alone; a rule that no cell meets is left out.

    largest    oracle minus random is largest
    smallest   oracle minus random is nearest to 0, among cells where oracle targets read half of the films or more
    boundary   learned minus random is told apart and smallest: the edge of where learning pays
    missed     oracle minus random is told apart and largest where learned minus random is not: a choice would pay, and
               learning does not find it
    learned    learned minus random is largest
    """
    gap = {name: lambda row, name=name: row["minus_random"][name] for name in ("oracle", "learnable")}
    readable = [row for row in table if row["accuracy"]["oracle"][0] >= 0.5]
    learned = [row for row in table if gap["learnable"](row)[1] > 0]
    missed = [row for row in table if gap["oracle"](row)[1] > 0 and not apart(gap["learnable"](row))]
    rules = {
        "largest": sorted(table, key=lambda row: -gap["oracle"](row)[0]),
        "smallest": sorted(readable, key=lambda row: abs(gap["oracle"](row)[0])),
        "boundary": sorted(learned, key=lambda row: gap["learnable"](row)[0]),
        "missed": sorted(missed, key=lambda row: -gap["oracle"](row)[0]),
        "learned": sorted(table, key=lambda row: -gap["learnable"](row)[0]),
    }
    found: dict[str, Cell] = {}
    for rule, best in rules.items():
        cells = [Cell(row["stature"], row["shown"], row["props"], row["gamma"]) for row in best]
        new = [cell for cell in cells if cell not in found.values()]
        if new:
            found[rule] = new[0]
    return found
