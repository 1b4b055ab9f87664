"""The right answers of lesson 08 and appendix C written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import statistics

import torch
from scipy.stats import t as student

from .making import slips


def mean_interval(values: list[float]) -> tuple[float, float]:
    n = len(values)
    half = student.ppf(0.975, n - 1) * statistics.stdev(values) / n**0.5
    return statistics.mean(values) - half, statistics.mean(values) + half


MEAN_INTERVAL = slips(
    mean_interval,
    (
        "student.ppf(0.975, n - 1) * statistics.stdev(values) / n ** 0.5",
        "Divide by the square root of n; you divide by something else.",
        "student.ppf(0.975, n - 1) * statistics.stdev(values) * n ** 0.5; student.ppf(0.975, n - 1) * "
        "statistics.stdev(values) / (n * 0.5); student.ppf(0.975, n - 1) * statistics.stdev(values) / 0.5 ** n; "
        "student.ppf(0.975, n - 1) * statistics.stdev(values) / n; student.ppf(0.975, n - 1) * "
        "statistics.stdev(values) / 0.5; student.ppf(0.975, n - 1) * statistics.stdev(values) / n ** 2.0",
    ),
    (
        "student.ppf(0.975, n - 1) * statistics.stdev(values) / n ** 0.5",
        "Half of the interval is Student's factor times the standard deviation, divided by the square root of n; a "
        "part is missing, or combined in another way.",
        "n ** 0.5; (student.ppf(0.975, n - 1) + "
        "statistics.stdev(values)) / n ** 0.5; student.ppf(0.975, n - 1) / n ** 0.5",
    ),
    (
        "student.ppf(0.975, n - 1)",
        "Student's factor for n runs is student.ppf(0.975, n - 1): first the share, then the degrees of freedom, one "
        "less than the runs.",
        "student.ppf(0.975, n + 1); student.ppf(0.975, 1)",
    ),
    (
        "student.ppf(0.975, n - 1)",
        "That interval covers 99%; for 95% take 0.975.",
        "student.ppf(0.995, n - 1)",
    ),
    (
        "student.ppf(0.975, n - 1) * statistics.stdev(values) / n ** 0.5",
        "You took the variance; its square root, the standard deviation, is in the unit of the runs.",
        "student.ppf(0.975, n - 1) * statistics.variance(values) / n ** 0.5",
    ),
    (
        "statistics.mean(values) - half, statistics.mean(values) + half",
        "The interval goes from the mean less half of it to the mean plus half of it, in this order.",
        "statistics.mean(values) + half, statistics.mean(values) - half; statistics.mean(values) + half, "
        "statistics.mean(values) + half; half - statistics.mean(values), statistics.mean(values) + half; "
        "statistics.mean(values), statistics.mean(values) + half; half, statistics.mean(values) + half; "
        "statistics.mean(values) - half, statistics.mean(values) - half; statistics.mean(values) - half, "
        "statistics.mean(values); statistics.mean(values) - half, half",
    ),
    (
        "statistics.mean(values) - half, statistics.mean(values) + half",
        "The middle of the interval is the mean of the runs, not their median.",
        "statistics.median(values) - half, statistics.mean(values) + half; statistics.mean(values) - half, "
        "statistics.median(values) + half",
    ),
)


def _told_apart(one: list[float], other: list[float]) -> str:
    differences = [a - b for a, b in zip(one, other, strict=True)]
    n = len(differences)
    half = student.ppf(0.975, n - 1) * statistics.stdev(differences) / n**0.5
    mean = statistics.mean(differences)
    return "first" if mean - half > 0 else "second" if mean + half < 0 else "not told apart"


TOLD_APART = slips(
    _told_apart,
    (
        "[a - b for a, b in zip(one, other, strict=True)]",
        "What counts is by how much the first is better on each seed: one less other.",
        "[a + b for a, b in zip(one, other, strict=True)]; [a for a, b in zip(one, other, strict=True)]",
    ),
    (
        "student.ppf(0.975, n - 1)",
        "That interval covers 99%; for 95% take 0.975.",
        "student.ppf(0.995, n - 1)",
    ),
    (
        "student.ppf(0.975, n - 1)",
        "Student's factor for n seeds is student.ppf(0.975, n - 1): first the share, then the degrees of freedom, "
        "one less than the seeds.",
        "student.ppf(0.975, n - 2)",
    ),
    (
        "student.ppf(0.975, n - 1) * statistics.stdev(differences) / n ** 0.5",
        "You took the variance; its square root, the standard deviation, is in the unit of the results.",
        "student.ppf(0.975, n - 1) * statistics.variance(differences) / n ** 0.5",
    ),
    (
        "student.ppf(0.975, n - 1) * statistics.stdev(differences) / n ** 0.5",
        "Half of the interval is Student's factor times the standard deviation, divided by the square root of n; a "
        "part is missing, or combined in another way.",
        "student.ppf(0.975, n - 1) * statistics.stdev(differences) / 0.5 ** n; student.ppf(0.975, n - 1) * "
        "statistics.stdev(differences) / n; student.ppf(0.975, n - 1) * statistics.stdev(differences) / n ** 2.0",
    ),
    (
        "statistics.mean(differences)",
        "The middle of the interval is the mean of the differences.",
        "statistics.median(differences)",
    ),
    (
        "'first' if mean - half > 0 else 'second' if mean + half < 0 else 'not told apart'",
        "One of the three verdicts comes never, or always: the interval may lie above zero, below it, or have it "
        "inside.",
        "'first'; 'second' if mean + half < 0 else 'not told apart'; 'first' if mean - half > 0 else 'second'; "
        "'first' if mean - half > 0 else 'not told apart'; 'not told apart'",
    ),
    (
        "'first' if mean - half > 0 else 'second' if mean + half < 0 else 'not told apart'",
        "The verdicts are exchanged.",
        "('second' if mean + half < 0 else 'not told apart') if mean - half > 0 else 'first'; 'first' if mean - half "
        "> 0 else 'not told apart' if mean + half < 0 else 'second'",
    ),
    (
        "'first' if mean - half > 0 else 'second' if mean + half < 0 else 'not told apart'",
        "An interval with zero at its edge does not tell the two apart: above and below zero mean altogether.",
        "'first' if mean - half >= 0 else 'second' if mean + half < 0 else 'not told apart'; 'first' if mean - half "
        "> 0 else 'second' if mean + half <= 0 else 'not told apart'",
    ),
    (
        "mean - half > 0",
        "The first is better where the low end of the interval, mean - half, is above zero.",
        "mean - half < 0; mean + half > 0; mean > 0; half > 0",
    ),
    (
        "mean + half < 0",
        "The second is better where the high end of the interval, mean + half, is below zero.",
        "mean + half > 0; mean - half < 0; mean < 0",
    ),
)


def _tuned_interval(valid: torch.Tensor, test: torch.Tensor) -> tuple[int, float, float]:
    best = int(valid.mean(dim=1).argmax())
    low, high = mean_interval(test[best].tolist())
    return best, low, high


TUNED_INTERVAL = slips(
    _tuned_interval,
    (
        "valid.mean(dim=1)",
        "The mean is over the seeds, dim 1, so that one number stands for each setting.",
        "valid.mean(dim=0)",
    ),
    (
        "valid.mean(dim=1).argmax()",
        "The setting that is taken is the one with the highest mean in valid.",
        "valid.argmax(); 0",
    ),
    (
        "test[best]",
        "The interval is that of the chosen setting's row in test.",
        "test[0]; test[-1]; test[:, 0]; test[best - 1]; test[1]",
    ),
    (
        "best, low, high",
        "Give the chosen setting, then the low end of the interval, then the high end.",
        "low, best, high; best, high, low; best, low, low; best, high, high; best, best, high; low, low, high; "
        "best, low, best",
    ),
)


def _corrected_interval(values: list[float], comparisons: int) -> tuple[float, float]:
    n = len(values)
    half = student.ppf(1 - 0.025 / comparisons, n - 1) * statistics.stdev(values) / n**0.5
    return statistics.mean(values) - half, statistics.mean(values) + half


CORRECTED_INTERVAL = slips(
    _corrected_interval,
    (
        "1 - 0.025 / comparisons",
        "On each side lies half of 0.05 / comparisons, so Student's factor is that of 1 - 0.025 / comparisons.",
        "1 - 0.025 / n; 1 - 0.025 * comparisons; 1 - comparisons / 0.025; "
        "1 + 0.025 / comparisons; 1 - 0.005 / comparisons; 0 - 0.025 / comparisons; 2 - 0.025 / comparisons",
    ),
    (
        "n - 1",
        "The degrees of freedom are one less than the seeds.",
        "n; n - 2; n + 1; 1; n - 0; comparisons; comparisons - 1",
    ),
    (
        "statistics.stdev(values)",
        "What counts is the standard deviation with n - 1 below the line, statistics.stdev.",
        "statistics.variance(values)",
    ),
    (
        "* statistics.stdev(values) / n ** 0.5",
        "Half of the interval is Student's factor times the standard deviation, divided by the square root of n; a "
        "part is missing, or combined in another way.",
        "* statistics.stdev(values) * n ** 0.5; * statistics.stdev(values) / (n * 0.5); * statistics.stdev(values) "
        "/ 0.5 ** n; * statistics.stdev(values) / n; * statistics.stdev(values) / 0.5; * statistics.stdev(values) / "
        "n ** 2.0; + statistics.stdev(values) / n ** 0.5; / n ** 0.5; "
        "* statistics.stdev(values) / n ** 1.0",
    ),
    (
        "student.ppf(1 - 0.025 / comparisons, n - 1) * statistics.stdev(values) / n ** 0.5",
        "Half of the interval is Student's factor times the standard deviation, divided by the square root of n; a "
        "part is missing, or combined in another way.",
        "n ** 0.5; statistics.stdev(values) / n ** 0.5; (student.ppf(1 - 0.025 / comparisons, n - 1) + "
        "statistics.stdev(values)) / n ** 0.5",
    ),
    (
        "statistics.mean(values) - half, statistics.mean(values) + half",
        "The interval goes from the mean less half of it to the mean plus half of it, in this order.",
        "statistics.mean(values) + half, statistics.mean(values) - half; statistics.mean(values) + half, "
        "statistics.mean(values) + half; half - statistics.mean(values), statistics.mean(values) + half; "
        "statistics.mean(values), statistics.mean(values) + half; half, statistics.mean(values) + half; "
        "statistics.mean(values) - half, statistics.mean(values) - half; statistics.mean(values) - half, "
        "statistics.mean(values); statistics.mean(values) - half, half",
    ),
    (
        "statistics.mean(values) - half, statistics.mean(values) + half",
        "The middle of the interval is the mean of the runs, not their median or their sum.",
        "statistics.median(values) - half, statistics.mean(values) + half; statistics.mean(values) - half, "
        "statistics.median(values) + half; sum(values) - half, statistics.mean(values) + half; "
        "statistics.mean(values) - half, sum(values) + half",
    ),
)


def _seeds_needed(gap: float, spread: float, most: int) -> int:
    for n in range(2, most + 1):
        if student.ppf(0.975, n - 1) * spread / n**0.5 < gap:
            return n
    return 0


SEEDS_NEEDED = slips(
    _seeds_needed,
    (
        "range(2, most + 1)",
        "Try every number of seeds from 2 to most, one after the other: one seed has no scatter, two may do.",
        "range(2, most + 2)",
    ),
    (
        "student.ppf(0.975, n - 1) * spread / n ** 0.5",
        "Half of the interval is Student's factor times the spread, divided by the square root of n.",
        "(student.ppf(0.975, n - 1) + spread) / n ** 0.5; student.ppf(0.975, n - 1) * spread / (n * 0.5); "
        "student.ppf(0.975, n - 1) * spread / n ** 2.0; student.ppf(0.975, n - 1) / n ** 0.5; "
        "student.ppf(0.975, n - 1) * gap / n ** 0.5; student.ppf(0.975, n - 1) * spread * n ** 0.5; n ** 0.5; "
        "student.ppf(0.975, n - 1) * spread; student.ppf(0.975, n - 1) * spread / 0.5 ** n; "
        "student.ppf(0.975, n - 1) * spread / 0.5; student.ppf(0.975, n - 1) * most / n ** 0.5",
    ),
    (
        "student.ppf(0.975, n - 1)",
        "Student's factor for n seeds is student.ppf(0.975, n - 1): 2.5% lie outside on each side, and the degrees "
        "of freedom are one less than the seeds.",
        "student.ppf(0.995, n - 1); student.ppf(0.95, n - 1); student.ppf(0.975, n); student.ppf(0.975, n + 1); "
        "student.ppf(0.975, n - 2); student.ppf(0.975, 1); student.ppf(0.975, most - 1)",
    ),
    (
        "< gap",
        "Stop at the first n at which half of the interval is smaller than the gap.",
        "> gap; >= gap; < 0; <= gap",
    ),
    (
        "return n",
        "Give the first n that will do, not one beside it, and not the largest.",
        "return n + 1; return n - 1",
    ),
    ("return 0", "Where not even `most` seeds will do the answer is 0.", "return 1; return -1; return most + 1"),
)
