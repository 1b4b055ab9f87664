"""Many long-form experiments: partitions x seeds in a folder that keeps every finished run, and never does it again.

    settings.json     what all runs of the folder have in common; others are refused
    results.jsonl     a line for each finished run: a `Score`
    networks/         weights; of a run under way also where it stands, so that a stopped one carries on
    logs/             scalars for TensorBoard, where it is installed: tensorboard --logdir logs

Under torchrun every process calls the same functions. Process 0 alone writes and speaks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from safetensors import SafetensorError

from ..datasets.extraction import Features
from ..datasets.lists import ListError, VideoList
from ..datasets.store import WHAT, FeatureStore, StoreError
from .longform import Config, Score, agree, check_partition, described, experiment
from .windows import parts

T = TypeVar("T")
PATIENCE = timedelta(days=30)  # how long processes wait for the first one: features may take days


def rank() -> int:
    """The number of this process among those of torchrun; 0 where there is only one."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def first(make: Callable[[], T]) -> T:
    """What process 0 makes while the others wait. All get it, or the error that it met."""
    if not (dist.is_available() and dist.is_initialized()):
        return make()
    group = dist.new_group(backend="gloo", timeout=PATIENCE)
    box: list[Any] = [None]
    if dist.get_rank() == 0:
        try:
            box = [(make(), None)]
        except (ValueError, ImportError, RuntimeError, OSError, SafetensorError) as error:
            box = [(None, type(error)(str(error)))]
    dist.broadcast_object_list(box, 0, group=group)
    value, failure = box[0]
    if failure is not None:
        raise failure
    return value


def stored(films: VideoList, folder: str | Path) -> Features:
    """The features of films that are in a folder already; neither films nor encoder are needed.

    Parameters
    ----------
    films : VideoList
        A list; whether its films were looked for plays no part.
    folder : str or Path
        Of features, as `vtm.features` makes them.

    Returns
    -------
    Features
        Of the films that have some; the others are missing.

    Raises
    ------
    ListError
        Where no film of the list has features there.
    StoreError
        Where that is no folder of features, or something in it is damaged.
    """
    home = Path(folder)
    try:
        what = json.loads((home / WHAT).read_text(encoding="utf-8"))
    except OSError:
        raise StoreError(f"{home} is no folder of features: it has no {WHAT}; give the films with --videos.") from None
    except ValueError:
        raise StoreError(f"{home / WHAT} is damaged: give another folder, or delete this one.") from None
    kept = FeatureStore(home, what)
    every = (*films.entries, *films.missing)
    entries = [entry for entry in every if entry.id in kept.places]
    if not entries:
        raise ListError(f"none of the {len(every)} films of {films.name} has features in {home}.")
    missing = tuple(entry for entry in every if entry.id not in kept.places)
    return Features(home, entries, kept.places, {}, missing, task=films.task)


def leak(films: VideoList, store: Features, config: Config) -> str | None:
    """One line where test films belong to groups (feature films, persons) that are trained on, too; else None."""
    apart = parts(films, store, 0, config.valid)
    known = {entry.group for entry in apart["train"].entries if entry.group}
    test = apart["test"].entries
    met = sum(entry.group in known for entry in test)
    if not met:
        return None
    return (
        f"{met} of {len(test)} test films belong to a group (feature film, person) that is trained on, too: the list "
        "has them so, and what a network knows of a group may help it there."
    )


