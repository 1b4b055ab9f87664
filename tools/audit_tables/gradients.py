"""The mutation audit's tables for the exercises of vtm_lesson/teaching/lessons_gradients.py."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch

from .common import heads, normal

# Mutants that pass because they are right: exercise, the changed line, why
ONE, TWO = "the tensor has one axis, so the last one is dim 0", "the tensor has two axes, so the last one is dim 1"
EQUAL: list[tuple[str, str, str]] = [
    ("ordered_chance", "chance = chance * left.softmax(-1)[token]", ONE),
    ("relaxed_choice", "p = (scores / temperature).softmax(-1)", ONE),
    ("against_others", "others = (losses.sum(dim=-1, keepdim=True) - losses) / (draws - 1)", TWO),
    ("gated_attention", "return scores.softmax(dim=-1) @ v", TWO),
    ("gated_attention", "scores = q @ k.T / k.shape[1] ** 0.5 + z.log()", "a key is as long as a query"),
    ("bias_and_noise", "noise = (found - mean).square().sum(dim=-1).mean().sqrt()", TWO),
    ("bias_and_noise", "bias = (exact - mean).norm()", "a length does not know which way"),
    ("bias_and_noise", "noise = (mean - found).square().sum(dim=1).mean().sqrt()", "a square does not know which way"),
]


def _draws(dice: random.Random) -> tuple:
    n = dice.randint(2, 9)
    return normal(dice, n), torch.tensor(dice.sample(range(n), dice.randint(1, n - 1)))


def _choice(dice: random.Random) -> tuple:
    n = dice.randint(3, 9)
    return normal(dice, n).requires_grad_(), dice.randint(1, n - 1), dice.choice((0.5, 0.8, 1.5, 2.0))


def _hard_and_soft(dice: random.Random) -> tuple:
    n = dice.randint(2, 8)
    soft = normal(dice, n).softmax(0)
    return torch.zeros(n).scatter(0, soft.topk(1).indices, 1.0), soft.requires_grad_()


# Random inputs that an exercise's text allows
RANDOM: dict[str, Callable[[random.Random], tuple]] = {
    "ordered_chance": _draws,
    "against_others": lambda d: (normal(d, d.randint(1, 5), d.randint(2, 6)),),
    "relaxed_choice": _choice,
    "hard_and_soft": _hard_and_soft,
    "gated_attention": lambda d: (*(h := heads(d)), normal(d, len(h[1])).sigmoid().requires_grad_()),
    "bias_and_noise": lambda d: (normal(d, d.randint(2, 9), c := d.randint(2, 4)), normal(d, c)),
}
