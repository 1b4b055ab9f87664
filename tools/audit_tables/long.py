"""The mutation audit's tables for the exercises of vtm_lesson/teaching/lessons_long.py."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor

from .common import normal

# Mutants that pass because they are right: exercise, the changed line, why
EQUAL: list[tuple[str, str, str]] = [
    ("film_map", "start += group.max() + 1", "a tensor of one number adds up as the number does"),
    (
        "keep_best",
        "positions = torch.cat([positions, torch.arange(first, first + len(new) + 1)])",
        "a position too many at the end has no score, and is never chosen",
    ),
    (
        "keep_best",
        "best = scores.argsort(descending=True)[:keep].sort().values",
        "on the CPU equal scores keep their order in any case",
    ),
    (
        "keep_best",
        "best = scores.argsort(descending=True, stable=False)[:keep].sort().values",
        "on the CPU equal scores keep their order in any case",
    ),
    ("found_again", "met = actor & kept.view(actor.shape)", "both or neither, in any order"),
]


def _groups(dice: random.Random, n: int, count: int) -> Tensor:
    """(n,) int64, each of `count` groups with a token."""
    numbers = [*range(count), *(dice.randrange(count) for _ in range(n - count))]
    dice.shuffle(numbers)
    return torch.tensor(numbers)


def _maps(dice: random.Random) -> tuple:
    counts = [dice.randint(1, 4) for _ in range(dice.randint(1, 4))]
    chunks = [_groups(dice, count + dice.randint(0, 4), count) for count in counts]
    return chunks, _groups(dice, sum(counts), dice.randint(1, sum(counts)))


def _state(dice: random.Random) -> tuple:
    """What is kept of a film that has gone on for a while, with ties."""
    keep, done, new = dice.randint(1, 6), dice.randint(0, 12), dice.randint(1, 8)
    scores = (2 * normal(dice, done + new)).round() / 2
    best = scores[:done].argsort(descending=True, stable=True)[:keep].sort().values
    return scores[best], best, scores[done:], done, keep


def _actor(dice: random.Random) -> tuple:
    """An actor who is there for a second or more."""
    frames, height, width = dice.randint(2, 6), dice.randint(1, 3), dice.randint(1, 3)
    actor = normal(dice, frames, height, width) > 0.8
    actor[dice.randrange(frames), 0, 0] = True
    n = actor.numel()
    return torch.tensor(sorted(dice.sample(range(n), dice.randint(1, n)))), actor


# Random inputs that an exercise's text allows
RANDOM: dict[str, Callable[[random.Random], tuple]] = {
    "level_chunks": lambda d: (d.randint(1, 5000), d.randint(1, 12), d.randint(2, 8)),
    "tokens_waiting": lambda d: (d.randint(1, 300), d.randint(1, 8), d.randint(2, 9), d.randint(1, 2000)),
    "film_map": _maps,
    "keep_best": _state,
    "found_again": _actor,
}
