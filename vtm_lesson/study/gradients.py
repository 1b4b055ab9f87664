"""Why not let the gradient flow through the merging itself? Seven ways to learn saliency, trained at one budget.

Every gradient of `network.choosing`, and the controls random and oracle, train the same small network on the same
films: films in which the choice of targets matters, as the actor is in few patches of few frames.

(tune)     each gradient's one setting has three trials, on films that nothing else uses; the best on validation films
           is taken, together with how targets are chosen at test time, drawn or the highest saliency
(trained)  networks by place, seed and gradient: accuracy, recall of the targets that are chosen at test time
(cost)     time and memory of a training step, all gradients in turns
(toy)      bias and noise of each gradient on choices small enough to try all of them (`study.estimates`)

`gradients_command` is the command, its table and its figures.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import films
from ..datasets.toy import Encoder, painted
from ..encoders.frozen import load_encoder
from ..measuring import clock
from ..network.denormals import flushed_denormals
from ..network.model import VideoClassifier
from ..training.loop import Items, Recipe, evaluate, schedule
from .estimates import Toy, leave_one_out, quality
from .experiment import forward
from .jobs import ACTOR, PLACES
from .kept import PointResults
from .phase import standardised, window

TRIALS: dict[str, tuple[float, ...]] = {
    "auxiliary": (1, 7, 20),
    "straight_through": (0.3, 1, 3),
    "annealed": (0.1, 0.3, 1),
    "relaxed": (0.3, 1, 3),
    "perturbed": (0.3, 1, 3),
    "reinforce": (2, 4, 8),
    "weighted": (1, 3, 10),
}
CONTROLS = ("random", "oracle")
CHOICES = ("sample", "top")  # how targets are chosen at test time: `BlockConfig.test_targets`
FILMS = 100  # where the seeds of films begin; other studies use smaller ones
TUNING = 20  # the seed whose films are for trials only


@dataclass(frozen=True)
class Gradients:
    """Everything that decides the results; with the code's version, enough to repeat them."""

    frames: int = 8
    size: int = 64
    stature: float = 1.0
    shown: int = 2
    props: int = 4
    gamma: float = 6
    chunks: tuple[int, ...] = (2, 8)
    width: int = 48
    seeds: int = 5
    train: int = 400
    valid: int = 160
    test: int = 320
    epochs: int = 9
    warmup: float = 1.0
    lr: float = 3e-3
    batch: int = 16
    places: tuple[str, ...] = PLACES[:2]
    rounds: int = 9
    toys: int = 20
    estimates: int = 2000

    def __post_init__(self) -> None:
        if not 1 <= self.seeds < TUNING or min(self.train, self.valid, self.test) < self.batch:
            raise ValueError(
                f"seeds is {self.seeds}, films are {self.train}, {self.valid} and {self.test}; give 1 to {TUNING - 1}"
                f" seeds, and as many films as a batch has, {self.batch}, or more."
            )
        if not 1 <= self.shown <= self.frames:
            raise ValueError(f"shown is {self.shown}; the actor is there for 1 to {self.frames} frames.")


@dataclass(frozen=True, order=True)
class Point:
    """One thing that is measured: the fields that tell its result from all others; what it has no use for is empty."""

    part: str
    gradient: str
    place: str = ""
    seed: int = 0
    setting: float = 0.0


class Results(PointResults[Point]):
    """What a folder holds of such a study, and what its trials chose."""

    point = Point

    def chosen(self, gradient: str, place: str) -> dict[str, Any]:
        """The setting and the choice at test time with the least loss on the validation films of the trials."""
        if gradient in CONTROLS:
            return {"setting": 0.0, "choice": "sample"}
        found = [
            (self.done[point]["loss"][choice], {"setting": point.setting, "choice": choice})
            for point in trials(self.study, place)
            if point.gradient == gradient
            for choice in CHOICES
        ]
        return min(found, key=lambda pair: pair[0])[1]


# -------------------------------------------------------------------------------------------------- what is measured


def trials(study: Gradients, place: str) -> list[Point]:
    """The trials of every gradient's setting at that place."""
    return [Point("tune", name, place, TUNING, float(one)) for name, tried in TRIALS.items() for one in tried]


def trainings(study: Gradients, place: str, seed: int) -> list[Point]:
    """What is trained at that place with that seed."""
    return [Point("trained", name, place, seed) for name in (*CONTROLS, *TRIALS)]


