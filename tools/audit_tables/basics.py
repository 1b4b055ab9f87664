"""The mutation audit's tables for the exercises of vtm_lesson/teaching/lessons_basics.py."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch

from .common import grouped, normal

# Mutants that pass because they are right: exercise, the changed line, why
EQUAL: list[tuple[str, str, str]] = [
    (
        "unmerge",
        "film = torch.ones(len(group), y.shape[1], dtype=y.dtype)",
        "every row is written over, as every token has a group",
    ),
    ("merging_error", "difference = x - unmerge(group_mean(x, group), group)", "it is squared, so its sign is lost"),
    (
        "stored_attention",
        "scores = q / math.sqrt(k.shape[-1]) @ k.transpose(-2, -1)",
        "a key is as long as a query",
    ),
    (
        "stored_attention",
        "scores = q / math.sqrt(q.shape[-1]) @ k.transpose(-1, -2)",
        "the same two axes are exchanged",
    ),
]


def _chosen(dice: random.Random) -> tuple:
    n = dice.randint(4, 20)
    which = torch.tensor([dice.random() < 0.4 for _ in range(n)])
    which[dice.randrange(n)] = True
    return normal(dice, n, dice.randint(1, 4)), grouped(dice, n, dice.randint(1, 4)), which


def _attention(dice: random.Random) -> tuple:
    before = [(), (2,), (1, 3)][dice.randrange(3)]
    n, m, dim, wide = (dice.randint(1, 6) for _ in range(4))
    return normal(dice, *before, n, dim), normal(dice, *before, m, dim), normal(dice, *before, m, wide)


# Random inputs that an exercise's text allows
RANDOM: dict[str, Callable[[random.Random], tuple]] = {
    "group_mean": lambda d: (normal(d, n := d.randint(4, 20), d.randint(1, 4)), grouped(d, n, d.randint(1, 4))),
    "token_position": lambda d: (),
    "unmerge": lambda d: (normal(d, m := d.randint(1, 4), d.randint(1, 4)), grouped(d, d.randint(4, 20), m)),
    "merging_error": _chosen,
    "stored_attention": _attention,
    "merging_gain": lambda d: (d.randint(1, 500), d.randint(1, 500), d.randint(1, 30)),
    "tokens_in_film": lambda d: (d.randint(1, 64), d.randint(32, 256), d.randint(1, 32)),
    "attention_cost": lambda d: (d.randint(1, 500), d.randint(1, 500)),
    "frames_that_fit": lambda d: (d.randint(0, 2 ** d.randint(4, 40)), d.randint(1, 400)),
}