class Runs:
    """Partitions x seeds on one data set.

    Parameters
    ----------
    films : VideoList
        With labels.
    store : Features
        Theirs.
    config : Config
        The same for all.
    folder : Path
        See above.
    device, workers
        As in `experiment`.
    logs : bool
        Write scalars for TensorBoard.
    say : function
        Takes lines of text.

    Raises
    ------
    ValueError
        Where the folder holds runs with other settings, or a damaged line.
    """

    def __init__(
        self,
        films: VideoList,
        store: Features,
        config: Config,
        folder: str | Path,
        *,
        device: torch.device | str | None = None,
        workers: int = 0,
        logs: bool = True,
        progress: bool = True,
        say: Callable[[str], None] = print,
    ):
        self.films, self.store, self.config, self.folder = films, store, config, Path(folder)
        self.device, self.workers, self.progress = device, workers, progress
        self.say = say if rank() == 0 else lambda line: None
        self.logs = logs and rank() == 0
        self.settings = described(films, store, config)
        self.scores: list[Score] = first(self._resume)

    def over(self, partitions: Sequence[str], seeds: Iterable[int]) -> list[Score]:
        """Do what is not done yet, seed by seed, so that a stopped call leaves partitions that can be compared."""
        for partition in partitions:
            check_partition(partition)
        asked = [(partition, seed) for seed, partition in product(seeds, partitions)]
        done = {(score.partition, score.seed) for score in self.scores}
        todo = [pair for pair in asked if pair not in done]
        if todo:
            sizes = {name: len(own) for name, own in parts(self.films, self.store, 0, self.config.valid).items()}
            self.say(
                f"{len(todo)} runs of {self.config.epochs} epochs"
                + (f" ({len(asked) - len(todo)} are done)" if len(todo) < len(asked) else "")
                + f": {sizes['train']} films to train on, {sizes['valid']} validate, {sizes['test']} test."
            )
        for number, (partition, seed) in enumerate(todo):
            self._one(partition, seed, len(todo) - number if number == 0 else 0)
        return [score for score in self.scores if (score.partition, score.seed) in set(asked)]

    def _one(self, partition: str, seed: int, left: int) -> None:
        name = f"{partition}-seed{seed}"
        home = self.folder / "networks" / name
        log = Log(self.folder / "logs" / name, self.say) if self.logs else None

        def after_epoch(record: dict) -> None:
            if log is not None:
                log.add(record)
            if left and record["epoch"] == 0:
                seconds = record["seconds"] * self.config.epochs * left
                self.say(f"All of it takes about {_span(seconds)}, judged by the first epoch.")

        score = experiment(
            self.films, self.store, partition, self.config, seed,
            folder=home, device=self.device, workers=self.workers, after_epoch=after_epoch, progress=self.progress,
        )  # fmt: skip
        if log is not None:
            log.close()
        self.scores.append(score)
        if rank() == 0:
            with (self.folder / "results.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(score)) + "\n")
            (home / "state.safetensors").unlink(missing_ok=True)  # the best weights stay

    def _resume(self) -> list[Score]:
        """The runs that are finished; a last line that is cut off is done again."""
        agree(self.folder, self.settings)
        path = self.folder / "results.jsonl"
        if not path.exists():
            return []
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        found = []
        for number, line in enumerate(lines):
            try:
                found.append(Score(**json.loads(line)))
            except (ValueError, TypeError):
                if number + 1 < len(lines) or text.endswith("\n"):
                    raise ValueError(f"{path}, line {number + 1} is no result: delete that line.") from None
        if not text.endswith("\n"):
            path.with_suffix(".new").write_text("".join(json.dumps(asdict(score)) + "\n" for score in found))
            path.with_suffix(".new").replace(path)
        return found


class Log:
    """Scalars of a run for TensorBoard, by epoch: train/loss, valid/loss, valid/score. Without it, one line says so."""

    told = False

    def __init__(self, folder: Path, say: Callable[[str], None]):
        self.folder, self.there = folder, True
        self.writer: Any = None
        try:
            import torch.utils.tensorboard  # noqa: F401
        except ImportError:
            self.there = False
            if not Log.told:
                say("TensorBoard is not installed (pip install tensorboard), so logs are skipped; training goes on.")
            Log.told = True

    def add(self, record: dict) -> None:
        """One epoch's record, as `fit` makes it."""
        if not self.there:
            return
        from torch.utils.tensorboard import SummaryWriter

        epoch = record["epoch"]
        if self.writer is None:  # what a stopped call had logged beyond its last state is thrown away
            self.writer = SummaryWriter(str(self.folder), purge_step=epoch)
        score = record.get("valid_accuracy", record["valid_loss"])
        for name, value in (
            ("train/loss", record["train_loss"]),
            ("valid/loss", record["valid_loss"]),
            ("valid/score", score),
        ):
            self.writer.add_scalar(name, value, epoch)

    def close(self) -> None:
        """Write what is left."""
        if self.writer is not None:
            self.writer.close()


def leave() -> bool:
    """Leave the processes of torchrun; whether there were some."""
    if not (dist.is_available() and dist.is_initialized()):
        return False
    with suppress(RuntimeError):
        dist.destroy_process_group()
    return True


def _span(seconds: float) -> str:
    if seconds < 7200:
        return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
