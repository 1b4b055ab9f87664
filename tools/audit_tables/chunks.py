"""The mutation audit's tables for the exercises of vtm_lesson/teaching/lessons_chunks.py."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import torch

from .common import grouped, normal

# Mutants that pass because they are right: exercise, the changed line, why
EQUAL: list[tuple[str, str, str]] = [
    (
        "tokens_after",
        "number = frames / length",
        "a chunk's length divides the frames; a float of the same value is right",
    ),
    (
        "tokens_after",
        "inside = n / number",
        "all chunks keep equally many tokens, so the next number of chunks divides n",
    ),
    ("merge_in_chunks", "n = keys.shape[1] // chunks", "there are as many keys as tokens"),
    (
        "merge_in_chunks",
        "return merge(x.reshape(-1, n, x.shape[2])).reshape(keys.shape[0], -1, x.shape[2])",
        "keys and x are of the same films",
    ),
    ("merge_with_tail", "whole = keys.shape[1] // length * length", "there are as many keys as tokens"),
    ("merge_with_tail", "if whole < keys.shape[1]:", "there are as many keys as tokens"),
    ("alias_free_targets", "seen = torch.ones(places, dtype=torch.long)", "only the order of the counts matters"),
    ("alias_free_targets", "seen[target % places] += 2", "only the order of the counts matters"),
    (
        "alias_free_targets",
        "run = torch.arange(start, frames * places + 1)[:gamma]",
        "the token after the film's last one is chosen in no short run, as an earlier one was a target as seldom",
    ),
    (
        "alias_free_targets",
        "run = torch.arange(start, frames * places)[:gamma + 1]",
        "the first of the places served least lies in this run: places are served in turn",
    ),
    (
        "alias_free_targets",
        "run = torch.arange(start, frames * places)[:places]",
        "the first of the places served least lies in this run: places are served in turn",
    ),
    ("pooled_weight", "final = groups[-1].max() + 1", "torch.full takes a tensor of one number for the number"),
]


def _film(dice: random.Random) -> tuple:
    """frames, tokens a frame and chunks, each a divisor of the frames and at most as long as the next."""
    frames = dice.choice((12, 24, 60))
    chunks: list[int] = []
    for length in sorted(dice.choice([c for c in range(1, frames + 1) if frames % c == 0]) for _ in range(3)):
        if not chunks or length % chunks[-1] == 0:
            chunks.append(length)
    return frames, dice.randint(4, 40), tuple(chunks), dice.randint(2, 9), dice.choice((0.0, 0.25, 0.5, 0.8, 1.0))


def _merges(dice: random.Random) -> tuple:
    sizes = [dice.randint(12, 30), dice.randint(6, 11), dice.randint(2, 5)][: dice.randint(2, 3)]
    return (tuple(grouped(dice, n, m) for n, m in pairwise(sizes)),)


def _region(dice: random.Random) -> tuple:
    (groups,) = _merges(dice)
    whole = groups[0]
    for group in groups[1:]:
        whole = group[whole]
    kept = torch.tensor([int((whole == i).nonzero()[0]) for i in range(int(whole.max()) + 1)])
    return groups, kept, torch.tensor([dice.random() < 0.3 for _ in range(len(whole))])


def _grid_film(dice: random.Random) -> tuple:
    height, width = dice.randint(1, 8), dice.randint(2, 8)
    gamma = dice.randint(2, min(8, height * width))
    return dice.randint(2 * gamma, 3 * gamma), height, width, gamma


# Random inputs that an exercise's text allows
RANDOM: dict[str, Callable[[random.Random], tuple]] = {
    "tokens_after": _film,
    "merge_in_chunks": lambda d: (
        normal(d, b := d.randint(1, 3), (c := d.randint(1, 4)) * (n := d.randint(4, 12)), 3),
        normal(d, b, c * n, d.randint(2, 5)),
        c,
        d.choice((2, 2.5, 3, 4)),
    ),
    "merge_with_tail": lambda d: (
        normal(d, b := d.randint(1, 3), n := d.randint(1, 24), 3),
        normal(d, b, n, d.randint(2, 5)),
        d.randint(1, 9),
        d.choice((2, 2.5, 3, 4)),
    ),
    "pooled_weight": _merges,
    "region_weight": _region,
    "alias_free_targets": _grid_film,
}
