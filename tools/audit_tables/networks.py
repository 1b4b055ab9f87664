"""The mutation audit's tables for the exercises of vtm_lesson/teaching/lessons_networks.py."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch

from .common import grouped, normal

# Mutants that pass because they are right: exercise, the changed line, why
EQUAL: list[tuple[str, str, str]] = [
    ("above", "return (similarity > threshold).sum(dim=1).min()", "a tensor of one number is taken for the number"),
    ("merge_by_size", "total = weights.sum(dim=-1)", "the weights have two axes, so the last one is dim 1"),
    (
        "above",
        "return int((similarity > threshold).sum(dim=-1).min())",
        "the tensor has two axes, so the last one is dim 1",
    ),
    ("checkerboard", "return ((t + y - x) % 2 == 1).flatten().nonzero()[:, 0]", "x and -x are both even or both odd"),
    ("checkerboard", "return ((t - y + x) % 2 == 1).flatten().nonzero()[:, 0]", "y and -y are both even or both odd"),
    (
        "checkerboard",
        "return ((t + y + x) % 2 == 1).flatten().nonzero()[:, -1]",
        "of one axis nonzero gives one column",
    ),
]


def _sized(d: random.Random) -> tuple:
    m = d.randint(1, 4)
    n = m + d.randint(0, 8)
    size = torch.tensor([float(d.randint(1, 9)) for _ in range(n)])
    return normal(d, n, d.randint(1, 4)), size, torch.arange(m)[:, None] == grouped(d, n, m)


# Random inputs that an exercise's text allows
RANDOM: dict[str, Callable[[random.Random], tuple]] = {
    "tokens_left": lambda d: (
        d.randint(20, 300),
        d.randint(0, 5),
        [d.randint(0, 40) for _ in range(d.randint(1, 12))],
    ),
    "merge_by_size": _sized,
    "vit_multiply_adds": lambda d: (
        d.randint(20, 300),
        d.randint(0, 5),
        [d.randint(0, 40) for _ in range(d.randint(1, 12))],
        d.randint(1, 64),
    ),
    "above": lambda d: (normal(d, d.randint(1, 5), d.randint(2, 20)).tanh(), d.uniform(-0.9, 0.9)),
    "checkerboard": lambda d: (d.randint(1, 5), d.randint(1, 6), d.randint(1, 6)),
}
