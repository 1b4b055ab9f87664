"""The exercises of lesson 08 and appendix C: wrong answers as learners write them, and right ones in another form."""

import statistics

import numpy as np
import pytest
import torch
from scipy.stats import sem
from scipy.stats import t as student

from vtm_lesson import checks
from vtm_lesson.study import report as reports
from vtm_lesson.study import variants
from vtm_lesson.teaching import lessons_comparison


@pytest.fixture(autouse=True)
def _outside_grading(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


def half_width(values, inside=0.975):
    return student.ppf(inside, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5


def around(values, half):
    return statistics.mean(values) - half, statistics.mean(values) + half


def tuned(valid, test, choose=lambda runs: runs.mean(1), report=None):
    best = int(choose(valid).argmax())
    runs = (test if report is None else report(valid, test))[best].tolist()
    return best, *around(runs, half_width(runs))


def seeds(gap, spread, most, first=2, factor=lambda n: student.ppf(0.975, n - 1), none=0):
    n = first
    while n <= most and factor(n) * spread / n**0.5 >= gap:
        n += 1
    return n if n <= most else none


READ = (0.89 - 0.40, 0.18 - 0.28, 0.65 - 0.26, 0.20 - 0.40)
WRONG = [
    # exercise, answer, a piece of what is said ("" where only the right result is shown)
    ("gains_of_a_guess", lambda: (0.89, 0.18, 0.65, 0.20), "Those are accuracies"),
    ("gains_of_a_guess", lambda: (0.37, -0.16, 0.30, -0.32), "no merging"),
    ("gains_of_a_guess", lambda: (49, -9, 39, -21), "percent points"),
    ("gains_of_a_guess", lambda: tuple(map(abs, READ)), "below zero"),
    ("gains_of_a_guess", lambda: (READ[1], READ[0], *READ[2:]), "changed places"),
    ("gains_of_a_guess", lambda: (READ[0], READ[1], READ[2], -0.32), "Number 4 is motion in centred films"),
    ("gains_of_a_guess", lambda: (READ[0], READ[1], 0.65, READ[3]), "Number 3 is motion in roaming films"),
    ("gains_of_a_guess", lambda: (READ[0], -0.02, READ[2], READ[3]), ""),
    ("tuned_interval", lambda valid, test: tuned(test, test), "on the test films"),
    ("tuned_interval", lambda valid, test: tuned(valid, valid), "You report the validation films"),
    ("tuned_interval", lambda valid, test: tuned(valid, test, lambda runs: runs.max(1).values), "best single seed"),
    ("tuned_interval", lambda valid, test: tuned(valid, test, lambda runs: runs.median(1).values), "median"),
    ("tuned_interval", lambda valid, test: tuned(valid, test, lambda runs: runs.mean(0)), ""),
    (
        "tuned_interval",
        lambda valid, test: tuned(valid, test, report=lambda valid, test: torch.cat([valid, test], 1)),
        "have helped to choose",
    ),
    ("corrected_interval", lambda values, k: around(values, half_width(values)), "still has its own 5%"),
    ("corrected_interval", lambda values, k: around(values, half_width(values, 1 - 0.05 / k)), "half of it on each"),
    ("corrected_interval", lambda values, k: around(values, k * half_width(values)), "far too wide"),
    ("corrected_interval", lambda values, k: around(values, half_width(values, 0.975 ** (1 / k))), "nearly right"),
    ("corrected_interval", lambda values, k: around(values, half_width(values, 0.975**k)), "must get wider"),
    ("seeds_needed", lambda gap, spread, most: seeds(gap, spread, most, factor=lambda n: 1.96), "1.96 is for many"),
    ("seeds_needed", lambda gap, spread, most: seeds(gap, spread, most, first=3), "begin with n = 2"),
    ("seeds_needed", lambda gap, spread, most: seeds(gap, spread, most, none=most), "the answer is 0"),
    ("seeds_needed", lambda gap, spread, most: seeds(gap, spread, most - 1), "may be taken, too"),
    ("seeds_needed", lambda gap, spread, most: seeds(gap / 2, spread, most), "whole width is twice"),
    ("seeds_needed", lambda gap, spread, most: seeds(gap, spread, most, factor=lambda n: student.ppf(0.975, n)), ""),
]


@pytest.mark.parametrize("name, answer, said", WRONG, ids=[f"{row[0]}-{i}" for i, row in enumerate(WRONG)])
def test_wrong_answers_are_refused(name, answer, said, capsys):
    getattr(checks, name)(answer)
    out = capsys.readouterr().out
    assert out.startswith("✗") and said in out, out


def with_sem(values, k):
    error = sem(values) if len(set(values)) > 1 else 0.0
    low, high = student.interval(1 - 0.05 / k, len(values) - 1, np.mean(values), error or 1e-12)
    return np.array([low, high])


def by_numpy(valid, test):
    best = np.argmax(valid.numpy().mean(axis=1))
    runs = test.numpy()[best].astype(float)
    half = student.ppf(0.975, len(runs) - 1) * runs.std(ddof=1) / np.sqrt(len(runs))
    return [best, runs.mean() - half, runs.mean() + half]


RIGHT = [
    ("gains_of_a_guess", lambda: [0.49, -0.10, 0.39, -0.20]),
    ("gains_of_a_guess", lambda: np.array([0.48, -0.09, 0.39, -0.21])),
    ("tuned_interval", by_numpy),
    ("tuned_interval", lambda valid, test: tuned(valid, test, lambda runs: runs.sum(1))),
    ("corrected_interval", with_sem),
    ("corrected_interval", lambda values, k: around(values, half_width(values, (2 - 0.05 / k) / 2))),
    ("seeds_needed", seeds),
    (
        "seeds_needed",
        lambda gap, spread, most: min((n for n in range(2, most + 1) if seeds(gap, spread, n)), default=0),
    ),
]


@pytest.mark.parametrize("name, answer", RIGHT, ids=[f"{row[0]}-{i}" for i, row in enumerate(RIGHT)])
def test_right_answers_in_another_form_are_taken(name, answer, capsys):
    getattr(checks, name)(answer)
    out = capsys.readouterr().out
    assert out.startswith("✓"), out


def test_what_is_read_off_is_what_the_study_found():
    """The check's numbers are written down; the panels are drawn from the stored study."""
    rows = {row["strategy"]: row for row in reports.load()["rows"] if row["evidence"] == "a" and row["gamma"] == 6}
    rows |= {row["strategy"]: row for row in reports.load()["rows"] if row["strategy"] == "none"}
    pairs = [("centre", "centred"), ("centre", "handheld"), ("motion", "roaming"), ("motion", "centred")]

    def mean(name, way):
        return rows[name]["accuracy"][way]["interval"][0]

    found = [mean(name, way) - mean("random", way) for name, way in pairs]
    np.testing.assert_allclose(lessons_comparison.GAINS, found, atol=0.0006)
    tolerance = checks.gains_of_a_guess.tolerance
    written = [round(mean(name, way), 2) - round(mean("random", way), 2) for name, way in pairs]
    assert np.abs(np.subtract(written, found)).max() < tolerance, "what the panels say with two digits must pass"


def test_what_appendix_c_says_of_the_correction():
    """The short first chunk is told apart alone, no more among three; the loss at gamma 6 with merging first stays."""

    def accuracies(name, place):
        runs = [run for run in variants.load()["results"] if (run["name"], run["place"]) == (name, place)]
        return np.array([run["accuracy"] for run in sorted(runs, key=lambda run: run["seed"])])

    after, before = "after_attention", "before_attention"
    short = accuracies("chunks (1, 4, 8)", after) - accuracies("gamma 6, R = |S|", after)
    few = accuracies("gamma 6, R = |S|", before) - accuracies("no merging", after)
    high = {k: [checks.corrected_interval.answer(gap.tolist(), k)[1] for gap in (short, few)] for k in (1, 3)}
    assert high[1][0] < 0 < high[3][0] and high[1][1] < high[3][1] < 0
