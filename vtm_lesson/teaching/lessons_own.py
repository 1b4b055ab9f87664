"""Exercise checks of lesson 13, your own strategy: whole frames, runs, energy, thresholds, the front, and your own."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..merging.strategies import Context
from ..study.own import OwnError, trials, tried
from .comparing import OtherKind
from .exercise import Case, Exercise, generator, random
from .slips import own as slips


def _frame_targets(frames: int, height: int, width: int, n_targets: int) -> Tensor:
    return _tokens_of(_spread(frames, _frames_asked(height, width, n_targets)), height, width)[:n_targets]


def _frames_asked(height: int, width: int, n_targets: int) -> int:
    return math.ceil(n_targets / (height * width))


def _spread(frames: int, k: int) -> Tensor:
    return torch.arange(k) * frames // k


def _tokens_of(chosen: Tensor, height: int, width: int) -> Tensor:
    """The positions of all tokens of these frames, frame by frame."""
    return (chosen[:, None] * height * width + torch.arange(height * width)).flatten()


def _frames_by(choose: Callable[[int, int], Tensor]) -> Callable:
    """Tokens of other frames: choose(frames, k) gives the numbers of k of them."""
    return lambda frames, height, width, n_targets: _tokens_of(
        choose(frames, _frames_asked(height, width, n_targets)), height, width
    )[:n_targets]


frame_targets = Exercise(
    "frame_targets",
    answer=_frame_targets,
    cases=lambda: [
        ("one frame of 1 x 2, cut", (3, 1, 2, 1)),
        ("two of four frames of 1 x 2", (4, 1, 2, 4)),
        ("two of five frames", (5, 1, 2, 4)),
        ("the last frame is cut", (5, 1, 3, 5)),
        ("three of eight frames of 2 x 2", (8, 2, 2, 12)),
        ("three of seven frames, cut", (7, 2, 3, 13)),
        ("all tokens", (3, 2, 1, 6)),
        ("all frames, the last one cut", (4, 1, 3, 10)),
        ("less than a frame", (9, 3, 4, 7)),
        ("frames of one token", (11, 1, 1, 4)),
        ("a film of the course: 12 frames of 8 x 8, a sixth of them", (12, 8, 8, 128)),
        ("its second merge: 22 targets", (12, 8, 8, 22)),
    ],
    hints=(
        "Which frames? That is one formula with i and k. Which tokens of them? A frame's tokens follow each other.",
        "Frame number f begins at position `f * height * width`. With `torch.arange(k) * frames // k` you have all the "
        "frames; add `torch.arange(height * width)` to each one's first position.",
        "`first = torch.arange(k) * frames // k * places`, then `(first[:, None] + torch.arange(places)).flatten()`, "
        "and of that the first `n_targets`.",
    ),
    mistakes=(
        (
            "You round the number of frames down; for the rest of the budget one more frame is begun.",
            lambda f, h, w, t: _tokens_of(_spread(f, max(1, t // (h * w))), h, w)[:t],
        ),
        (
            "Cut the last frame, so that exactly n_targets tokens are left; you take it whole.",
            lambda f, h, w, t: _tokens_of(_spread(f, _frames_asked(h, w, t)), h, w),
        ),
        (
            "You cut the first frame; asked is to cut the last one.",
            lambda f, h, w, t: _tokens_of(_spread(f, _frames_asked(h, w, t)), h, w)[-t:],
        ),
        (
            "Those frames follow each other; spread them over the film: frame i is floor(i * frames / k).",
            _frames_by(lambda frames, k: torch.arange(k)),
        ),
        (
            "Those are the film's last frames; spread them from frame 0 on: frame i is floor(i * frames / k).",
            lambda f, h, w, t: torch.arange(f * h * w - t, f * h * w),
        ),
        (
            "You spread from the first to the last frame; frame i is floor(i * frames / k), so that the last frame is "
            "taken only if all are.",
            _frames_by(lambda frames, k: torch.arange(k) * (frames - 1) // max(1, k - 1)),
        ),
        (
            "You take the middle of each of k parts; asked is where the part begins, so that frame 0 is there.",
            _frames_by(lambda frames, k: (2 * torch.arange(k) + 1) * frames // (2 * k)),
        ),
        (
            "You go on in whole steps of frames // k, so that the end of the film is left out; multiply by frames "
            "first: floor(i * frames / k).",
            _frames_by(lambda frames, k: torch.arange(k) * (frames // k)),
        ),
        (
            "Round the frame's number down, as floor does.",
            _frames_by(lambda frames, k: (torch.arange(k) * frames + k - 1) // k),
        ),
        (
            "Round the frame's number down, as floor does.",
            _frames_by(lambda frames, k: (torch.arange(k) * frames / k).round().long()),
        ),
        (
            "You spread tokens over the film, as naive VTM does; asked are whole frames.",
            lambda f, h, w, t: torch.arange(t) * f * h * w // t,
        ),
        (
            "Those are the numbers of the frames; asked are the positions of their tokens.",
            lambda f, h, w, t: _spread(f, _frames_asked(h, w, t)),
        ),
        *slips.FRAME_TARGETS,
    ),
    tolerance=0,
    minutes=6,
    difficulty=2,
    importance=3,
)  # fmt: skip


def _run_groups(changes: Tensor, threshold: float) -> Tensor:
    return _runs(torch.cat([torch.ones(1, changes.shape[1], dtype=torch.bool), changes >= threshold]))


def _runs(begins: Tensor) -> Tensor:
    """Groups from where they begin, (T, P) bool with a first row of True."""
    number = begins.flatten().cumsum(0).view(begins.shape) - 1
    return torch.where(begins, number, 0).cummax(0).values


def _begins(changes: Tensor, threshold: float) -> Tensor:
    return torch.cat([torch.ones(1, changes.shape[1], dtype=torch.bool), changes >= threshold])


def _changing(seed: int, frames: int, places: int, threshold: float) -> tuple:
    """Changes in eighths, so that some are exactly the threshold."""
    return (random(seed, frames - 1, places).abs() * 8).round() / 8, threshold


run_groups = Exercise(
    "run_groups",
    answer=_run_groups,
    cases=lambda: [
        ("one place", (torch.tensor([[0.1], [0.9], [0.2]]), 0.5)),
        ("two places, one that changes", (torch.tensor([[0.1, 0.8], [0.1, 0.2]]), 0.5)),
        ("a change of exactly the threshold", (torch.tensor([[0.5, 0.25], [0.25, 0.5]]), 0.5)),
        ("nothing changes", (torch.zeros(3, 3), 0.1)),
        ("all is new in every frame", (torch.ones(2, 4), 0.5)),
        ("threshold 0", (torch.zeros(2, 2), 0.0)),
        ("a film of one frame", (torch.zeros(0, 5), 0.5)),
        ("a place that changes twice", (torch.tensor([[0.9, 0.0, 0.0], [0.0, 0.0, 0.7], [0.8, 0.0, 0.0]]), 0.5)),
        ("5 frames of 6 places", _changing(1, 5, 6, 0.625)),
        ("12 frames of 9 places", _changing(2, 12, 9, 0.875)),
    ],
    hints=(
        "Mark first which tokens begin a group. Then there are two questions: which number does a beginning get, and "
        "which beginning does any other token belong to?",
        "`begins = torch.cat([torch.ones(1, changes.shape[1], dtype=torch.bool), changes >= threshold])`. Beginnings "
        "are counted in time order by `begins.flatten().cumsum(0)`, less 1. Two loops, over frames and places, do too.",
        "At a place, later groups have higher numbers. So put 0 where no group begins, and take the highest number up "
        "to each frame: `torch.where(begins, number, 0).cummax(dim=0).values`.",
    ),
    mistakes=(
        (
            "A token that changes by less than the threshold joins; at exactly the threshold it begins a group.",
            lambda c, t: _runs(torch.cat([torch.ones(1, c.shape[1], dtype=torch.bool), c > t])),
        ),
        (
            "You have it the wrong way round: what changes little joins, what changes much begins a group.",
            lambda c, t: _runs(torch.cat([torch.ones(1, c.shape[1], dtype=torch.bool), c < t])),
        ),
        (
            "Groups are numbered frame by frame; you number them place by place.",
            lambda c, t: _begins(c, t).T.flatten().cumsum(0).view(c.shape[1], len(c) + 1).T - 1,
        ),
        (
            "You give each group the position of its first token; number the groups 0, 1, 2, ... without gaps.",
            lambda c, t: torch.where(
                _begins(c, t), torch.arange(_begins(c, t).numel()).view(len(c) + 1, -1), 0
            ).cummax(0).values,
        ),
        (
            "A token joins the group of its place in the frame before; yours joins whichever group began last.",
            lambda c, t: _begins(c, t).flatten().cumsum(0).view(len(c) + 1, -1) - 1,
        ),
        (
            "You look only one frame back: the token there may belong to a group that began earlier.",
            lambda c, t: _one_back(_begins(c, t)),
        ),
        (
            "Count the groups from 0.",
            lambda c, t: _run_groups(c, t) + 1,
        ),
        (
            "One number for each frame but the first is missing: in frame 0 every token begins a group.",
            lambda c, t: _run_groups(c, t)[1:],
        ),
        (
            "Every place for itself: you begin new groups everywhere as soon as one place changes.",
            lambda c, t: _runs(_begins(c, t).any(1, keepdim=True).expand(-1, c.shape[1])),
        ),
        (
            "Each place counts its own groups from 0 there; number the groups of the whole film.",
            lambda c, t: _begins(c, t).cumsum(0) - 1,
        ),
        *slips.RUN_GROUPS,
    ),
    tolerance=0,
    minutes=10,
    difficulty=4,
    importance=3,
)  # fmt: skip


def _one_back(begins: Tensor) -> Tensor:
    """Who begins no group gets the number that the token one frame before would have if it began one."""
    number = begins.flatten().cumsum(0).view(begins.shape) - 1
    return torch.where(begins, number, torch.cat([number[:1], number[:-1]]))


def _energy(keys: Tensor, margin: float) -> Tensor:
    return _energy_by(_valued)(keys, margin)


def _valued(cosine: Tensor, margin: float) -> Tensor:
    return torch.where(cosine >= margin, cosine, torch.expm1(cosine - margin))


def _energy_by(
    value: Callable[[Tensor, float], Tensor] = _valued,
    unit: Callable[[Tensor], Tensor] = lambda keys: F.normalize(keys, dim=1),
    total: Callable[[Tensor], Tensor] = lambda values: values.mean(1),
) -> Callable:
    return lambda keys, margin: total(value(unit(keys) @ unit(keys).T, margin))


def _clusters() -> list[Case]:
    four = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, -0.1], [0.0, 3.0]])
    halves = torch.tensor([[1.0, 1, 1, 1], [2, 0, 0, 0], [0, -4, 0, 0], [1, 1, -1, -1], [0, 0, 0, 1]])
    return [
        ("two keys", (torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), 0.25)),
        ("three alike, one long key alone", (four, 0.75)),
        ("keys of one direction and many lengths", (torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.5, 0.0]]), 0.9)),
        ("cosines of exactly the margin", (halves, 0.5)),
        ("margin 1", (torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 1.0]]), 1.0)),
        ("opposite keys", (torch.tensor([[1.0, 0.0, 0.0], [-2.0, 0.0, 0.0]]), 0.0)),
        ("a key of zeros", (torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 1.0]]), 0.4)),
        ("a margin below zero", (random(3, 5, 3), -0.3)),
        ("nine tokens of six channels", (3 * random(4, 9, 6) + 1, 0.375)),
    ]


energy_score = Exercise(
    "energy_score",
    answer=_energy,
    cases=_clusters,
    hints=(
        "What has a key's length to do with how many tokens are like it?",
        "The formula has cosines; the broken function has products of the keys. A cosine is the product of two keys of "
        "length 1.",
        "`unit = F.normalize(keys, dim=1)`, and `unit @ unit.T` in place of `keys @ keys.T`.",
    ),
    mistakes=(
        (
            "Those are products of the keys as they are: a long key looks like a whole cluster. Take cosines.",
            _energy_by(unit=lambda keys: keys),
        ),
        (
            "You give every channel length 1; a key is a row, and each row has length 1.",
            _energy_by(unit=lambda keys: F.normalize(keys, dim=0)),
        ),
        (
            "You divide all keys by one number; each key is divided by its own length.",
            _energy_by(unit=lambda keys: keys / keys.norm().clamp(min=1e-12)),
        ),
        (
            "You divide by the length of the longest key; each key is divided by its own length.",
            _energy_by(unit=lambda keys: keys / keys.norm(dim=1).max().clamp(min=1e-12)),
        ),
        (
            "The sum of a key's channels is not its length; that is the root of the sum of squares.",
            _energy_by(unit=lambda keys: F.normalize(keys, p=1.0, dim=1)),
        ),
        (
            "Below the margin the energy is exp(c - m) - 1; the 1 is not subtracted.",
            _energy_by(lambda c, m: torch.where(c >= m, c, torch.exp(c - m))),
        ),
        (
            "Below the margin the energy is exp(c - m) - 1; you leave out the margin there.",
            _energy_by(lambda c, m: torch.where(c >= m, c, torch.expm1(c))),
        ),
        (
            "Below the margin the energy is exp(c - m) - 1, which is negative, not 0.",
            _energy_by(lambda c, m: torch.where(c >= m, c, 0.0)),
        ),
        ("You take the cosines as they are; below the margin it is exp(c - m) - 1.", _energy_by(lambda c, m: c)),
        (
            "At exactly the margin the cosine counts as it is.",
            _energy_by(lambda c, m: torch.where(c > m, c, torch.expm1(c - m))),
        ),
        (
            "The two branches are exchanged: at the margin and above the cosine counts as it is.",
            _energy_by(lambda c, m: torch.where(c < m, c, torch.expm1(c - m))),
        ),
        ("Take the mean over all tokens, not their sum.", _energy_by(total=lambda v: v.sum(1))),
        (
            "Every token counts, itself as well: n numbers for each, and their mean.",
            _energy_by(total=lambda v: (v.sum(1) - v.diagonal()) / max(1, len(v) - 1)),
        ),
        (
            "Every token counts, itself as well: n numbers for each, and their mean.",
            _energy_by(total=lambda v: (v.sum(1) - v.diagonal()) / len(v)),
        ),
        ("One energy for each token: the mean over one axis only.", _energy_by(total=lambda v: v.mean())),
        ("The sign is turned round: many alike make the energy high.", _energy_by(total=lambda v: -v.mean(1))),
        *slips.ENERGY_SCORE,
    ),
    tolerance=1e-5,
    minutes=5,
    difficulty=2,
    importance=3,
    kind="mend",
)


def _left_at(best: Tensor, threshold: float, n_targets: int) -> Tensor:
    return n_targets + (best <= threshold).sum(1)


left_at = Exercise(
    "left_at",
    answer=_left_at,
    cases=lambda: [
        ("two films of three sources", (torch.tensor([[0.9, 0.5, 0.95], [0.2, 0.1, 0.85]]), 0.8, 2)),
        ("a cosine of exactly the threshold", (torch.tensor([[0.5, 0.75, 0.0], [0.75, 0.875, 1.0]]), 0.75, 1)),
        ("as many targets as sources, and one more", (torch.tensor([[0.9, 0.1, 0.8], [0.2, 0.3, 0.1]]), 0.5, 4)),
        ("all are merged", (torch.tensor([[0.9, 0.8, 0.99], [0.5, 0.7, 0.6]]), 0.0, 3)),
        ("none is merged", (torch.tensor([[0.1, -0.9, 0.3], [0.2, 0.9, 0.0]]), 1.0, 2)),
        ("below zero", (torch.tensor([[-0.5, -0.1, 0.0], [-0.3, -0.9, -0.4]]), -0.25, 1)),
        ("no sources", (torch.zeros(2, 0), 0.9, 5)),
        ("three films of five sources", ((random(5, 3, 5).tanh() * 4).round() / 4, 0.25, 7)),
        ("five films of thirty sources", ((random(6, 5, 30).tanh() * 8).round() / 8, 0.5, 6)),
    ],
    hints=(
        "Who stays? All targets, and those sources that are merged into none of them.",
        "`best <= threshold` is true where a source stays. How many of these has each row?",
        "`n_targets + (best <= threshold).sum(dim=1)`",
    ),
    mistakes=(
        (
            "A source is merged above the threshold; at exactly the threshold it stays.",
            lambda best, threshold, n_targets: n_targets + (best < threshold).sum(1),
        ),
        ("You count those that are merged; asked are those that are left.", lambda b, t, n: (b > t).sum(1)),
        (
            "You count the targets and the sources that are merged; those are the ones that go.",
            lambda b, t, n: n + (b > t).sum(1),
        ),
        ("The targets are left as well.", lambda b, t, n: (b <= t).sum(1)),
        ("One number for each film; you count all films together.", lambda b, t, n: n + (b <= t).sum()),
        ("One number for each film: films are rows.", lambda b, t, n: n + (b <= t).sum(0)),
        (
            "Merged sources are taken from the sources, not from the targets, which all stay.",
            lambda b, t, n: n - (b > t).sum(1),
        ),
        (
            "All targets stay: add them, do not take them off.",
            lambda b, t, n: b.shape[1] - n + (b <= t).sum(1),
        ),
        (
            "Those are all tokens, merged ones as well.",
            lambda b, t, n: torch.tensor([n + b.shape[1]] * len(b)),
        ),
        *slips.LEFT_AT,
    ),
    tolerance=0,
    minutes=3,
    difficulty=1,
    importance=3,
    kind="compute",
)  # fmt: skip


def _pareto(times: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    return _front(times, accuracies, lambda t, a, time, good: (t < time and a >= good) or (t <= time and a > good))


Beats = Callable[[float, float, float, float], bool]


def _front(times: Sequence[float], accuracies: Sequence[float], beats: Beats) -> list[int]:
    """Rows that none beats, the fastest first; beats(t, a, time, good): whether row (t, a) beats row (time, good)."""
    rows = list(zip(times, accuracies, strict=True))
    front = [i for i, own in enumerate(rows) if not any(beats(*other, *own) for other in rows)]
    return sorted(front, key=lambda i: times[i])


def _front_by(beats: Beats) -> Callable:
    return lambda times, accuracies: _front(times, accuracies, beats)


def _running(order: Callable[[float, float], tuple]) -> Callable:
    """One pass in an order of times and accuracies: who is better than all before."""

    def front(times: Sequence[float], accuracies: Sequence[float]) -> list[int]:
        found, best = [], -math.inf
        for i in sorted(range(len(times)), key=lambda i: order(times[i], accuracies[i])):
            if accuracies[i] > best:
                found.append(i)
                best = accuracies[i]
        return found

    return front


pareto_front = Exercise(
    "pareto_front",
    answer=_pareto,
    cases=lambda: [
        ("two rows, one is beaten", ([1.0, 2.0], [0.8, 0.7])),
        ("two rows on the front", ([2.0, 1.0], [0.9, 0.7])),
        ("as good, and slower", ([1.0, 3.0], [0.8, 0.8])),
        ("as fast, and worse", ([2.0, 2.0, 1.0], [0.9, 0.6, 0.5])),
        ("as fast, and worse, before the better one", ([2.0, 1.0, 2.0], [0.6, 0.5, 0.9])),
        ("two equal rows", ([3.0, 1.0, 3.0], [0.9, 0.5, 0.9])),
        ("beaten by none alone, above the line between two", ([1.0, 2.0, 3.0], [0.5, 0.55, 0.9])),
        ("one row", ([2.0], [0.1])),
        ("no rows", ([], [])),
        ("one is best in both", ([5.0, 4.0, 1.0, 3.0], [0.6, 0.8, 0.9, 0.7])),
        ("seven rows in no order", ([4.0, 1.0, 3.0, 2.0, 3.0, 6.0, 1.0], [0.8, 0.4, 0.7, 0.7, 0.75, 0.8, 0.3])),
        ("ties in both", ([2.0, 1.0, 2.0, 1.0, 2.0, 3.0], [0.7, 0.5, 0.6, 0.5, 0.7, 0.7])),
    ],
    hints=(
        "Write down first when one row beats another. It takes two comparisons, and one of them is strict.",
        "For each row ask of all rows: `(t < time and a >= good) or (t <= time and a > good)`. No row beats itself "
        "that way.",
        "Keep i where `not any(...)` over all rows, and end with `sorted(front, key=lambda i: times[i])`, which leaves "
        "equal times in the order in which they came.",
    ),
    mistakes=(
        (
            "You ask for faster and better at once. Who is as good and slower is beaten, and who is as fast and worse.",
            _front_by(lambda t, a, time, good: t < time and a > good),
        ),
        (
            "As fast and better beats as well; you ask for faster.",
            _front_by(lambda t, a, time, good: t < time and a >= good),
        ),
        (
            "As good and faster beats as well; you ask for better.",
            _front_by(lambda t, a, time, good: t <= time and a > good),
        ),
        (
            "A row does not beat itself, nor one that is equal: one of the two comparisons is strict.",
            _front_by(lambda t, a, time, good: t <= time and a >= good),
        ),
        (
            "You take either for both: faster alone, or better alone, beats nobody.",
            _front_by(lambda t, a, time, good: t < time or a > good),
        ),
        (
            "Two equal rows do not beat each other; both stay.",
            _running(lambda time, good: (time, -good)),
        ),
        (
            "Of rows that are equally fast the better one comes first; else the worse one passes before it.",
            _running(lambda time, good: (time,)),
        ),
        ("The fastest come first.", lambda times, good: _pareto(times, good)[::-1]),
        (
            "The fastest come first; you leave the rows in their order.",
            lambda times, good: sorted(_pareto(times, good)),
        ),
        (
            "Those are the rows that are beaten; asked are the others.",
            lambda times, good: sorted(set(range(len(times))) - set(_pareto(times, good)), key=lambda i: times[i]),
        ),
        (
            "Times are better where they are shorter.",
            _front_by(lambda t, a, time, good: (t > time and a >= good) or (t >= time and a > good)),
        ),
        (
            "Accuracies are better where they are higher.",
            _front_by(lambda t, a, time, good: (t < time and a <= good) or (t <= time and a < good)),
        ),
        (
            "Return the numbers of the rows, not their times.",
            lambda times, good: [times[i] for i in _pareto(times, good)],
        ),
        (
            "Return the numbers of the rows, not the rows.",
            lambda times, good: [(times[i], good[i]) for i in _pareto(times, good)],
        ),
        (
            "The fastest and the best are on the front, and so are those between them that nobody beats.",
            lambda times, good: sorted(
                {times.index(min(times)), good.index(max(good))} if times else (), key=lambda i: times[i]
            ),
        ),
        *slips.PARETO_FRONT,
    ),
    tolerance=0,
    minutes=7,
    difficulty=3,
    importance=4,
)  # fmt: skip


@dataclass(eq=False, repr=False)
class Trial(Context):
    """A Context as the input of an exercise: it can be compared with its copy, and said in words.

    Parameters
    ----------
    words : str
        How many tokens of which grid.
    """

    words: str = ""

    def __eq__(self, other: object) -> bool:
        """Whether the tokens are the same; a generator that was drawn from, and noted targets, are no change."""
        mine, others = vars(self), vars(other)
        return all(torch.equal(v, others[k]) for k, v in mine.items() if isinstance(v, Tensor) and k != "targets")

    def __deepcopy__(self, memo: dict) -> Trial:
        """With a generator of its own, in the same state: not every torch that is allowed copies one."""
        made = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(made, name, value.clone())
        if self.generator is not None:
            made.generator = torch.Generator().manual_seed(0)
            made.generator.set_state(self.generator.get_state())
        return made

    def __repr__(self) -> str:
        return self.words


def as_trial(context: Context, words: str) -> Trial:
    """A Context as a Trial."""
    return Trial(**{field.name: getattr(context, field.name) for field in dataclasses.fields(Context)}, words=words)


def trial(batch: int, grid: tuple[int, int, int], gamma: float, n: int, seed: int = 0) -> Trial:
    """n tokens that earlier merges left of a grid, frames x height x width, with random keys and signals."""
    chance, whole = generator(seed), math.prod(grid)
    position = torch.stack([torch.randperm(whole, generator=chance)[:n].sort().values for _ in range(batch)])
    keys, signals = torch.randn(batch, n, 8, generator=chance), torch.rand(4, batch, n, generator=chance)
    made = Context(keys, gamma, *grid, position, torch.ones(batch, n))
    made.motion, made.oracle, made.saliency, made.relative = signals
    made.generator = generator(seed + 1)
    left = " x ".join(map(str, grid))
    return as_trial(made, f"{n} tokens of {batch} film{'s' * (batch > 1)} (what is left of {left}), gamma {gamma:g}")


def _own_cases() -> list[Case]:
    cases: list[Case] = [(words, (as_trial(make(), words),)) for words, make in trials()]
    uneven = trial(3, (5, 3, 4), 2.5, 37, seed=2)
    black = trial(2, (3, 4, 4), 6, 48)
    for name in ("keys", "motion", "relative", "saliency", "oracle"):
        setattr(black, name, torch.zeros_like(getattr(black, name)))
    black.words = "48 tokens of 2 black films, in which nothing moves, gamma 6"
    narrow = trial(2, (4, 3, 1), 1.5, 5, seed=4)
    return [*cases, *((made.words, (made,)) for made in (uneven, narrow, black))]


def _own(context: Context) -> Tensor:
    moves = context.keys.norm(dim=-1) if context.relative is None else context.relative
    moves = (moves - moves.mean(1, keepdim=True)) / moves.std(1, keepdim=True, correction=0).clamp(min=1e-6)
    y = 2 * context.row / max(context.height - 1, 1) - 1
    x = 2 * context.column / max(context.width - 1, 1) - 1
    return context.draw(2 * moves - 3 * (x**2 + y**2))


def _unlike(context: Context) -> Tensor:
    """How far each token is from the average one of its film: the score in the hints."""
    return (context.keys - context.keys.mean(1, keepdim=True)).norm(dim=2)


def _judge_own(result: object, context: Context) -> str | None:
    """What is wrong with targets, in one sentence; None if they are what a partition returns."""
    batch, n, count = len(context.keys), context.n, context.n_targets
    asked = f"expected the positions of {count} targets a film, whole numbers, ({batch}, {count})"
    try:
        chosen = _as_positions(result)
    except (TypeError, ValueError, RuntimeError):
        return OtherKind(f"{asked}.")
    if chosen.dtype == torch.bool:
        return OtherKind(f"{asked}; that is a mask, whose positions are where it is true.")
    if chosen.is_floating_point() or chosen.is_complex() or chosen.dim() not in (1, 2):
        return OtherKind(f"{asked}.")
    if chosen.dim() == 2 and len(chosen) != batch:
        return f"you have targets for {len(chosen)} films; the batch has {batch}, and each has its row."
    if chosen.shape[-1] != count:
        return f"you have {chosen.shape[-1]} targets a film; the budget is context.n_targets, which is {count}."
    if int(chosen.min()) < 0 or int(chosen.max()) >= n:
        return (
            f"your targets lie between {int(chosen.min())} and {int(chosen.max())}; a film has {n} tokens here, 0 to "
            f"{n - 1}, whatever patches of the video (context.position) they are."
        )
    ordered = chosen.sort().values
    twice = ordered[..., 1:][ordered.diff() == 0]
    if len(twice):
        return f"token {int(twice[0])} is a target twice; take each token once."
    if not torch.equal(ordered, chosen):
        return "your targets are out of order; sort each row, so that the tokens stay in order of time."
    return None


def _as_positions(result: object) -> Tensor:
    return result.detach().cpu() if isinstance(result, Tensor) else torch.as_tensor(result)


def _demanded(partition: Callable) -> str | None:
    """What a partition does not do over several calls: hold on all trials, repeat itself, look at films one by one."""

    def asked(context: Context) -> Tensor:  # in any form that its results have
        return _as_positions(partition(context)).long()

    try:
        tried(asked, "your function")
    except OwnError as error:
        return str(error)
    looks = False
    for seed, (words, make) in itertools.product((1, 2), trials()):
        first = asked(make()).expand(len(make().keys), -1)
        blind, changed = make(), make()
        blind.oracle = torch.rand(blind.size.shape, generator=generator(seed))
        if not torch.equal(first, asked(blind).expand_as(first)):
            return f"{words}: your targets change with context.oracle, which knows the actor; no real film has one."
        other = trial(len(first), (changed.frames, changed.height, changed.width), changed.gamma, changed.n, seed + 9)
        for name in ("keys", "motion", "relative", "saliency"):
            getattr(changed, name)[-1] = getattr(other, name)[-1]
        second = asked(changed).expand_as(first)
        if not torch.equal(first[:-1], second[:-1]):
            return (
                f"{words}: only the last film was exchanged, and the targets of another one changed; films of a batch "
                "know nothing of each other. Each has its own row of (B, n)."
            )
        looks |= len(first) > 1 and not torch.equal(first[-1], second[-1])
    if not looks:
        return (
            "the last film of each batch was exchanged for another one, and its targets stayed the same; look at every "
            "film: at context.keys, motion, relative, in the film's own row."
        )
    return None


own_partition = Exercise(
    "own_partition",
    answer=_own,
    cases=_own_cases,
    hints=(
        "Begin with a score: one number for each token, (B, n), high where you would keep it. What tells the actor "
        "from all that stands around?",
        "`context.draw(score)` makes targets of any score (B, n): as many as asked, by the seed, ascending. "
        "`score.topk(context.n_targets).indices.sort().values` takes the highest.",
        "A score to begin with: `(context.keys - context.keys.mean(dim=1, keepdim=True)).norm(dim=2)`, how far a token "
        "is from the average one of its film.",
    ),
    mistakes=(
        (
            "Your targets come in order of their score, the highest first.",
            lambda c: _unlike(c).topk(c.n_targets).indices,
        ),
        (
            "Your targets come in order of their score, the highest first.",
            lambda c: c.motion.topk(c.n_targets).indices,
        ),
        (
            "You round the budget down; T is ceil(n / gamma), which is context.n_targets.",
            lambda c: _unlike(c).topk(int(c.n // c.gamma)).indices.sort().values,
        ),
        (
            "Those are patches of the video; a target is the number of a token in the chunk.",
            lambda c: c.position.gather(1, _unlike(c).topk(c.n_targets).indices.sort().values),
        ),
    ),
    tolerance=0,
    minutes=15,
    difficulty=4,
    importance=5,
    kind="design",
    judge=_judge_own,
    demand=_demanded,
)
