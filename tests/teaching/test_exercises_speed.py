"""Answers to the exercises of lesson 09 and appendix B as learners write them."""

import statistics

import numpy as np
import pytest
import torch
from helpers import assert_refused

from vtm_lesson import checks


@pytest.fixture(autouse=True)
def _outside_grading(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


def ratios(old, new):
    return [a / b for a, b in zip(old, new, strict=True)]


def trimmed(values):
    """The mean without the smallest and the largest."""
    return statistics.mean(sorted(values)[1:-1] or values)


def beside(gain, saved, old, new, seconds=0, mib=1):
    """The right answer; other numbers take the seconds for the memory."""
    return new[seconds] * gain / old[seconds], 1 - (1 - saved) * old[mib] / new[mib]


def gain(*given):
    return beside(*given)[0]


def saved_of(*given):
    return beside(*given)[1]


def hasty(tiles):
    """The broken version of the appendix."""
    best, winner, start = torch.zeros(len(tiles[0])), torch.zeros(len(tiles[0]), dtype=torch.int64), 0
    for tile in tiles:
        top, place = tile.max(dim=1)
        winner, best = torch.where(top >= best, start + place, winner), torch.maximum(top, best)
        start += tile.shape[1]
    return winner


def loop(tiles, low=-np.inf, later=False, add=True):
    """One source at a time."""
    winners = []
    for i in range(len(tiles[0])):
        best, winner, start = low, 0, 0
        for tile in tiles:
            for j, score in enumerate(tile[i].tolist()):
                if score > best or (later and score == best):
                    best, winner = score, start + j
            start += tile.shape[1] if add else 0
        winners.append(winner)
    return winners


# Exercise, what is wrong, words by which the message names it (None: it does not), the function
WRONG = [
    ("slowest_blocks", "counted from 0", "counted from 1", lambda: (1, 2, "attention", 0)),
    ("slowest_blocks", "FLOPs for the clock", "not by FLOPs", lambda: (2, 2, "attention", 1)),
    ("slowest_blocks", "turned round", "turned the first two", lambda: (3, 2, "attention", 1)),
    ("slowest_blocks", "QKV", "patterns", lambda: (2, 3, "QKV", 1)),
    ("slowest_blocks", "the same block with merging", "three lower bars", lambda: (2, 3, "attention", 3)),
    ("slowest_blocks", "in words", None, lambda: (2, 3, "Attention", 1)),
    ("median_speedup", "hasty", "broken version", lambda o, n, w: statistics.mean(o) / statistics.mean(n)),
    ("median_speedup", "means", "two means", lambda o, n, w: statistics.mean(o[w:]) / statistics.mean(n[w:])),
    ("median_speedup", "medians", "two medians", lambda o, n, w: statistics.median(o[w:]) / statistics.median(n[w:])),
    ("median_speedup", "fastest", "two fastest", lambda o, n, w: min(o[w:]) / min(n[w:])),
    ("median_speedup", "with the warm-up", "warm-up is still", lambda o, n, w: statistics.median(ratios(o, n))),
    ("median_speedup", "mean of ratios", "their median", lambda o, n, w: statistics.mean(ratios(o[w:], n[w:]))),
    ("median_speedup", "turned", "new over old", lambda o, n, w: statistics.median(ratios(n[w:], o[w:]))),
    ("median_speedup", "last rounds", "at the start", lambda o, n, w: statistics.median(ratios(o, n)[: len(o) - w])),
    ("median_speedup", "one round", "always", lambda o, n, w: statistics.median(ratios(o, n)[1:])),
    ("median_speedup", "not sorted", None, lambda o, n, w: ratios(o[w:], n[w:])[(len(o) - w) // 2]),
    (
        "median_speedup",
        "upper of two",
        "half-way",
        lambda o, n, w: sorted(ratios(o[w:], n[w:]))[(len(o) - w) // 2],
    ),
    ("median_speedup", "trimmed mean", None, lambda o, n, w: trimmed(ratios(o[w:], n[w:]))),
    ("other_baseline", "saved stays", "OLD baseline", lambda *a: (gain(*a), a[1])),
    ("other_baseline", "neither changes", "neither number stays", lambda g, s, o, n: (g, s)),
    ("other_baseline", "what is left", "share that is left", lambda *a: (gain(*a), 1 - saved_of(*a))),
    ("other_baseline", "seconds turned", "turned the baselines'", lambda *a: (a[0] * a[2][0] / a[3][0], saved_of(*a))),
    ("other_baseline", "both turned", "old baseline for the new", lambda g, s, o, n: beside(g, s, n, o)),
    ("other_baseline", "clamped", "below zero", lambda *a: (gain(*a), max(0, saved_of(*a)))),
    ("other_baseline", "percent", "not percent", lambda *a: (gain(*a), 100 * saved_of(*a))),
    ("other_baseline", "seconds for memory", None, lambda g, s, o, n: beside(g, s, o, n, 1, 0)),
    ("candidates", "one bound", "twice", lambda r, b: r >= r.max(1, keepdim=True).values - b),
    ("candidates", "strictly", "just as low", lambda r, b: r > r.max(1, keepdim=True).values - 2 * b),
    ("candidates", "the best of all", "maximum of each row", lambda r, b: r >= r.max() - 2 * b),
    ("candidates", "columns", "each column", lambda r, b: r >= r.max(0).values - 2 * b),
    ("candidates", "the best alone", "best rough cosine alone", lambda r, b: r == r.max(1, keepdim=True).values),
    ("candidates", "turned", "cannot win", lambda r, b: r < r.max(1, keepdim=True).values - 2 * b),
    ("candidates", "a count", None, lambda r, b: (r >= r.max(1, keepdim=True).values - 2 * b).sum(1)),
    ("candidates", "relative", None, lambda r, b: r >= r.max(1, keepdim=True).values * (1 - 2 * b)),
    ("tiled_argmax", "hasty", "broken version", hasty),
    ("tiled_argmax", "begins with 0", "begin with minus infinity, not with 0", lambda t: loop(t, low=0.0)),
    ("tiled_argmax", "begins with -1", "as low as they like", lambda t: loop(t, low=-1.0)),
    ("tiled_argmax", "the last of equal ones", "the last of all", lambda t: loop(t, later=True)),
    ("tiled_argmax", "place in the tile", "place inside its tile", lambda t: loop(t, add=False)),
    ("tiled_argmax", "one width", "Tiles need not", lambda t: [
        (p := max(range(len(t)), key=lambda k: (float(t[k][i].max()), -k))) * t[0].shape[1] + int(t[p][i].argmax())
        for i in range(len(t[0]))
    ]),
    ("tiled_argmax", "scores", "best scores", lambda t: torch.cat(t, 1).amax(1)),
    ("tiled_argmax", "tiles stacked downwards", None, lambda t: torch.cat([part.argmax(1) for part in t])),
]  # fmt: skip


@pytest.mark.parametrize(
    "name, says, answer", [pytest.param(row[0], *row[2:], id=f"{row[0]}: {row[1]}") for row in WRONG]
)
def test_a_wrong_answer_is_refused_and_its_mistake_named(name, says, answer, capsys):
    assert_refused(getattr(checks, name), says, answer, capsys)


# Exercise, what is different about it, the function
RIGHT = [
    ("slowest_blocks", "a list, one number as a float", lambda: [2, 3.0, "attention", 1]),
    ("median_speedup", "NumPy", lambda o, n, w: np.median(np.array(o[w:]) / np.array(n[w:]))),
    ("median_speedup", "tensors", lambda o, n, w: (torch.tensor(o) / torch.tensor(n))[w:].double().quantile(0.5)),
    ("other_baseline", "in one go", beside),
    ("other_baseline", "an array", lambda *a: np.array(beside(*a))),
    ("candidates", "loops", lambda r, b: [[bool(x >= max(row) - 2 * b) for x in row] for row in r.tolist()]),
    ("candidates", "by intervals", lambda r, b: r + b >= (r - b).amax(1, keepdim=True)),
    ("candidates", "NumPy", lambda r, b: r.numpy() >= r.numpy().max(1, keepdims=True) - 2 * b),
    ("tiled_argmax", "loops", loop),
    ("tiled_argmax", "from the right", lambda t: torch.cat(t, 1).argmax(1)),
]


@pytest.mark.parametrize("name, answer", [pytest.param(row[0], row[2], id=f"{row[0]}: {row[1]}") for row in RIGHT])
def test_a_right_answer_in_another_form_is_accepted(name, answer, capsys):
    getattr(checks, name)(answer)
    assert capsys.readouterr().out.startswith(f"✓ {name}: right")


def test_the_broken_versions_of_the_lessons_are_refused():
    """What stands above a "mend" exercise must fail its check, on what the lesson shows, too."""
    old, new = [5.0, 2.0, 4.0, 2.0, 2.0], [3.5, 0.5, 1.0, 0.5, 2.0]
    assert checks.median_speedup.answer(old, new, 1) == 4 != statistics.mean(old) / statistics.mean(new)
    tiles = [torch.tensor([[0.5, 0.75], [-0.5, -0.75]]), torch.tensor([[0.75, 0.25], [-0.25, -0.5]])]
    assert checks.tiled_argmax.answer(tiles).tolist() == [1, 2] != hasty(tiles).tolist()
