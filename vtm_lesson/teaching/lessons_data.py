"""Exercise checks of lesson 12, real datasets: splits, windows, what a score is measured against, and intervals."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Hashable, Iterable, Sequence

import torch
from torch import Tensor

from .comparing import OtherKind
from .exercise import Case, Exercise
from .lessons_comparison import mean_interval
from .slips import data as slips

interval_of_mean = mean_interval.answer


def _leaking(groups: Sequence[str], split: Sequence[str]) -> list[str]:
    parts: dict[str, set[str]] = {}
    for group, part in zip(groups, split, strict=True):
        parts.setdefault(group, set()).add(part)
    return sorted(group for group, found in parts.items() if group and len(found) > 1)


leaking_groups = Exercise(
    "leaking_groups",
    answer=_leaking,
    cases=lambda: [
        ("one group in two parts", (["a", "a", "b", "c"], ["train", "test", "train", "test"])),
        ("no leak", (["a", "a", "b", "b"], ["train", "train", "test", "test"])),
        ("between val and test", (["b", "a", "b"], ["val", "train", "test"])),
        ("between train and val", (["b", "a", "b"], ["val", "train", "train"])),
        ("in all three", (["x", "x", "x", "y"], ["train", "val", "test", "test"])),
        ("often in one part", (["a", "a", "a", "b"], ["test", "test", "test", "train"])),
        ("unknown groups", (["", "", "a", "a"], ["train", "test", "train", "test"])),
        ("only unknown ones", (["", ""], ["train", "test"])),
        ("several, to be sorted", (["tt9", "tt1", "tt5", "tt1", "tt9"], ["val", "val", "train", "test", "train"])),
        ("no films", ([], [])),
    ],
    hints=(
        "For every group you need to know in which parts its films are.",
        "Go through films and parts together with `zip`. Keep a set of parts for each group: "
        "`parts.setdefault(group, set()).add(part)`.",
        "`sorted(group for group, found in parts.items() if group and len(found) > 1)`: the empty group is no group.",
    ),
    mistakes=(
        (
            "An empty name says that the group is not known; such films belong to no group.",
            lambda g, s: sorted({a for a in g if len({p for b, p in zip(g, s, strict=True) if a == b}) > 1}),
        ),
        (
            "Training and test are not all: a group in val and test, or in train and val, leaks as well.",
            lambda g, s: sorted(
                {a for a, p in zip(g, s, strict=True) if a and p == "train"}
                & {a for a, p in zip(g, s, strict=True) if p == "test"}
            ),
        ),
        (
            "A group with several films in one part does not leak; it does where its films are in different parts.",
            lambda g, s: sorted({a for a in g if a and g.count(a) > 1}),
        ),
        (
            "Each group once: one film of it is enough to name it.",
            lambda g, s: sorted(a for a in g if a in _leaking(g, s)),
        ),
        ("In alphabetical order.", lambda g, s: sorted(_leaking(g, s), reverse=True)),
        ("In alphabetical order.", lambda g, s: list(dict.fromkeys(a for a in g if a in _leaking(g, s)))),
        ("Those are the groups that do not leak.", lambda g, s: sorted({a for a in g if a} - set(_leaking(g, s)))),
        ("Name the groups that leak; how many there are is not asked.", lambda g, s: len(_leaking(g, s))),
        *slips.LEAKING_GROUPS,
    ),
    minutes=6,
    difficulty=2,
    importance=5,
)


def _parted(groups: Sequence[str], labels: Sequence[int]) -> list[bool]:
    """The first choice of groups that does all that is asked, fewest groups first."""
    names = sorted(set(groups))
    for size in range(1, len(names)):
        for chosen in itertools.combinations(names, size):
            test = [group in chosen for group in groups]
            if _judge_parted(test, groups, labels) is None:
                return test
    raise ValueError("no choice of groups does all that is asked")


def _judge_parted(result: object, groups: Sequence[str], labels: Sequence[int]) -> str | None:
    """What is wrong with a split, in one sentence; None if it does all that is asked."""
    try:
        test = torch.as_tensor(result)
    except (TypeError, ValueError, RuntimeError):
        return OtherKind("expected a list of booleans, one for each film.")
    if test.dim() != 1 or test.dtype != torch.bool:
        return OtherKind("expected a list of booleans, one for each film: true for the films of the test part.")
    if len(test) != len(groups):
        return f"there are {len(groups)} films; you have {len(test)} booleans."
    inside = {group for group, there in zip(groups, test.tolist(), strict=True) if there}
    outside = {group for group, there in zip(groups, test.tolist(), strict=True) if not there}
    if inside & outside:
        return f"group {min(inside & outside)!r} is in both parts; the films of a group stay together."
    share = float(test.double().mean())
    if not 0.2 <= share <= 0.4:
        return f"{share:.0%} of the films are in the test part; from 20% to 40% of them should be."
    for label in sorted(set(labels)):
        there = test[torch.tensor([own == label for own in labels])]
        if bool(there.all()) or not bool(there.any()):
            return f"class {label} is in {'the test' if bool(there.all()) else 'the training'} part only."
    return None


def _by_films(choose: Callable[[int, int], bool]) -> Callable:
    """A split that does not look at groups: choose(i, n) says whether film i of n is in the test part."""
    return lambda groups, labels: [choose(i, len(groups)) for i in range(len(groups))]


def _first_groups(groups: Sequence[str], labels: Sequence[int]) -> list[bool]:
    """Groups in order until a fifth of the films is reached, whatever their classes are."""
    chosen: set[str] = set()
    for name in sorted(set(groups)):
        if 5 * sum(group in chosen for group in groups) < len(groups):
            chosen.add(name)
    return [group in chosen for group in groups]


fair_split = Exercise(
    "fair_split",
    answer=_parted,
    cases=lambda: [
        ("three sessions, two classes", (["a", "a", "b", "b", "c", "c"], [0, 1, 0, 1, 0, 1])),
        ("the first session has one class only", (["a", "a", "b", "b", "b", "c", "c"], [0, 0, 0, 1, 1, 0, 1])),
        (
            "sessions of one class each",
            (["a", "a", "b", "b", "c", "c", "d", "d", "e", "f"], [0, 0, 0, 0, 1, 1, 1, 1, 0, 1]),
        ),
        (
            "one large session",
            (["m"] * 6 + ["n", "n", "o", "o", "p", "p"], [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]),
        ),
        (
            "films in no order",
            (["q", "r", "q", "s", "t", "r", "s", "t", "u", "u"], [1, 0, 0, 1, 0, 1, 0, 1, 1, 0]),
        ),
        ("a rare class in two small sessions", ([*"abbcccdddeee"], [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("a test part of 20%", ([*"ppqqqqqrrr"], [0, 1, 0, 1, 0, 1, 0, 0, 0, 0])),
        ("a test part of 40%", ([*"ppppqqqqqq"], [0, 1, 0, 1, 0, 1, 0, 1, 0, 1])),
    ],
    hints=(
        "Choose groups, not films. There are few of them, so you can try choices until one does all that is asked.",
        "`itertools.combinations(names, size)` gives all choices of `size` groups. For each make "
        "`test = [group in chosen for group in groups]`, and look at the share, and at the classes of both parts.",
        "A choice is right where `0.2 <= sum(test) / len(test) <= 0.4`, and where the labels in the test part and "
        "those in the training part, each as a set, are both `set(labels)`.",
    ),
    mistakes=(
        ("You split films; two films of one group are in different parts.", _by_films(lambda i, n: i % 3 == 0)),
        ("You split films; two films of one group are in different parts.", _by_films(lambda i, n: 3 * i < n)),
        ("You split films; two films of one group are in different parts.", _by_films(lambda i, n: 3 * i >= 2 * n)),
        ("You choose groups by their size only; each class has to be in both parts, too.", _first_groups),
        *slips.FAIR_SPLIT,
    ),
    minutes=10,
    difficulty=3,
    importance=4,
    kind="design",
    judge=_judge_parted,
)


def _of_films(logits: Tensor, film: Tensor) -> Tensor:
    return torch.stack([logits[film == i].mean(0) for i in range(int(film.max()) + 1)]).argmax(1)


def _of_films_by(score: Callable[[Tensor], Tensor]) -> Callable:
    """The class of each film from a score (K,) of its windows (W, K)."""
    return lambda logits, film: torch.stack([score(logits[film == i]) for i in range(int(film.max()) + 1)]).argmax(1)


def _windows() -> list[Case]:
    def case(words: str, rows: list[list[float]], film: list[int]) -> Case:
        return words, (torch.tensor(rows), torch.tensor(film))

    return [
        case("two films of two windows", [[2.0, 1], [0, 4], [3, 0], [0, 1]], [0, 0, 1, 1]),
        case("one window each", [[0.0, 1, 0], [2, 0, 0], [0, 0, 3]], [0, 1, 2]),
        case("one sure window against two unsure ones", [[0.0, 9], [1, 0], [1, 0], [2, 0]], [0, 0, 0, 1]),
        case("very sure windows", [[0.0, 8], [12, 0], [0, 8], [0, 30], [40, 0]], [0, 0, 0, 1, 1]),
        case("windows in no order", [[1.0, 0], [0, 5], [0, 2], [3, 0]], [1, 0, 1, 0]),
        case("below zero", [[-4.0, -1], [-1, -3], [-1, -2]], [0, 0, 1]),
        case("a film of many windows beside one of one", [[0.0, 1], [0, 1], [0, 1], [5, 0], [1, 3]], [0, 0, 0, 0, 1]),
        case("equal sums", [[1.0, 1], [0, 2], [2, 0]], [0, 1, 1]),
        case("five classes", [[0.0, 1, 2, 1, 0], [3, 1, 0, 1, 0], [0, 0, 0, 1, 5]], [0, 0, 1]),
    ]


film_prediction = Exercise(
    "film_prediction",
    answer=_of_films,
    cases=_windows,
    hints=(
        "Every film has one class in the list, however many windows it was cut into. So its windows must come to one "
        "answer.",
        "`logits[film == i]` are the windows of film i. Take their mean over the windows, and then the largest class.",
        "`torch.stack([logits[film == i].mean(0) for i in range(int(film.max()) + 1)]).argmax(1)`",
    ),
    mistakes=(
        ("That is one class for each window; a film has one answer.", lambda logits, film: logits.argmax(1)),
        (
            "You let the windows vote. Average their logits: an unsure window then counts less than a sure one.",
            _of_films_by(lambda rows: rows.argmax(1).bincount(minlength=rows.shape[1])),
        ),
        (
            "You average probabilities; asked is the average of the logits.",
            _of_films_by(lambda rows: rows.softmax(1).mean(0)),
        ),
        ("You let the surest window decide; all of them count.", _of_films_by(lambda rows: rows.max(0).values)),
        ("You look at the first window of each film only.", _of_films_by(lambda rows: rows[0])),
        ("You look at the last window of each film only.", _of_films_by(lambda rows: rows[-1])),
        ("You take the median; asked is the mean.", _of_films_by(lambda rows: rows.median(0).values)),
        ("The class is that of the largest mean.", _of_films_by(lambda rows: -rows.mean(0))),
        (
            "Of equal classes take the first, as argmax does.",
            lambda logits, film: logits.shape[1] - 1 - _of_films(logits.flip(1), film),
        ),
        *slips.FILM_PREDICTION,
    ),
    tolerance=0,
    minutes=5,
    difficulty=2,
    importance=4,
)


def _mean_error(train: Tensor, test: Tensor) -> float:
    return float((test - train.mean()).pow(2).mean())


def _values() -> list[Case]:
    def case(words: str, train: list[float], test: list[float]) -> Case:
        return words, (torch.tensor(train), torch.tensor(test))

    return [
        case("three and two films", [1.0, 2, 6], [3.0, 5]),
        case("all alike in training", [2.0, 2, 2], [1.0, 4]),
        case("one test film", [0.0, 1, 5], [7.0]),
        case("below zero", [-3.0, -1, 1, 2], [-2.0, 0, 3]),
        case("exactly the mean", [1.0, 3], [2.0]),
        case("one training film", [4.0], [1.0, 2, 9]),
        case("test films far from the training films", [0.0, 1, 1], [10.0, 12, 15, 9]),
    ]


mean_predictor_error = Exercise(
    "mean_predictor_error",
    answer=_mean_error,
    cases=_values,
    hints=(
        "Who has seen nothing but the training labels answers the same for every film. Which answer is the best one?",
        "Answer with the mean of the training labels. The error is then the mean of the squared differences to the "
        "test labels.",
        "`float((test - train.mean()).pow(2).mean())`",
    ),
    mistakes=(
        (
            "You use the mean of the test labels, which nobody may know.",
            lambda train, test: float((test - test.mean()).pow(2).mean()),
        ),
        (
            "That is the error on the training films; the score is measured on the test films.",
            lambda train, test: float((train - train.mean()).pow(2).mean()),
        ),
        ("That is the mean absolute error; asked is the squared one.", lambda a, b: float((b - a.mean()).abs().mean())),
        ("You take the root at the end; a squared error has none.", lambda a, b: _mean_error(a, b) ** 0.5),
        ("You answer with the median; the mean has the smaller squared error on what it was taken from.",
         lambda a, b: float((b - a.median()).pow(2).mean())),
        ("You square at the end: errors above and below cancel out.", lambda a, b: float((b - a.mean()).mean() ** 2)),
        ("You add up the squares; take their mean.", lambda a, b: float((b - a.mean()).pow(2).sum())),
        ("Square the differences, and take their mean.", lambda a, b: float((b - a.mean()).mean())),
        ("Always answering 0 is another predictor; take the mean of the training labels.",
         lambda a, b: float(b.pow(2).mean())),
        *slips.MEAN_PREDICTOR_ERROR,
    ),
    minutes=3,
    difficulty=1,
    importance=4,
)  # fmt: skip


def _bytes(lengths: Sequence[float], window: float, frames: int, places: int, channels: int) -> int:
    windows = sum(max(1, round(seconds / window)) for seconds in lengths)
    return windows * frames * places * channels * 2


def _bytes_by(windows: Callable[[Sequence[float], float], float], each: int = 2) -> Callable:
    return lambda lengths, window, frames, places, channels: (
        windows(lengths, window) * frames * places * channels * each
    )


def _rounded(lengths: Iterable[float], window: float) -> int:
    return sum(max(1, round(seconds / window)) for seconds in lengths)


feature_bytes = Exercise(
    "feature_bytes",
    answer=_bytes,
    cases=lambda: [
        ("one film of one window", ([60.0], 60.0, 60, 256, 1024)),
        ("one film of two windows", ([120.0], 60.0, 60, 256, 1024)),
        ("a film shorter than a window", ([10.0], 60.0, 60, 256, 1024)),
        ("lengths that do not divide", ([100.0, 80.0, 160.0], 60.0, 60, 49, 768)),
        ("many short films", ([20.0] * 7, 60.0, 8, 4, 16)),
        ("other windows", ([45.0, 70.0], 20.0, 12, 9, 10)),
        ("a very long film", ([3599.0, 5.0], 60.0, 60, 196, 384)),
        ("no films", ([], 60.0, 60, 256, 1024)),
    ],
    hints=(
        "Three things multiply: how many windows there are, how many numbers a window has, and the bytes of a number.",
        "A film has `max(1, round(seconds / window))` windows; a window has `frames * places * channels` numbers.",
        "`sum(max(1, round(seconds / window)) for seconds in lengths) * frames * places * channels * 2`",
    ),
    mistakes=(
        ("float16 takes 2 bytes; float32 would take 4.", _bytes_by(_rounded, 4)),
        ("float16 takes 2 bytes; you count one.", _bytes_by(_rounded, 1)),
        ("That is in bits; a byte has 8.", _bytes_by(_rounded, 16)),
        ("A film shorter than a window has one window, too.", _bytes_by(lambda f, w: sum(round(s / w) for s in f))),
        ("Windows of one film are not filled up with the next: round for every film.",
         _bytes_by(lambda f, w: max(1, round(sum(f) / w)) if f else 0)),
        ("Round to the nearest: a rest of more than half a window makes one more.",
         _bytes_by(lambda f, w: sum(max(1, int(s / w)) for s in f))),
        ("Round to the nearest: a short rest makes no window of its own.",
         _bytes_by(lambda f, w: sum(max(1, -int(-s // w)) for s in f))),
        ("One window a film is not enough: long films have several.", _bytes_by(lambda f, w: len(f))),
        ("The number of windows is whole.", _bytes_by(lambda f, w: sum(max(1, s / w) for s in f))),
        *slips.FEATURE_BYTES,
    ),
    tolerance=0,
    minutes=5,
    difficulty=2,
    importance=3,
    kind="compute",
)  # fmt: skip


def _grouped(values: Sequence[float], groups: Sequence[Hashable]) -> tuple[float, float]:
    return interval_of_mean(_means(values, groups))


def _means(values: Sequence[float], groups: Sequence[Hashable]) -> list[float]:
    """One number a group: the mean of its values."""
    own: dict[Hashable, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        own.setdefault(group, []).append(value)
    return [statistics.mean(found) for found in own.values()]


grouped_interval = Exercise(
    "grouped_interval",
    answer=_grouped,
    cases=lambda: [
        ("two sessions of two clips", ([1.0, 0.0, 1.0, 1.0], ["a", "a", "b", "b"])),
        ("clips of a session are alike", ([1.0] * 4 + [0.0] * 4 + [1.0] * 4, [*"aaaabbbbcccc"])),
        ("sessions of unequal size", ([1.0, 1.0, 1.0, 1.0, 0.0, 0.5], [*"aaaabc"])),
        ("one clip a session", ([0.8, 0.6, 0.7], [*"abc"])),
        ("clips in no order", ([0.0, 1.0, 1.0, 0.5, 0.0, 1.0], [*"abacbc"])),
        ("all alike", ([0.5] * 6, [*"aabbcc"])),
        ("one clip of three is another", ([0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.5, 0.0], [*"aaabbbcc"])),
        ("sessions by number", ([0.9, 0.1, 0.4, 0.6, 0.8], [3, 3, 1, 1, 2])),
    ],
    hints=(
        "Clips of one session go right or wrong together. How many numbers are there that know nothing of each other?",
        "Take one number a session: the mean of its clips. Then the interval of these numbers' mean, as in lesson 08.",
        "Collect with `own.setdefault(group, []).append(value)`, and return "
        "`mean_interval([statistics.mean(found) for found in own.values()])`.",
    ),
    mistakes=(
        (
            "You count clips as if they knew nothing of each other; one session is one observation.",
            lambda v, g: interval_of_mean(v),
        ),
        (
            "The number of sessions is right, but sessions count by their mean here, not by their sum.",
            lambda v, g: interval_of_mean(
                [sum(x for x, o in zip(v, g, strict=True) if o == a) for a in dict.fromkeys(g)]
            ),
        ),
        (
            "You take one clip of each session; take the mean of all of them.",
            lambda v, g: interval_of_mean([v[list(g).index(a)] for a in dict.fromkeys(g)]),
        ),
        (
            "You take the median clip of each session; take the mean of all of them.",
            lambda v, g: interval_of_mean(
                [statistics.median(x for x, o in zip(v, g, strict=True) if o == a) for a in dict.fromkeys(g)]
            ),
        ),
        (
            "The clips are in no order: a session's clips need not follow each other.",
            lambda v, g: interval_of_mean(
                [
                    statistics.mean(x for x, _ in run)
                    for _, run in itertools.groupby(zip(v, g, strict=True), lambda pair: pair[1])
                ]
                * (1 if len(set(g)) > 1 else 2)
            ),
        ),
        *slips.GROUPED_INTERVAL,
    ),
    minutes=8,
    difficulty=3,
    importance=5,
    kind="mend",
)
