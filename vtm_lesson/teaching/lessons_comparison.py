"""Exercise checks of lesson 08, intervals and when two strategies differ, and of appendix C, many comparisons."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

import torch
from scipy.stats import t as student
from torch import Tensor

from .exercise import Case, Exercise
from .slips import comparison as slips


def _spread(values: Sequence[float], less: int = 1) -> float:
    mean = sum(values) / len(values)
    return (sum((v - mean) ** 2 for v in values) / (len(values) - less)) ** 0.5


def _interval(
    values: Sequence[float], factor: float | None = None, less: int = 1, root: bool = True
) -> tuple[float, float]:
    """(low, high) of the mean's 95% interval; the other arguments make the mistakes."""
    mean, n = sum(values) / len(values), len(values)
    if factor is None:
        factor = float(student.ppf(0.975, n - 1))
    half = factor * _spread(values, less) / (n**0.5 if root else 1)
    return mean - half, mean + half


def _runs() -> list[Case]:
    return [
        ("five seeds", ([0.80, 0.84, 0.79, 0.86, 0.81],)),
        ("two seeds", ([0.5, 0.7],)),
        ("five equal seeds", ([0.5] * 5,)),
        ("ten seeds", ([0.31, 0.28, 0.35, 0.30, 0.33, 0.29, 0.32, 0.36, 0.27, 0.30],)),
    ]


def _factor(values: Sequence[float], level: float) -> float:
    return float(student.ppf(level, len(values) - 1))


mean_interval = Exercise(
    "mean_interval",
    answer=_interval,
    cases=_runs,
    hints=(
        "The mean of n runs scatters less than a run does: by a factor of the square root of n.",
        "`statistics.stdev(values)` has n - 1 below the line already. Divide it by the square root of n, and take it "
        "times Student's factor.",
        "`half = student.ppf(0.975, n - 1) * statistics.stdev(values) / n**0.5`. The interval is the mean less `half`, "
        "and the mean plus `half`.",
    ),
    mistakes=(
        (
            "The factor 1.96 is for many runs; with five, Student's factor is 2.78.",
            lambda v: _interval(v, factor=1.96),
        ),
        (
            "The factor 2.78 belongs to five runs; another number of runs has another factor.",
            lambda v: _interval(v, factor=2.776),
        ),
        (
            "That is where single runs lie, not where their mean lies: divide by the square root of n.",
            lambda v: _interval(v, root=False),
        ),
        (
            "The standard deviation has n below the line; with few runs it must be n - 1.",
            lambda v: _interval(v, less=0),
        ),
        (
            "Student's factor for n runs is student.ppf(0.975, n - 1); yours is for one run more.",
            lambda v: _interval(v, factor=_factor([*v, 0.0], 0.975)),
        ),
        (
            "That interval covers 90%: 5% lie outside on each side. Take 0.975.",
            lambda v: _interval(v, factor=_factor(v, 0.95)),
        ),
        ("That is mean plus and minus one standard deviation.", lambda v: _interval(v, factor=1.0, root=False)),
        ("That is mean plus and minus one standard error.", lambda v: _interval(v, factor=1.0)),
        ("Those are the smallest and the largest run.", lambda v: (min(v), max(v))),
        *slips.MEAN_INTERVAL,
    ),
    minutes=7,
    difficulty=2,
    importance=5,
)


def _verdict(low: float, high: float) -> str:
    return "first" if low > 0 else "second" if high < 0 else "not told apart"


def _differences(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(one, other, strict=True)]


def _better(one: Sequence[float], other: Sequence[float]) -> str:
    return _verdict(*_interval(_differences(one, other)))


def _better_by(interval: Callable[[list[float]], tuple[float, float]]) -> Callable[[list[float], list[float]], str]:
    """A `told_apart` whose interval is another function of the differences."""
    return lambda one, other: _verdict(*interval(_differences(one, other)))


