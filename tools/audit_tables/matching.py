"""The mutation audit's tables for the exercises of vtm_lesson/teaching/lessons_matching.py."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch

from .common import grouped, heads, normal

# Mutants that pass because they are right: exercise, the changed line, why
EQUAL: list[tuple[str, str, str]] = [
    ("nearest_target", "unit = F.normalize(keys)", "dim 1 is what F.normalize takes by default"),
    ("nearest_target", "unit = F.normalize(keys, dim=-1)", "the tensor has two axes, so the last one is dim 1"),
    ("nearest_target", "best = scores.argmax(dim=-1)", "the tensor has two axes, so the last one is dim 1"),
    (
        "nearest_target",
        "return (best, scores.gather(1, best[:, None])[:, -1])",
        "gather gives one column, the first and the last",
    ),
    ("proportional_attention", "scores = q @ k.T / k.shape[1] ** 0.5 + size.log()", "a key is as long as a query"),
    (
        "proportional_attention",
        "return scores.softmax(dim=-1) @ v",
        "the tensor has two axes, so the last one is dim 1",
    ),
    ("full_groups", "group = torch.ones(len(sources) + len(targets), dtype=torch.int64)", "every place is written"),
    ("partial_groups", "group = torch.ones(n, dtype=torch.int64)", "every place is written"),
    ("surviving_positions", "return stays.nonzero()[:, -1]", "nonzero gives one column, the first and the last"),
    ("tome_step", "sources, targets = alternate(len(keys))", "there are as many keys as tokens"),
    (
        "tome_step",
        "group = partial_groups(len(keys), sources[merged], targets[best[merged]])",
        "there are as many keys as tokens",
    ),
    (
        "tome_step",
        "merged = similarity.argsort(descending=True)[:r]",
        "PyTorch's sort on a CPU keeps the order of equals, asked or not; it promises so only if asked",
    ),
    (
        "tome_step",
        "merged = similarity.argsort(descending=True, stable=False)[:r]",
        "PyTorch's sort on a CPU keeps the order of equals, asked or not; it promises so only if asked",
    ),
    (
        "time_order",
        "return (position[:, None] > position).sum(dim=-1)",
        "the tensor has two axes, so the last one is dim 1",
    ),
    ("token_sizes", "total = torch.zeros(group.max() + 1)", "torch.zeros takes a tensor of one number, too"),
    ("token_sizes", "return total.index_add(-1, group, size)", "total has one axis, the first and the last"),
]


def _tokens(dice: random.Random) -> tuple:
    n = dice.randint(4, 20)
    r = dice.randint(0, n // 2)
    keys = normal(dice, n, dice.randint(2, 5))
    if dice.random() < 0.3:  # with ties
        keys = torch.eye(3)[torch.tensor([dice.randrange(3) for _ in range(n)])]
    return normal(dice, n, 3), keys, r


def _sides(dice: random.Random) -> tuple:
    n = dice.randint(3, 20)
    places = list(range(n))
    dice.shuffle(places)
    cut = dice.randint(1, n - 1)
    keys = normal(dice, n, dice.randint(2, 5))
    if dice.random() < 0.3:
        keys = keys.round()
    return keys, torch.tensor(sorted(places[:cut])), torch.tensor(sorted(places[cut:]))


def _full(dice: random.Random) -> tuple:
    n = dice.randint(2, 16)
    targets = sorted(dice.sample(range(n), dice.randint(1, n)))
    sources = [i for i in range(n) if i not in targets]
    best = torch.tensor([dice.randrange(len(targets)) for _ in sources], dtype=torch.int64)
    return best, torch.tensor(sources, dtype=torch.int64), torch.tensor(targets)


def _merged(dice: random.Random) -> tuple:
    n = dice.randint(1, 16)
    return n, torch.tensor(dice.sample(range(n), dice.randint(0, n - 1)), dtype=torch.int64)


def _partial(dice: random.Random) -> tuple:
    n, merged = _merged(dice)
    left = sorted({*range(n)} - {*merged.tolist()})
    return n, merged, torch.tensor([dice.choice(left) for _ in merged], dtype=torch.int64)


def _rounds(dice: random.Random) -> tuple:
    n, groups = dice.randint(2, 12), []
    for _ in range(dice.randint(1, 4)):
        m = dice.randint(1, n)
        groups.append(grouped(dice, n, m))
        n = m
    return (groups,)


def _sized(dice: random.Random) -> tuple:
    n = dice.randint(1, 12)
    return grouped(dice, n, dice.randint(1, n)), normal(dice, n).abs().mul(3).ceil()


def _heaps(dice: random.Random) -> tuple:
    places = dice.sample(range(20), dice.randint(1, 12))
    cut = dice.randint(0, len(places) - 1)
    return torch.tensor(places[:cut], dtype=torch.int64), torch.tensor(sorted(places[cut:]))


# Random inputs that an exercise's text allows
RANDOM: dict[str, Callable[[random.Random], tuple]] = {
    "alternate": lambda d: (d.randint(2, 60),),
    "every_gamma_th": lambda d: (d.randint(9, 40), d.randint(1, 9), d.randint(-20, 20)),
    "full_groups": _full,
    "surviving_positions": _merged,
    "partial_groups": _partial,
    "compose_groups": _rounds,
    "token_sizes": _sized,
    "time_order": _heaps,
    "nearest_target": _sides,
    "tome_step": _tokens,
    "proportional_attention": lambda d: (*(h := heads(d, queries=True)), normal(d, len(h[1])).abs().mul(3).ceil()),
}
