"""The mutation audit's tables for the exercises of vtm_lesson/teaching/lessons_learnable.py."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch

from .common import heads, normal

# Mutants that pass because they are right: exercise, the changed line, why
EQUAL: list[tuple[str, str, str]] = [
    ("saliency", "return torch.tanh(keys @ U)[:, -1]", "U has one column, the first and the last"),
    ("guided_attention", "scores = (q @ k.T + s) / k.shape[1] ** 0.5", "a key is as long as a query"),
    ("guided_attention", "return scores.softmax(dim=-1) @ v", "the tensor has two axes, so the last one is dim 1"),
    ("gradient_of_saliency", "root = k.shape[1] ** 0.5", "a key is as long as a query"),
    (
        "gradient_of_saliency",
        "weights = ((q @ k.T + s) / root).softmax(dim=-1)",
        "the tensor has two axes, so the last one is dim 1",
    ),
    (
        "gradient_of_saliency",
        "towards = g @ v.T - (g * y).sum(dim=-1, keepdim=True)",
        "the tensor has two axes, so the last one is dim 1",
    ),
    (
        "vtm_block",
        "targets = drawn_targets(s.detach(), math.ceil(len(x_aux) / gamma), 6.0, noise)",
        "both paths have the same number of tokens",
    ),
    (
        "vtm_block",
        "y = group_mean(guided_attention(q, k, v, torch.ones(len(x))), group)",
        "the same bonus for every key cancels in the softmax",
    ),
    (
        "vtm_block",
        "y = group_mean(guided_attention(q, k, v, torch.zeros(len(x_aux))), group)",
        "both paths have the same number of tokens",
    ),
]


def _drawing(dice: random.Random) -> tuple:
    n = dice.randint(4, 30)
    s, noise = normal(dice, n).tanh(), normal(dice, n)
    return s, dice.randint(1, n - 1), dice.choice((1.0, 2.0, 5.0)), noise


def _keys(dice: random.Random) -> tuple:
    n = dice.randint(1, 12)
    keys, targets = normal(dice, n, 3), torch.tensor(sorted(dice.sample(range(n), dice.randint(1, n))))
    keys[targets[-1]] = keys[targets[0]]  # two of one direction
    return keys, targets


def _film(dice: random.Random) -> tuple:
    n, c, d = dice.randint(1, 14), dice.randint(1, 4), dice.randint(1, 4)
    gamma, noise, training = dice.choice((2, 2.5, 6)), normal(dice, n), dice.random() < 0.7
    weights = (normal(dice, 3, c, d), normal(dice, 3, c, d), normal(dice, d, 1))
    return normal(dice, n, c), normal(dice, n, c), *weights, gamma, noise, training


# Random inputs that an exercise's text allows
RANDOM: dict[str, Callable[[random.Random], tuple]] = {
    "saliency": lambda d: (normal(d, d.randint(1, 9), c := d.randint(1, 5)), normal(d, c, 1)),
    "guided_attention": lambda d: (*(h := heads(d)), normal(d, len(h[1])).tanh()),
    "gradient_of_saliency": lambda d: (*(h := heads(d)), normal(d, len(h[1])).tanh(), normal(d, *h[2].shape)),
    "drawn_targets": _drawing,
    "group_numbers": _keys,
    "vtm_block": _film,
}