def _better_unpaired(one: Sequence[float], other: Sequence[float]) -> str:
    (low, high), (other_low, other_high) = _interval(one), _interval(other)
    return "first" if low > other_high else "second" if other_low > high else "not told apart"


def _better_mean(one: Sequence[float], other: Sequence[float]) -> str:
    return "first" if sum(one) > sum(other) else "second"


def _majority(differences: Sequence[float]) -> float:
    """Above zero where more seeds speak for the first, below where more speak for the second."""
    return sum((d > 0) - (d < 0) for d in differences)


def _pairs() -> list[Case]:
    """Pairs far from the border between two verdicts, and pairs near it: there wrong rules go another way."""
    hard = [0.60, 0.72, 0.81, 0.66, 0.75]  # some seeds are hard for everybody
    return [
        ("better on every seed, seeds of unequal difficulty", ([v + 0.03 for v in hard], hard)),
        ("worse on every seed", ([v - 0.02 - i / 500 for i, v in enumerate(hard)], hard)),
        ("a higher mean through one lucky seed", ([0.50, 0.51, 0.49, 0.50, 0.90], [0.52, 0.50, 0.51, 0.50, 0.51])),
        ("a lower mean through one unlucky seed", ([0.52, 0.50, 0.51, 0.50, 0.51], [0.50, 0.51, 0.49, 0.50, 0.90])),
        ("the same", (hard, hard)),
        ("far apart", ([0.9, 0.91, 0.92], [0.5, 0.52, 0.51])),
        ("far apart, the other way", ([0.5, 0.52, 0.51], [0.9, 0.91, 0.92])),
        ("the order of the seeds", ([0.60, 0.80, 0.70], [0.79, 0.59, 0.69])),
        ("the same gain on easy and hard seeds", ([0.20, 0.60, 0.90], [0.10, 0.50, 0.80])),
        ("three seeds, just told apart", ([0.70, 0.80, 0.90], [0.63, 0.69, 0.75])),  # t = 4.8, and 4.3 is needed
        ("three seeds, told apart", ([0.70, 0.80, 0.90], [0.64, 0.72, 0.80])),  # t = 6.9
        ("two seeds, both a little better", ([0.51, 0.52], [0.50, 0.50])),
        ("two seeds, both better by much", ([0.57, 0.67], [0.52, 0.60])),
        ("three seeds, all of them better", ([0.66, 0.78, 0.84], [0.60, 0.70, 0.81])),  # t = 3.9, and 4.3 is needed
        ("five seeds, better by unequal amounts", ([0.61, 0.73, 0.86, 0.67, 0.82], [0.60, 0.72, 0.81, 0.66, 0.75])),
        ("five seeds, three of them alike", ([0.60, 0.76, 0.81, 0.72, 0.75], [0.60, 0.72, 0.81, 0.66, 0.75])),
        ("ten seeds, not all of them better", (
            [0.58, 0.74, 0.83, 0.68, 0.78, 0.63, 0.76, 0.71, 0.69, 0.73],
            [0.60, 0.74, 0.81, 0.66, 0.75, 0.64, 0.71, 0.69, 0.67, 0.69],
        )),
        ("ten seeds, nine of them much better", (
            [0.67, 0.78, 0.88, 0.71, 0.82, 0.70, 0.70, 0.73, 0.74, 0.74],
            [0.60, 0.74, 0.81, 0.66, 0.75, 0.64, 0.71, 0.69, 0.67, 0.69],
        )),
        ("twelve seeds, a little better on seven, much worse on five", (
            [0.61, 0.43, 0.82, 0.37, 0.76, 0.64, 0.36, 0.71, 0.43, 0.69, 0.40, 0.65],
            [0.60, 0.73, 0.81, 0.67, 0.75, 0.63, 0.66, 0.70, 0.73, 0.68, 0.70, 0.64],
        )),
    ]  # fmt: skip