def others(study: Gradients) -> list[Point]:
    """Costs and toys."""
    costs = [Point("cost", name, place) for place in study.places for name in (*CONTROLS, *TRIALS)]
    toys = [Point("toy", name, setting=float(one)) for name, tried in TRIALS.items() for one in tried]
    return costs + toys


def points(study: Gradients) -> list[Point]:
    """Everything, in an order in which each needs only what came before."""
    found = [point for place in study.places for point in trials(study, place)]
    for place in study.places:
        for seed in range(study.seeds):
            found += trainings(study, place, seed)
    return found + others(study)


def film_sets(study: Gradients, seed: int, encoder: Encoder | None = None, progress: bool = True) -> list[Items]:
    """Films to train on, for validation and for the test, of that seed alone; tokens standardised by the first."""
    encoder, sets = encoder or load_encoder("patch"), []
    for k, count in enumerate((study.train, study.valid, study.test)):
        numbers = [(FILMS + 3 * seed + k) * 2**20 + i for i in range(count)]
        shown = [window(number, study.frames, study.shown) for number in numbers]
        sets.append(painted(numbers, encoder=encoder, shown=shown, progress=progress, frames=study.frames,
                            size=study.size, stature=study.stature, props=study.props))  # fmt: skip
    return [standardised(items, sets[0]) for items in sets]


def network(study: Gradients, gradient: str, place: str, seed: int, setting: float, choice: str) -> VideoClassifier:
    """The network of a gradient or control. The settings of "auxiliary" are its guidance."""
    options: dict[str, Any] = {"partition": gradient}
    if gradient not in CONTROLS:
        options = {"partition": "learnable", "gradient": gradient, "test_targets": choice, "setting": setting}
    if gradient == "auxiliary":
        options |= {"aux": "heads", "guidance": setting, "setting": None}
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return VideoClassifier(
            study.width,
            blocks=len(study.chunks),
            chunks=study.chunks,
            widths=(study.width,) * len(study.chunks),
            classes=len(films.GESTURES),
            gamma=study.gamma,
            merge_at=place,
            residual=True,
            **options,
        )


def step_loss(model: VideoClassifier, batch: dict[str, Tensor]) -> Tensor:
    """The loss of a training step. With "reinforce" every film is drawn for several times, and the log-probabilities
    of its draws are weighted by how much worse each was than the others."""
    config = model.each_block[0].config
    if config.gradient != "reinforce":
        outputs = forward(model, batch)
        paths = outputs.unbind(1) if outputs.dim() == 3 else (outputs,)
        return torch.stack([F.cross_entropy(path, batch["label"]) for path in paths]).mean()
    draws = int(config.setting or 2)
    many = {name: column.repeat_interleave(draws, 0) for name, column in batch.items()}
    logits, trace = forward(model, many, trace=True)
    losses = F.cross_entropy(logits, many["label"], reduction="none")
    chance = torch.stack([block.log_probability for block in trace.blocks]).sum(0)
    return (losses + leave_one_out(losses, draws) * chance).mean()


def _batch(items: Items, index: Tensor) -> dict[str, Tensor]:
    return {
        name: column[index].float() if column.is_floating_point() else column[index]
        for name, column in items.columns.items()
    }


@flushed_denormals()
def fit(model: VideoClassifier, sets: Sequence[Items], study: Gradients, seed: int) -> list[float]:
    """Train in place, to the epoch of the best validation loss; returns that loss after every epoch.

    As `training.fit`, with what the gradients need besides: a loss of their own, and to know how far training is.
    """
    training, valid = sets[0], sets[1]
    optimizer = torch.optim.AdamW(model.parameters(), lr=study.lr, weight_decay=0.01)
    per_epoch = math.ceil(len(training) / study.batch)
    steps = study.epochs * per_epoch
    rates = schedule(optimizer, steps, round(study.warmup * per_epoch))
    losses: list[float] = []
    best: dict[str, Tensor] = {}
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        for epoch in range(study.epochs):
            model.train()
            for i, index in enumerate(torch.randperm(len(training)).split(study.batch)):
                model.anneal((epoch * per_epoch + i) / max(1, steps - 1))
                loss = step_loss(model, _batch(training, index))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                rates.step()
            losses.append(evaluate(model, valid, Recipe(seed=seed, batch=32), forward=forward).loss)
            if losses[-1] == min(losses):
                best = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best)
    return losses


