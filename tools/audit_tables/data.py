"""The mutation audit's tables for the exercises of vtm_lesson/teaching/lessons_data.py."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch

# Mutants that pass because they are right: exercise, the changed line, why
EQUAL: list[tuple[str, str, str]] = [
    (
        "film_prediction",
        "means = [logits[film == i].sum(0) for i in range(int(film.max()) + 1)]",
        "a film's sum is its mean times a positive number, so that the same class is largest",
    ),
    (
        "film_prediction",
        "means = [logits[film == i].mean(0) for i in range(film.max() + 1)]",
        "a tensor of one whole number is taken for the number",
    ),
    (
        "mean_predictor_error",
        "return float((train.mean() - test).pow(2).mean())",
        "a square has no sign",
    ),
    ("fair_split", "for size in range(1, len(names) + 1):", "a choice before that of all groups is fair"),
    ("fair_split", "for size in range(1, len(groups)):", "a choice before that of all groups is fair"),
    ("fair_split", "for size in range(0, len(names)):", "the choice of no group has no film, and so is not fair"),
    ("fair_split", "without: raise ValueError('no choice of groups is fair')", "one always is, so it is not reached"),
    *(
        (
            "fair_split",
            "both = [{label for label, there in zip(labels, test, strict=True) if there " + how + "]",
            "the two sets change places, and both are compared with the same",
        )
        for how in ("!= part} for part in (True, False)", "== part} for part in (False, True)")
    ),
]


def _groups(dice: random.Random) -> tuple:
    n = dice.randint(0, 9)
    return [dice.choice(["", "a", "b", "c"]) for _ in range(n)], [
        dice.choice(["train", "val", "test"]) for _ in range(n)
    ]


def _sessions(dice: random.Random) -> tuple:
    """Sessions that all have both classes, none of them larger than a fifth of the whole."""
    names = [name for name in "abcdef" for _ in range(2)]
    labels = [0, 1] * 6
    order = dice.sample(range(12), 12)
    return [names[i] for i in order], [labels[i] for i in order]


def _windows(dice: random.Random) -> tuple:
    films, classes = dice.randint(1, 4), dice.randint(2, 5)
    film = [i for i in range(films) for _ in range(dice.randint(1, 4))]
    dice.shuffle(film)
    return torch.tensor([[dice.gauss(0, 3) for _ in range(classes)] for _ in film]), torch.tensor(film)


def _values(dice: random.Random) -> tuple:
    return tuple(torch.tensor([dice.gauss(1, 2) for _ in range(dice.randint(1, 8))]) for _ in "ab")


def _lengths(dice: random.Random) -> tuple:
    lengths = [float(dice.randint(1, 400)) for _ in range(dice.randint(0, 6))]
    return lengths, 60.5, dice.randint(1, 60), dice.randint(1, 256), dice.randint(1, 1024)


def _clips(dice: random.Random) -> tuple:
    groups = ["a", "b", *(dice.choice("abcd") for _ in range(dice.randint(0, 8)))]
    return [dice.choice([0.0, 0.5, 1.0]) for _ in groups], groups


# Random inputs that an exercise's text allows
RANDOM: dict[str, Callable[[random.Random], tuple]] = {
    "leaking_groups": _groups,
    "fair_split": _sessions,
    "film_prediction": _windows,
    "mean_predictor_error": _values,
    "feature_bytes": _lengths,
    "grouped_interval": _clips,
}