told_apart = Exercise(
    "told_apart",
    answer=_better,
    cases=_pairs,
    hints=(
        "Both strategies saw the same seeds: same films, same start. What differs, seed by seed?",
        "Take the differences first: `[a - b for a, b in zip(one, other)]`. Then the interval of their mean. Does it "
        "lie above zero, below it, or round it?",
        '`low, high = mean_interval(differences)`. If `low > 0`: `"first"`. If `high < 0`: `"second"`. Zero inside or '
        'at an edge: `"not told apart"`.',
    ),
    mistakes=(
        ("You compare the means only; one lucky seed can decide them.", _better_mean),
        (
            "You compare two separate intervals. Seeds are paired: take the differences seed by seed first.",
            _better_unpaired,
        ),
        ("The two are exchanged: differences above zero mean that the first is better.", lambda a, b: _better(b, a)),
        (
            "You sort the results first: then a difference is no longer of one seed with itself.",
            lambda a, b: _better(sorted(a), sorted(b)),
        ),
        (
            "The standard deviation has n - 1 below the line already; under it stands the square root of n.",
            _better_by(lambda d: _interval(d, factor=_factor(d, 0.975) * (len(d) / (len(d) - 1)) ** 0.5)),
        ),
        (
            "You ask whether one is better on every seed. Many seeds can tell two apart though one seed disagrees, and "
            "two seeds that agree may do so by chance. Take the interval of the mean difference.",
            _better_by(lambda d: (min(d), max(d))),
        ),
        (
            "You count on how many seeds each is better; by how much counts, too. Take the interval of the mean "
            "difference.",
            _better_by(lambda d: (_majority(d), _majority(d))),
        ),
        (
            "You look at the median difference only; it does not say how sure it is. Take the interval of the mean.",
            _better_by(lambda d: (statistics.median(d), statistics.median(d))),
        ),
        (
            "The factor 1.96 is for many runs; with few seeds take Student's factor, as in your turn 1.",
            _better_by(lambda d: _interval(d, factor=1.96)),
        ),
        (
            "The factor 2.78 belongs to five seeds; another number of seeds has another factor.",
            _better_by(lambda d: _interval(d, factor=2.776)),
        ),
        (
            "You take one standard error on each side; the 95% interval has Student's factor before it.",
            _better_by(lambda d: _interval(d, factor=1.0)),
        ),
        (
            "That interval covers 90%: 5% lie outside on each side. Take 0.975.",
            _better_by(lambda d: _interval(d, factor=_factor(d, 0.95))),
        ),
        (
            "That is where single differences lie, not where their mean lies: divide by the square root of n.",
            _better_by(lambda d: _interval(d, root=False)),
        ),
        (
            "The standard deviation of the differences has n below the line; with few seeds it must be n - 1.",
            _better_by(lambda d: _interval(d, less=0)),
        ),
        (
            "Student's factor for n seeds is student.ppf(0.975, n - 1); yours is for one seed more.",
            _better_by(lambda d: _interval(d, factor=_factor([*d, 0.0], 0.975))),
        ),
        *slips.TOLD_APART,
    ),
    minutes=8,
    difficulty=2,
    importance=5,
)


# What the three panels of lesson 08 show, to the digits that a reader can see: accuracy less random targets' accuracy
GAINS = (0.485, -0.091, 0.389, -0.208)
_GAINS = ("the centre in centred films", "the centre in handheld films", "motion in roaming films",
          "motion in centred films")  # fmt: skip


def _gains(change: Callable[[float], float] = lambda gain: gain) -> Callable[[], tuple[float, ...]]:
    """`gains_of_a_guess` as it is, or with every number changed in the same way."""
    return lambda: tuple(map(change, GAINS))


def _gains_with(others: dict[int, float]) -> Callable[[], tuple[float, ...]]:
    """`gains_of_a_guess` with other numbers in some places."""
    return lambda: tuple(others.get(i, gain) for i, gain in enumerate(GAINS))


