"""The mutation audit's tables for the exercises of vtm_lesson/teaching/lessons_own.py."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from vtm_lesson.teaching.lessons_own import trial

from .common import normal

# Mutants that pass because they are right: exercise, the changed line, why
EQUAL: list[tuple[str, str, str]] = [
    (
        "frame_targets",
        "first = torch.arange(k + 1) * frames // k * places",
        "the frame too many comes last, and n_targets are left before it",
    ),
    (
        "frame_targets",
        "first = torch.arange(frames) * frames // k * places",
        "the frames too many come last, and n_targets are left before them",
    ),
    ("run_groups", "number = begins.flatten().cumsum(-1).view(begins.shape) - 1", "one axis is the last of one"),
    (
        "run_groups",
        "return torch.where(begins, number, -1).cummax(0).values",
        "at every place a group begins in frame 0, and its number is above -1",
    ),
    ("energy_score", "unit = F.normalize(keys)", "the axis that normalize takes by itself is 1"),
    ("energy_score", "unit = F.normalize(keys, dim=-1)", "the last axis is the second of two"),
    (
        "energy_score",
        "return torch.where(alike >= margin, alike, torch.exp(alike - margin) - 1).mean(0)",
        "token i is as like j as j is like i",
    ),
    (
        "pareto_front",
        "return sorted(front, key=lambda i: accuracies[i])",
        "on the front, who takes more time is more accurate",
    ),
]


def _film(dice: random.Random) -> tuple:
    frames, height, width = dice.randint(1, 9), dice.randint(1, 4), dice.randint(1, 4)
    return frames, height, width, dice.randint(1, frames * height * width)


def _changes(dice: random.Random) -> tuple:
    """Changes in quarters, so that some are exactly the threshold."""
    return (2 * normal(dice, dice.randint(0, 6), dice.randint(1, 6)).abs()).round() / 4, dice.choice((0.0, 0.25, 0.5))


def _keys(dice: random.Random) -> tuple:
    keys = normal(dice, dice.randint(1, 8), dice.randint(1, 5)) * dice.choice((0.5, 1, 4))
    keys[dice.randrange(len(keys))] = 0
    return keys, dice.uniform(-0.9, 0.95)


def _best(dice: random.Random) -> tuple:
    """Cosines in eighths, so that some are exactly the threshold."""
    best = (normal(dice, dice.randint(1, 4), dice.randint(0, 9)).tanh() * 8).round() / 8
    return best, dice.randint(-4, 8) / 8, dice.randint(1, 9)


def _rows(dice: random.Random) -> tuple:
    n = dice.randint(0, 8)
    return [float(dice.randint(1, 4)) for _ in range(n)], [dice.randint(3, 7) / 8 for _ in range(n)]


def _tokens(dice: random.Random) -> tuple:
    batch, grid = dice.randint(1, 3), (dice.randint(2, 4), dice.randint(1, 4), dice.randint(1, 4))
    n = dice.randint(2, math.prod(grid))
    return (trial(batch, grid, dice.choice((1.5, 2.0, 6.0)), n, dice.randrange(1000)),)


# Random inputs that an exercise's text allows
RANDOM: dict[str, Callable[[random.Random], tuple]] = {
    "frame_targets": _film,
    "run_groups": _changes,
    "energy_score": _keys,
    "left_at": _best,
    "pareto_front": _rows,
    "own_partition": _tokens,
}
