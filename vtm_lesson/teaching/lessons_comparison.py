"""Exercise checks of lesson 08: intervals, and when two strategies differ."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from scipy.stats import t as student

from . import slips_comparison
from .exercise import Case, Exercise


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
        "Standard deviation with n - 1 below the line (statistics.stdev), divided by sqrt(n), times Student's factor.",
        "half = student.ppf(0.975, n - 1) * statistics.stdev(values) / n ** 0.5; return mean - half, mean + half.",
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
        *slips_comparison.MEAN_INTERVAL,
    ),
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
        "Take the differences first, then the interval of their mean. Where does zero lie?",
        'The interval above zero altogether: "first". Below zero: "second". Zero inside or at its edge: "not told'
        ' apart".',
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
        *slips_comparison.TOLD_APART,
    ),
)