def _one_gain_wrong() -> list[tuple[str, Callable]]:
    """Each of the four read wrongly: by what else is in its panel, its sign, and a factor of two."""
    # accuracy of the guess, of random targets, and of no merging, as the panels write them
    seen = ((0.89, 0.40, 0.52), (0.18, 0.28, 0.34), (0.65, 0.26, 0.35), (0.20, 0.40, 0.52))
    found: list[tuple[str, Callable]] = []
    for place, (guess, random, none) in enumerate(seen):
        words = f"Number {place + 1} is {_GAINS[place]}: its accuracy less that of random targets in the same panel."
        wrong = [guess, random, guess - none, random - guess, guess + random, 2 * (guess - random)]
        for factor in (2, 0.5, -1):
            wrong += [factor * guess - random, guess - factor * random]
        for value in wrong:
            found.append((words, _gains_with({place: value})))
    return found


gains_of_a_guess = Exercise(
    "gains_of_a_guess",
    answer=_gains(),
    cases=lambda: [("the three panels", ())],
    hints=(
        "The numbers at the ends of the bars are accuracies. Each gain needs two of them, from the same panel.",
        "Begin with the row `random`: it is what each guess is compared with. Where the guess is wrong, its bar is "
        "shorter, and the number is negative.",
        "Centred films: `0.89 - 0.40` for the centre, `0.20 - 0.40` for motion. The handheld and the roaming panel "
        "give the other two in the same way.",
    ),
    mistakes=(
        (
            "Those are accuracies; asked is by how much each is above random targets, or below: subtract those.",
            lambda: (0.89, 0.18, 0.65, 0.20),
        ),
        (
            "You compare with no merging; asked is the comparison with random targets, which have the same budget.",
            lambda: (0.366, -0.156, 0.305, -0.327),
        ),
        ("Those are percent points; give shares of 1, as on the axis.", _gains(lambda gain: 100 * gain)),
        ("A price is a gain below zero: the second and the fourth are negative.", _gains(abs)),
        ("The signs are turned: a guess that beats random targets has a gain above zero.", _gains(lambda gain: -gain)),
        ("That is the gain in multiples of random; asked is the difference.", lambda: (2.2, 0.67, 2.5, 0.5)),
        *(
            (
                "Two neighbours have changed places: first the centre (centred, handheld), then motion (roaming, "
                "centred).",
                _gains_with({place: GAINS[place + 1], place + 1: GAINS[place]}),
            )
            for place in range(3)
        ),
        *_one_gain_wrong(),
    ),
    tolerance=0.015,  # as well as two digits can be read
    minutes=3,
    difficulty=1,
    importance=4,
    kind="read",
)


def _tuned(valid: Tensor, test: Tensor) -> tuple[int, float, float]:
    return _tuned_by(valid, test)


def _tuned_by(
    valid: Tensor,
    test: Tensor,
    choose: Callable[[Tensor], Tensor] = lambda runs: runs.mean(dim=1),
    interval: Callable[[list[float]], tuple[float, float]] = _interval,
) -> tuple[int, float, float]:
    """The mistakes change what a setting is chosen by, and how the interval is taken."""
    best = int(choose(valid).argmax())
    return best, *interval(test[best].tolist())


def _tuned_elsewhere(valid: Tensor, test: Tensor, runs: Callable[[int], Tensor]) -> tuple[int, float, float]:
    """Chosen as it should be, then the interval of other runs."""
    best = int(valid.mean(dim=1).argmax())
    return best, *_interval(runs(best).flatten().tolist())


