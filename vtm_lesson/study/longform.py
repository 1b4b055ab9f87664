"""The paper's experiment on films with labels: train on windows of films, predict once a film.

    films = lists.lvu("lists", "scene").find("videos")
    store = features(films, "features", settings=Settings(frames=60, window=60))
    experiment(films, store, "learnable", Config(), seed=0).test       # accuracy, or the mean squared error

A film whose features are cut into windows gives one item a window, with the film's label, to train on. In evaluation
the outputs of all windows of a film are averaged (logits, or values): there is one prediction a film. The epoch whose
weights are kept is that of the lowest validation loss, over windows. The test films are looked at once, at the end.

Defaults are the paper's where it says them (VTM, implementation details). `longform_runs` makes many of these.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from ..datasets.extraction import Features
from ..datasets.lists import VideoList
from ..merging.registry import REDUCERS, reducer
from ..merging.strategies import STRATEGIES
from ..network.model import VideoClassifier, count
from ..training.loop import Batch, Data, Recipe, evaluate, fit, plain_forward
from .windows import Shape, Windows, by_film, guess, held, loss_or_accuracy, parts

PAPER_CHUNKS = (6, 30, 60)
# What needs no more than tokens. Others are given motion and vectors, too, where the features have them.
BLIND = ("none", "uniform", "random", "centre", "boundary", "learnable")
NEEDS = {"motion": "motion", "relative": "vectors"}


@dataclass(frozen=True)
class Config:
    """The network and how it is trained. The defaults are the paper's.

    Attributes
    ----------
    gamma, r : float
        The partition factor, and the share of the sources that is merged (R/|S|), in every block.
    chunks : tuple of int, optional
        Frames of a chunk in each block. Default: `chunks_of` the features' frames.
    widths : tuple of int, optional
        Channels after each block. Default: halved each time.
    residual, aux, guidance, dropout
        As in `BlockConfig`.
    epochs, warmup, lr, weight_decay, batch, bf16
        As in `Recipe`.
    valid : float
        The share of the training films that validates, where a list has no films for that.

    Examples
    --------
    >>> from vtm_lesson.study.longform import Config
    >>> Config(gamma=10, epochs=20, warmup=3).lr
    0.001
    """

    gamma: float = 6
    r: float = 0.8
    chunks: tuple[int, ...] | None = None
    widths: tuple[int, ...] | None = None
    residual: bool = False
    aux: str = "add"
    guidance: float = 1.0
    dropout: float = 0.0
    epochs: int = 70
    warmup: float = 10
    lr: float = 1e-3
    weight_decay: float = 0.01
    batch: int = 16
    bf16: bool = False
    valid: float = 0.2

    def recipe(self, seed: int, task: str) -> Recipe:
        """What `fit` takes."""
        names = ("epochs", "warmup", "lr", "weight_decay", "batch", "bf16")
        return Recipe(**{name: getattr(self, name) for name in names}, seed=seed, task=task)


@dataclass(frozen=True)
class Score:
    """What one run found.

    Attributes
    ----------
    partition : str
        Who chose the targets, or the reducer.
    seed : int
        Of the network, the order of the films, and of the films that validate, where the list does not name them.
    task : str
        "class": test, valid and guess are shares of films that are right. "value": they are mean squared errors.
    test, valid : float
        Over films, each predicted once.
    guess : float
        The same on the test films for who never sees a film: says the most frequent class of the training films, or
        their mean value.
    films : int
        Test films.
    best, epochs : int
        The epoch whose weights were taken, and how many there were.
    tokens : int
        Tokens of a window after the last block.
    flops : float
        Of a forward pass, as a share of those without merging.
    seconds : float
        What this call took.

    Examples
    --------
    >>> from vtm_lesson.study.longform import Score
    >>> Score("learnable", 0, "class", 0.5, 0.6, 0.17, 36, 3, 10, 5, 0.3, 9.0).better
    True
    """

    partition: str
    seed: int
    task: str
    test: float
    valid: float
    guess: float
    films: int
    best: int
    epochs: int
    tokens: int
    flops: float
    seconds: float

    @property
    def better(self) -> bool:
        """Whether it is better than the guess."""
        return self.test > self.guess if self.task == "class" else self.test < self.guess


def experiment(
    films: VideoList,
    store: Features,
    partition: str = "learnable",
    config: Config | None = None,
    seed: int = 0,
    *,
    folder: str | Path | None = None,
    device: torch.device | str | None = None,
    workers: int = 0,
    after_epoch: Callable[[dict], None] | None = None,
    progress: bool = True,
) -> Score:
    """Train one network on films with labels, and test it once.

    Parameters
    ----------
    films : VideoList
        With labels, splits and groups.
    store : Features
        Of these films, as `vtm.features` or `longform_runs.stored` give them; of whole films or of windows.
    partition : str, optional
        "none", a partition's name, or a reducer's.
    config : Config, optional
        Default: the paper's.
    seed : int, optional
        All chance hangs on it.
    folder : str or Path, optional
        Keeps the weights; a second call carries on where the first was stopped.
    device : torch.device or str, optional
        Default: "cuda" where there is one.
    workers : int, optional
        Processes that read features that do not fit into memory.
    after_epoch : function, optional
        Takes the record of each epoch, as `fit` makes it.
    progress : bool, optional
        Show a bar.

    Returns
    -------
    Score
        On the test films, each predicted once.

    Raises
    ------
    ListError
        Where there are no films to train, validate or test on.
    ValueError
        For an unknown partition, or one that needs what the features lack; for a folder that holds another run.

    Notes
    -----
    VTM sec. 4, implementation details. Under torchrun every process calls it alike, and gets the same Score.

    Examples
    --------
    Painted films in the place of LVU's, about a second:

    >>> import tempfile
    >>> from vtm_lesson.datasets.extraction import Settings, features
    >>> from vtm_lesson.datasets.lists import lvu
    >>> from vtm_lesson.datasets.stand_in import stand_in
    >>> from vtm_lesson.study.longform import Config, experiment
    >>> with tempfile.TemporaryDirectory() as home:
    ...     where, videos = stand_in("scene", home, films_per_class=3, frames=4, size=32)
    ...     films = lvu(where, "scene").find(videos)
    ...     store = features(films, f"{home}/features", settings=Settings(4, 32, 8), progress=False, say=lambda _: None)
    ...     score = experiment(films, store, "uniform", Config(epochs=1, warmup=0), progress=False)
    >>> score.films, round(score.guess, 2), score.tokens
    (6, 0.17, 4)
    """
    begun, config = time.perf_counter(), config or Config()
    apart = parts(films, store, seed, config.valid)
    names = columns(partition)
    windows = {name: Windows(own, names) for name, own in apart.items()}
    there = windows["train"].there
    if NEEDS.get(partition, "tokens") not in there:
        raise ValueError(
            f"partition {partition!r} needs {NEEDS[partition]}, and {store.folder} has {', '.join(there)} only: "
            "make the features anew, with motion, in another folder."
        )
    recipe = config.recipe(seed, films.task)
    network = build(partition, config, windows["train"].shape, len(films.classes), seed)
    if folder is not None:
        agree(Path(folder), described(films, store, config) | {"partition": partition, "seed": seed})
    data = {name: held(own) for name, own in windows.items()}
    run = fit(
        network, data["train"], data["valid"], recipe, folder=folder, device=device, workers=workers, progress=progress,
        forward=forward, after_epoch=None if after_epoch is None else lambda _, record: after_epoch(record),
        label=f"{partition}, seed {seed}",
    )  # fmt: skip
    found = {
        name: by_film(evaluate(network, data[name], recipe, workers=workers), windows[name].film)
        for name in ("valid", "test")
    }
    values = {name: loss_or_accuracy(*pair, films.task) for name, pair in found.items()}
    tokens, flops = cost(network, data["test"], windows["test"].shape)
    return Score(
        partition, seed, films.task, values["test"], values["valid"], guess(apart["train"], apart["test"], films.task),
        len(apart["test"]), -1 if run.best is None else run.best, len(run.history), tokens, flops,
        round(time.perf_counter() - begun, 1),
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------------- the network


def chunks_of(frames: int) -> tuple[int, int, int]:
    """Chunks in proportion to the paper's (6, 30, 60) of 60 frames, each a divisor of the next.

    >>> chunks_of(60), chunks_of(64), chunks_of(12)
    ((6, 30, 60), (8, 32, 64), (1, 6, 12))
    """
    middle = _divisor(frames, frames / 2)
    return _divisor(middle, frames / 10), middle, frames


def _divisor(number: int, near: float) -> int:
    """The divisor that is nearest, the larger of two that are equally near."""
    found = [k for k in range(1, number + 1) if number % k == 0]
    return min(found, key=lambda k: (abs(k - near), -k))


def check_partition(name: str) -> None:
    """ValueError for a name that is neither a partition's nor a reducer's, and for one that needs the actor."""
    known = ["none", *(known for known in STRATEGIES if known != "oracle"), *REDUCERS]
    if name == "oracle" or (name in REDUCERS and getattr(reducer(name), "signal", None) == "oracle"):
        raise ValueError(f"{name!r} needs to know where the actor is, which no list of films says.")
    if name not in known:
        raise ValueError(f"partition is {name!r}; it is one of {', '.join(known)}.")


def columns(partition: str) -> tuple[str, ...]:
    """What a partition is given."""
    return ("tokens",) if partition in BLIND else ("tokens", "motion", "vectors")


def build(partition: str, config: Config, shape: Shape, classes: int, seed: int) -> VideoClassifier:
    """The network for films whose windows have tokens of this shape (L, h, w, C)."""
    check_partition(partition)
    chunks = config.chunks or chunks_of(shape[0])
    plug: dict[str, Any] = {"reducer": partition} if partition in REDUCERS else {"partition": partition}
    if partition == "none":
        plug = {"partition": None}
    alike = {name: getattr(config, name) for name in ("widths", "residual", "aux", "guidance", "dropout", "r")}
    gamma = 1 if partition == "none" else config.gamma
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return VideoClassifier(shape[-1], len(chunks), chunks, max(1, classes), gamma=gamma, **alike, **plug)


def forward(model: nn.Module, batch: Batch) -> Tensor:
    """The network on a batch; in training with aux="heads" (B, 2, K), so that each of the paths has its own loss."""
    if not model.training or getattr(model, "module", model).aux_mode != "heads":
        return plain_forward(model, batch)
    known = {name: batch[name] for name in ("motion", "vectors") if name in batch}
    outputs, trace = model(batch["tokens"], trace=True, **known)
    return outputs if trace.paths is None else torch.stack(trace.paths, 1)


@torch.no_grad()
def cost(network: VideoClassifier, data: Data, shape: Shape) -> tuple[int, float]:
    """Tokens that a few windows are left with, and the FLOPs of a forward pass as a share of those without merging."""
    device, grid = next(network.parameters()).device, shape[:3]
    some = default_collate([data[i] for i in range(min(2, len(data)))])
    known = {name: value.to(device).float() for name, value in some.items() if name != "label"}
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        _, trace = network.eval()(known.pop("tokens"), **known, trace=True)
    whole = VideoClassifier(**network.config | {"partition": None, "reducer": None, "gamma": 1})
    flops = count(network, *grid, trace=trace).flops / count(whole, *grid).flops
    return trace.blocks[-1].left, flops


# ------------------------------------------------------------------------------------------------- what is on the disk


def described(films: VideoList, store: Features, config: Config) -> dict[str, Any]:
    """What decides a run's result, beside its partition and seed: small values that JSON can hold."""
    named = sorted((entry.id, entry.split, entry.group, entry.label) for entry in store.entries)
    digest = hashlib.sha256(json.dumps(named).encode()).hexdigest()[:12]
    made = json.loads((store.folder / "what.json").read_text(encoding="utf-8"))
    data = {"data": films.name, "films": len(store), "their names and labels": digest, "encoder": made["encoder"]}
    return data | made["settings"] | asdict(config)


def agree(folder: Path, about: Mapping[str, Any]) -> None:
    """Keep the settings of a folder of runs; a ValueError where it holds runs with others."""
    path, about = folder / "settings.json", json.loads(json.dumps(about))
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")  # several processes may write the same
        fresh.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        fresh.replace(path)
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        changed = [f"{name} {there.get(name)} -> {value}" for name, value in about.items() if there.get(name) != value]
    except (ValueError, AttributeError):
        raise ValueError(f"{path} is damaged: delete it together with what lies beside it.") from None
    if changed:
        raise ValueError(
            f"{folder} holds runs with other settings ({', '.join(changed)}); give another folder, or delete it."
        )
