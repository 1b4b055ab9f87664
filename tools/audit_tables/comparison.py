"""The mutation audit's tables for the exercises of vtm_lesson/teaching/lessons_comparison.py."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch

# Mutants that pass because they are right: exercise, the changed line, why
EQUAL: list[tuple[str, str, str]] = [
    ("tuned_interval", "best = valid.mean(dim=1).argmax()", "a tensor of one number is taken for the number"),
    ("tuned_interval", "best = int(valid.sum(dim=1).argmax())", "all settings have equally many seeds"),
    (
        "tuned_interval",
        "best = int(valid.mean(dim=-1).argmax())",
        "the tensor has two axes, so the last one is dim 1",
    ),
    (
        "seeds_needed",
        "for n in range(1, most + 1):",
        "Student's factor of one seed is not a number, and so never smaller than the gap",
    ),
]


def _pair(dice: random.Random) -> tuple:
    n = dice.randint(2, 12)
    gain, noise = dice.uniform(-0.1, 0.1), dice.uniform(0.001, 0.1)
    one = [dice.uniform(0.4, 0.9) for _ in range(n)]
    return [v + gain + dice.gauss(0, noise) for v in one], one


def _trials(dice: random.Random) -> tuple:
    settings, seeds = dice.randint(1, 6), dice.randint(2, 8)
    return tuple(torch.tensor([[dice.uniform(0.4, 0.9) for _ in range(seeds)] for _ in range(settings)]) for _ in "vt")


# Random inputs that an exercise's text allows
RANDOM: dict[str, Callable[[random.Random], tuple]] = {
    "mean_interval": lambda d: ([d.uniform(0.2, 0.9) for _ in range(d.randint(2, 12))],),
    "told_apart": _pair,
    "gains_of_a_guess": lambda d: (),
    "tuned_interval": _trials,
    "corrected_interval": lambda d: ([d.uniform(-0.05, 0.05) for _ in range(d.randint(2, 12))], d.randint(1, 40)),
    "seeds_needed": lambda d: (d.uniform(0.2, 4), d.uniform(0, 2), d.randint(2, 30)),
}