def _trials() -> list[Case]:
    """Validation and test accuracies of some settings: (settings, seeds) each, fractions that floats hold exactly."""
    eighths = [
        ("two settings, two seeds, better on validation and worse on test", [[5, 6], [4, 5]], [[4, 5], [6, 6]]),
        ("one lucky seed", [[4, 4, 8], [6, 6, 6], [3, 2, 2]], [[5, 7, 6], [5, 5, 4], [2, 3, 2]]),
        ("one unlucky seed", [[7, 7, 2], [6, 5, 6]], [[6, 6, 5], [3, 3, 5]]),
        ("alike on validation: the first is taken", [[3, 4], [5, 4], [4, 5]], [[4, 4], [2, 3], [6, 7]]),
        ("two settings, four seeds", [[2, 3, 3, 2], [2, 3, 4, 2]], [[4, 5, 4, 6], [3, 3, 1, 4]]),
        ("one setting only", [[3, 5, 4]], [[2, 4, 7]]),
        ("the median would choose another", [[1, 6, 7, 1], [5, 5, 1, 2]], [[2, 5, 6, 3], [7, 6, 5, 5]]),
    ]
    return [(words, (torch.tensor(valid) / 8, torch.tensor(test) / 8)) for words, valid, test in eighths]


tuned_interval = Exercise(
    "tuned_interval",
    answer=_tuned,
    cases=_trials,
    hints=(
        "Two questions, two sets of films: which setting is taken, and how good is it? Which tensor answers which?",
        "Choose the row whose mean over the seeds is highest in `valid`. Then forget `valid`: the interval is that of "
        "the same row in `test`.",
        "`best = valid.mean(dim=1).argmax().item()`, then `low, high = my_interval(test[best].tolist())`.",
    ),
    mistakes=(
        (
            "You choose the setting on the test films: then the best of several lucky results is reported. Choose it "
            "in valid.",
            lambda valid, test: _tuned(test, test),
        ),
        (
            "You report the validation films, on which the setting was chosen: its luck is in that number. Take the "
            "interval in test.",
            lambda valid, test: _tuned(valid, valid),
        ),
        ("valid and test are exchanged: choose in valid, report test.", lambda valid, test: _tuned(test, valid)),
        (
            "You choose by the best single seed; take the mean over the seeds.",
            lambda valid, test: _tuned_by(valid, test, choose=lambda runs: runs.max(dim=1).values),
        ),
        (
            "You choose by the median; take the mean over the seeds.",
            lambda valid, test: _tuned_by(valid, test, choose=lambda runs: runs.median(dim=1).values),
        ),
        (
            "You choose by the worst seed; take the mean over the seeds.",
            lambda valid, test: _tuned_by(valid, test, choose=lambda runs: runs.min(dim=1).values),
        ),
        (
            "That is the worst setting: argmax, not argmin.",
            lambda valid, test: _tuned_by(valid, test, choose=lambda runs: -runs.mean(dim=1)),
        ),
        (
            "The interval is of all settings together; take the row of the chosen one only.",
            lambda valid, test: _tuned_elsewhere(valid, test, lambda best: test),
        ),
        (
            "You add the validation runs to the test runs; they have helped to choose, so leave them out.",
            lambda valid, test: _tuned_elsewhere(valid, test, lambda best: torch.cat([valid[best], test[best]])),
        ),
        (
            "The interval is of the differences between test and validation; asked is that of the test runs.",
            lambda valid, test: _tuned_elsewhere(valid, test, lambda best: test[best] - valid[best]),
        ),
        (
            "Those are the smallest and the largest test run; asked is the 95% interval of the mean.",
            lambda valid, test: _tuned_by(valid, test, interval=lambda runs: (min(runs), max(runs))),
        ),
        (
            "The settings are counted from 0, as rows of the tensor.",
            lambda valid, test: (_tuned(valid, test)[0] + 1, *_tuned(valid, test)[1:]),
        ),
        *slips.TUNED_INTERVAL,
    ),
    minutes=8,
    difficulty=2,
    importance=5,
    kind="mend",
)


# ----------------------------------------------------------------------------------------------------- appendix C


