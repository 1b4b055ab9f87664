"""Exercise checks of lesson 08: intervals, and when two strategies differ."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import t as student

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
            "That is where single runs lie, not where their mean lies: divide by the square root of n.",
            lambda v: _interval(v, root=False),
        ),
        (
            "The standard deviation has n below the line; with few runs it must be n - 1.",
            lambda v: _interval(v, less=0),
        ),
        (
            "That interval covers 90%: 5% lie outside on each side. Take 0.975.",
            lambda v: _interval(v, factor=float(student.ppf(0.95, len(v) - 1))),
        ),
        ("That is mean plus and minus one standard deviation.", lambda v: _interval(v, factor=1.0, root=False)),
        ("That is mean plus and minus one standard error.", lambda v: _interval(v, factor=1.0)),
        ("Those are the smallest and the largest run.", lambda v: (min(v), max(v))),
    ),
)


def _verdict(low: float, high: float) -> str:
    return "first" if low > 0 else "second" if high < 0 else "not told apart"


def _better(one: Sequence[float], other: Sequence[float]) -> str:
    return _verdict(*_interval([a - b for a, b in zip(one, other, strict=True)]))


def _better_unpaired(one: Sequence[float], other: Sequence[float]) -> str:
    (low, high), (other_low, other_high) = _interval(one), _interval(other)
    return "first" if low > other_high else "second" if other_low > high else "not told apart"


def _better_mean(one: Sequence[float], other: Sequence[float]) -> str:
    return "first" if sum(one) > sum(other) else "second"


def _pairs() -> list[Case]:
    hard = [0.60, 0.72, 0.81, 0.66, 0.75]  # some seeds are hard for everybody
    return [
        ("better on every seed, seeds of unequal difficulty", ([v + 0.03 for v in hard], hard)),
        ("worse on every seed", ([v - 0.02 - i / 500 for i, v in enumerate(hard)], hard)),
        ("a higher mean through one lucky seed", ([0.50, 0.51, 0.49, 0.50, 0.90], [0.52, 0.50, 0.51, 0.50, 0.51])),
        ("the same", (hard, hard)),
        ("far apart", ([0.9, 0.91, 0.92], [0.5, 0.52, 0.51])),
        ("far apart, the other way", ([0.5, 0.52, 0.51], [0.9, 0.91, 0.92])),
    ]


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
    ),
)