def train(
    study: Gradients,
    folder: str | Path,
    todo: Sequence[Point],
    encoder: Encoder | None = None,
    progress: bool = True,
    after: Callable[[], None] | None = None,
) -> None:
    """Train what is not done yet of these points of one place and seed; the trials before, if they are trainings.

    after: called after each.
    """
    results = Results(study, folder)
    todo = [point for point in todo if point not in results.done]
    if not todo:
        return
    sets = film_sets(study, todo[0].seed, encoder, progress)
    for point in todo:
        started = time.perf_counter()
        setting = point.setting if point.part == "tune" else results.chosen(point.gradient, point.place)["setting"]
        values = _trained(study, replace(point, setting=setting), sets)
        results.keep(point, values | {"seconds": round(time.perf_counter() - started, 2)})
        if after is not None:
            after()


def _trained(study: Gradients, point: Point, sets: Sequence[Items]) -> dict:
    model = network(study, point.gradient, point.place, point.seed, point.setting, "sample")
    losses = fit(model, sets, study, point.seed)
    values: dict[str, Any] = {"losses": [round(loss, 4) for loss in losses], "used": point.setting}
    values |= {"loss": {}, "valid": {}, "accuracy": {}, "recall": {}}
    for choice in CHOICES:
        tested = network(study, point.gradient, point.place, point.seed, point.setting, choice)
        tested.load_state_dict(model.state_dict())
        recipe = Recipe(seed=point.seed, batch=32)
        seen = evaluate(tested, sets[1], recipe, forward=forward)
        values["loss"][choice], values["valid"][choice] = round(seen.loss, 4), seen.accuracy
        if point.part == "trained":
            values["accuracy"][choice] = evaluate(tested, sets[2], recipe, forward=forward).accuracy
            values["recall"][choice] = recall(tested, sets[2], point.seed)
    return values


@torch.no_grad()
def recall(model: VideoClassifier, items: Items, seed: int, count: int = 128) -> float:
    """The share of the actor's patches that are targets in block 1, at test time, mean over films."""
    batch = _batch(items, torch.arange(min(count, len(items))))
    generator = torch.Generator().manual_seed(seed)
    trace = forward(model.eval(), batch, trace=True, generator=generator)[1]
    actor = batch["oracle"].flatten(1) >= ACTOR
    met = torch.zeros_like(actor).scatter(1, trace.blocks[0].target_patches, True)
    return float(((met & actor).sum(1) / actor.sum(1).clamp(min=1)).mean())


def measure_costs(study: Gradients, results: Results, encoder: Encoder | None = None, progress: bool = True) -> None:
    """Time and memory of a training step, all gradients and controls in turns, as ratios to random targets."""
    todo = [point for point in others(study) if point.part == "cost" and point not in results.done]
    if not todo:
        return
    small = replace(study, train=study.batch, valid=study.batch, test=study.batch)
    batch = _batch(film_sets(small, TUNING, encoder, progress)[0], torch.arange(study.batch))
    for place in dict.fromkeys(point.place for point in todo):
        steps: dict[str, Callable[[], None]] = {}
        for name in (*CONTROLS, *TRIALS):
            setting = results.chosen(name, place)["setting"]
            steps[name] = _step(network(study, name, place, 0, setting, "sample").train(), batch)
        label = "timing training steps" if progress else None
        times = flushed_denormals()(clock.interleaved)(steps, study.rounds, 2, label=label)
        memory = {name: clock.peak_tensors(step) for name, step in steps.items()}
        for name in steps:
            values = {
                "milliseconds": round(1000 * clock.spread(times[name])["median"], 2),
                "time": {key: round(value, 3) for key, value in clock.ratio(times, name, "random").items()},
                "megabytes": round(memory[name] / 1e6, 2),
                "memory": round(memory[name] / memory["random"], 3),
                "used": results.chosen(name, place)["setting"],
            }
            results.keep(Point("cost", name, place), values)


def _step(model: VideoClassifier, batch: dict[str, Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        step_loss(model, batch).backward()
        optimizer.step()

    step()  # so that the optimiser's own memory is there before anything is measured
    return step


def measure_toys(study: Gradients, results: Results) -> None:
    """Bias and noise of every gradient and setting against the exact gradient, over toys."""
    for point in others(study):
        if point.part != "toy" or point in results.done:
            continue
        found = []
        for seed in range(study.toys):
            toy = Toy.make(seed)
            weigh = point.setting if point.gradient == "weighted" else 0.0
            estimates = toy.estimates(point.gradient, point.setting, study.estimates, seed)
            found.append(quality(estimates, toy.exact(weigh)))
        results.keep(point, {name: [round(one[name], 4) for one in found] for name in found[0]})