def _corrected(
    values: Sequence[float],
    comparisons: int,
    outside: Callable[[int], float] = lambda comparisons: 0.025 / comparisons,
    less: int = 1,
    root: bool = True,
) -> tuple[float, float]:
    """outside: the share that lies outside on each side."""
    factor = float(student.ppf(1 - outside(comparisons), len(values) - 1))
    return _interval(values, factor=factor, less=less, root=root)


def _families() -> list[Case]:
    gains = [0.012, 0.022, 0.003, 0.019, 0.025]
    return [
        ("one comparison: the interval as it was", (gains, 1)),
        ("two seeds, two comparisons", ([0.5, 0.7], 2)),
        ("five seeds, three comparisons", (gains, 3)),
        ("five seeds, twenty comparisons", (gains, 20)),
        ("five equal seeds", ([0.5] * 5, 10)),
        ("ten seeds, seven comparisons", ([0.31, 0.28, 0.35, 0.30, 0.33, 0.29, 0.32, 0.36, 0.27, 0.30], 7)),
    ]


corrected_interval = Exercise(
    "corrected_interval",
    answer=lambda values, comparisons: _corrected(values, comparisons),
    cases=_families,
    hints=(
        "Which share of all studies may be wrong, for all comparisons together? Which share is left for each of them?",
        "All together 5%, so each `0.05 / comparisons`: half of that lies above the interval, half below it.",
        "Student's factor is `student.ppf(1 - 0.025 / comparisons, n - 1)`. All else is as in `mean_interval`.",
    ),
    mistakes=(
        (
            "The number of comparisons is not used: each of them still has its own 5%.",
            lambda values, comparisons: _interval(values),
        ),
        (
            "A share of 0.05 / comparisons lies outside on both sides together, so half of it on each: 0.025.",
            lambda values, comparisons: _corrected(values, comparisons, outside=lambda k: 0.05 / k),
        ),
        (
            "The half width times the number of comparisons is far too wide: divide the 5% by it, inside student.ppf.",
            lambda values, comparisons: _interval(values, factor=comparisons * _factor(values, 0.975)),
        ),
        (
            "The half width grows with the square root of the comparisons in your version; divide the 5% instead.",
            lambda values, comparisons: _interval(values, factor=comparisons**0.5 * _factor(values, 0.975)),
        ),
        (
            "You divide the 95% by the comparisons; divide the 5% that may be wrong, and take the rest.",
            lambda values, comparisons: _interval(values, factor=_factor(values, 0.975 / comparisons)),
        ),
        (
            "The level is 0.975 to the power of the comparisons: then the interval gets narrower. It must get wider.",
            lambda values, comparisons: _interval(values, factor=_factor(values, 0.975**comparisons)),
        ),
        (
            "That is nearly right: 0.975 to the power 1 / comparisons is exact for comparisons that have nothing to do "
            "with one another. Asked is 0.05 / comparisons, which holds for all.",
            lambda values, comparisons: _interval(values, factor=_factor(values, 0.975 ** (1 / comparisons))),
        ),
        (
            "Divide by the square root of the seeds; you left that out.",
            lambda values, comparisons: _corrected(values, comparisons, root=False),
        ),
        (
            "The standard deviation has n below the line; with few seeds it must be n - 1.",
            lambda values, comparisons: _corrected(values, comparisons, less=0),
        ),
        *slips.CORRECTED_INTERVAL,
    ),
    minutes=7,
    difficulty=3,
    importance=4,
    kind="mend",
)


def _half(n: int, spread: float) -> float:
    """Half of the 95% interval of n seeds."""
    return float(student.ppf(0.975, n - 1)) * spread / n**0.5


def _seeds_needed(
    gap: float,
    spread: float,
    most: int,
    *,
    start: int = 2,
    half: Callable[[int, float], float] = _half,
) -> int:
    return next((n for n in range(start, most + 1) if half(n, spread) < gap), 0)


