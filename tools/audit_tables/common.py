"""Random inputs that several exercises take."""

from __future__ import annotations

import random

import torch


def normal(dice: random.Random, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(dice.randrange(1 << 30)))


def grouped(dice: random.Random, n: int, m: int) -> torch.Tensor:
    """n numbers from 0 to m - 1, all in use."""
    numbers = [*range(m), *(dice.randrange(m) for _ in range(n - m))]
    dice.shuffle(numbers)
    return torch.tensor(numbers)


def heads(dice: random.Random, queries: bool = False) -> tuple:
    k, c = dice.randint(2, 8), dice.randint(2, 6)
    q = dice.randint(1, 8) if queries else k
    return normal(dice, q, c), normal(dice, k, c), normal(dice, k, dice.randint(1, 5))
