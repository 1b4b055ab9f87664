"""The mutation audit's tables for the exercises of vtm_lesson/teaching/lessons_speed.py."""

from __future__ import annotations

import random
from collections.abc import Callable

from .common import normal

# Mutants that pass because they are right: exercise, the changed line, why
EQUAL: list[tuple[str, str, str]] = [
    (
        "peak_score_memory",
        "chunks = min(together, n / chunk)",
        "a chunk's length divides n; a float of the same value is right",
    ),
    (
        "candidates",
        "best = rough.max(dim=-1, keepdim=True).values",
        "the last axis is the second of two",
    ),
    (
        "tiled_argmax",
        "best = torch.full((len(tiles[-1]),), -torch.inf)",
        "every tile has a row for each source",
    ),
    (
        "tiled_argmax",
        "winner = torch.zeros(len(tiles[-1]), dtype=torch.int64)",
        "every tile has a row for each source",
    ),
    ("tiled_argmax", "top, place = tile.max(dim=-1)", "the last axis is the second of two"),
]


def _steps(dice: random.Random) -> tuple:
    n = dice.randint(1, 6)
    return [dice.uniform(0.1, 9) for _ in range(n)], [dice.uniform(0.5, 9) for _ in range(n)]


def _rounds(dice: random.Random) -> tuple:
    n = dice.randint(1, 9)
    return [dice.uniform(0.1, 9) for _ in range(n)], [dice.uniform(0.1, 9) for _ in range(n)], dice.randrange(n)


def _baselines(dice: random.Random) -> tuple:
    old, new = ((dice.uniform(0.5, 20), dice.uniform(10, 2000)) for _ in range(2))
    return dice.uniform(0.5, 9), dice.uniform(-0.5, 0.95), old, new


def _rough(dice: random.Random) -> tuple:
    """Cosines in steps that a computer holds exactly, so that some are just as low as allowed."""
    x = (normal(dice, dice.randint(1, 6), dice.randint(1, 9)) * 16).round() / 64
    return x, dice.randint(0, 4) / 64


def _tiles(dice: random.Random) -> tuple:
    """Tiles of unequal width, with ties."""
    sources = dice.randint(1, 5)
    return ([(2 * normal(dice, sources, dice.randint(1, 4))).round() for _ in range(dice.randint(1, 5))],)


# Random inputs that an exercise's text allows
RANDOM: dict[str, Callable[[random.Random], tuple]] = {
    "slowest_blocks": lambda d: (),
    "amdahl": _steps,
    "median_speedup": _rounds,
    "other_baseline": _baselines,
    "candidates": _rough,
    "tiled_argmax": _tiles,
    "peak_score_memory": lambda d: (
        (c := d.randint(1, 50)) * (k := d.randint(1, 12)),
        c,
        d.randint(1, k + 3),
        d.randint(1, c + 10),
    ),
    "swapped_flops": lambda d: ((n := d.randint(2, 400)), d.randint(1, n), d.randint(1, 300)),
    "roofline": lambda d: tuple(10 ** d.uniform(low, low + 3) for low in (4, 3, 8, 7)),
}