def _hopes() -> list[Case]:
    return [
        ("a gap as large as the spread", (1.0, 1.0, 20)),
        ("half of the spread", (0.5, 1.0, 25)),
        ("twice the spread", (2.0, 1.0, 10)),
        ("a fifth of the spread: more seeds than one may take", (0.2, 1.0, 20)),
        ("no spread at all: two seeds", (0.3, 0.0, 5)),
        ("a gap so large that two seeds will do", (10.0, 1.0, 5)),
        ("nearly enough with two seeds", (8.9, 1.0, 5)),
        ("in shares of 1, not in points", (0.01, 0.014, 15)),
        ("a gap above the spread by half", (1.5, 1.0, 8)),
        ("just missed with five seeds", (1.24, 1.0, 8)),
        ("just missed with five seeds, and more are not to be had", (1.24, 1.0, 5)),
        ("just enough with the last seed", (1.25, 1.0, 5)),
        ("a third of the spread", (0.6, 1.8, 45)),
        ("with four seeds zero is at the edge, so not left out", (_half(4, 1.0), 1.0, 8)),
    ]


def _hoped(half: Callable[[int, float], float]) -> Callable[[float, float, int], int]:
    """`seeds_needed` with another half of the interval."""
    return lambda gap, spread, most: _seeds_needed(gap, spread, most, half=half)


seeds_needed = Exercise(
    "seeds_needed",
    answer=lambda gap, spread, most: _seeds_needed(gap, spread, most),
    cases=_hopes,
    hints=(
        "Half of the interval is Student's factor times `spread / n**0.5`. Both shrink when n grows.",
        "Go through `range(2, most + 1)`. The answer is the first n at which half of the interval is smaller than the "
        "gap.",
        "`for n in range(2, most + 1)`: if `student.ppf(0.975, n - 1) * spread / n**0.5 < gap`, return n. After the "
        "loop return 0.",
    ),
    mistakes=(
        (
            "The factor 1.96 is for many seeds. With few, Student's factor is larger, and depends on n.",
            _hoped(lambda n, spread: 1.96 * spread / n**0.5),
        ),
        (
            "That is the formula for many seeds, (1.96 spread / gap) squared; Student's factor depends on n, so look "
            "for n step by step.",
            lambda gap, spread, most: max(2, math.ceil((1.959964 * spread / gap) ** 2)),
        ),
        (
            "The factor 2.78 belongs to five seeds; another number of seeds has another factor.",
            _hoped(lambda n, spread: 2.776 * spread / n**0.5),
        ),
        (
            "Divide the spread by the square root of n, not by n.",
            _hoped(lambda n, spread: float(student.ppf(0.975, n - 1)) * spread / n),
        ),
        (
            "The whole width is twice that; zero is left out as soon as half of it is smaller than the gap.",
            _hoped(lambda n, spread: 2 * _half(n, spread)),
        ),
        ("One standard error is not enough: Student's factor is missing.", _hoped(lambda n, spread: spread / n**0.5)),
        (
            "Your count is one too low: the last n that you tried was the first that will do.",
            lambda gap, spread, most: _seeds_needed(gap, spread, most) - 1,
        ),
        ("Your count is one too high.", lambda gap, spread, most: _seeds_needed(gap, spread, most) + 1),
        (
            "`most` seeds may be taken, too: range(2, most) ends one before it.",
            lambda gap, spread, most: _seeds_needed(gap, spread, most - 1),
        ),
        (
            "Where not even `most` seeds will do the answer is 0.",
            lambda gap, spread, most: _seeds_needed(gap, spread, most) or most,
        ),
        ("Two seeds may do: begin with n = 2.", lambda gap, spread, most: _seeds_needed(gap, spread, most, start=3)),
        *slips.SEEDS_NEEDED,
    ),
    minutes=8,
    difficulty=3,
    importance=3,
    kind="compute",
)
