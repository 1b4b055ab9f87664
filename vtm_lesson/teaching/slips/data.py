"""The right answers of lesson 12 written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import itertools
import statistics

import torch

from .comparison import mean_interval
from .making import slips


def _leaking_groups(groups: list[str], split: list[str]) -> list[str]:
    parts: dict[str, set[str]] = {}
    for group, part in zip(groups, split, strict=True):
        parts.setdefault(group, set()).add(part)
    return sorted(group for group, found in parts.items() if group and len(found) > 1)


LEAKING_GROUPS = slips(
    _leaking_groups,
    (
        "zip(groups, split, strict=True)",
        "Each group collects the parts of its films; you have groups and parts exchanged.",
        "zip(split, groups, strict=True)",
    ),
    (
        "parts.setdefault(group, set()).add(part)",
        "Each group collects the parts of its films; you have groups and parts exchanged.",
        "parts.setdefault(part, set()).add(group)",
    ),
    (
        "parts.setdefault(group, set()).add(part)",
        "You name no group, whatever the films are. A group collects the parts of its films; more than one is a leak.",
        "None; parts.setdefault(part, set()).add(part); parts.setdefault(group, set()).add(group)",
    ),
    (
        "zip(groups, split, strict=True)",
        "You name no group, whatever the films are. A group collects the parts of its films; more than one is a leak.",
        "zip(split, split, strict=True); zip(groups, groups, strict=True)",
    ),
    (
        "group and len(found) > 1",
        "You name no group, whatever the films are. A group collects the parts of its films; more than one is a leak.",
        "group and len(found) < 1",
    ),
    (
        "group and len(found) > 1",
        "Every group is named, or every unknown one, whether its films are in one part or in several.",
        "group; group or len(found) > 1; True",
    ),
    (
        "group and len(found) > 1",
        "Two parts are enough: a group need not be in all three to leak.",
        "group and len(found) > 2",
    ),
    (
        "group and len(found) > 1",
        "A group that is in all three parts leaks, too.",
        "group and len(found) == 2",
    ),
    (
        "sorted((group for group, found in parts.items() if group and len(found) > 1))",
        "Name the groups, not the parts.",
        "sorted((part for group, found in parts.items() if group and len(found) > 1)); "
        "sorted((p for group, found in parts.items() if group and len(found) > 1 for p in found))",
    ),
)


def _fair_split(groups: list[str], labels: list[int]) -> list[bool]:
    names = sorted(set(groups))
    for size in range(1, len(names)):
        for chosen in itertools.combinations(names, size):
            test = [group in chosen for group in groups]
            both = [
                {label for label, there in zip(labels, test, strict=True) if there == part} for part in (True, False)
            ]
            if 0.2 <= sum(test) / len(test) <= 0.4 and both[0] == both[1] == set(labels):
                return test
    raise ValueError("no choice of groups is fair")


FAIR_SPLIT = slips(
    _fair_split,
    (
        "0.2 <= sum(test) / len(test) <= 0.4 and both[0] == both[1] == set(labels)",
        "You take the first choice of groups; look at the share of the films, and at the classes of both parts.",
        "True",
    ),
)


def _film_prediction(logits: torch.Tensor, film: torch.Tensor) -> torch.Tensor:
    means = [logits[film == i].mean(0) for i in range(int(film.max()) + 1)]
    return torch.stack(means).argmax(1)


FILM_PREDICTION = slips(
    _film_prediction,
    (
        "logits[film == i].mean(0)",
        "Average the windows that belong to the film; you average those of all others.",
        "logits[film != i].mean(0)",
    ),
    (
        "logits[film == i].mean(0)",
        "You average over all films.",
        "logits.mean(0)",
    ),
    (
        "logits[film == i].mean(0)",
        "Average over the windows, which is the first axis; the classes stay.",
        "logits[film == i].mean(1); logits[film == i].mean(-1)",
    ),
    (
        "int(film.max()) + 1",
        "There is one film more than the largest number says, as they count from 0.",
        "int(film.max()) - 1; int(film.max()); int(film.max()) + 2; int(film.max()) + 1 - 1; int(film.max()) + 1 + 1; "
        "int(film.max()) + 0",
    ),
    (
        "int(film.max()) + 1",
        "How many films there are is said by the largest number in `film`.",
        "1; int(film.min()) + 1; int(logits.max()) + 1; len(film)",
    ),
    (
        "torch.stack(means).argmax(1)",
        "The largest class of each film is asked for: the classes are the second axis.",
        "torch.stack(means).argmax(0); torch.stack(means).argmax()",
    ),
    (
        "torch.stack(means).argmax(1)",
        "The number of the class is asked for, not its mean.",
        "torch.stack(means).amax(1); torch.stack(means)",
    ),
)


def _mean_predictor_error(train: torch.Tensor, test: torch.Tensor) -> float:
    return float((test - train.mean()).pow(2).mean())


MEAN_PREDICTOR_ERROR = slips(
    _mean_predictor_error,
    (
        "(test - train.mean()).pow(2).mean()",
        "You take the median of the squares; take their mean.",
        "(test - train.mean()).pow(2).median()",
    ),
    (
        "test - train.mean()",
        "What counts is the difference between a label and the answer.",
        "test + train.mean(); train.mean()",
    ),
    (
        "test - train.mean()",
        "The answer is the mean of the training labels, not their sum.",
        "test - train.sum()",
    ),
    (
        "(test - train.mean()).pow(2)",
        "Squared: to the power of 2.",
        "(test - train.mean()).pow(3); (test - train.mean()).pow(4)",
    ),
)


def _feature_bytes(lengths: list[float], window: float, frames: int, places: int, channels: int) -> int:
    windows = sum(max(1, round(seconds / window)) for seconds in lengths)
    return windows * frames * places * channels * 2


FEATURE_BYTES = slips(
    _feature_bytes,
    (
        "sum((max(1, round(seconds / window)) for seconds in lengths))",
        "Add up the windows of all films.",
        "statistics.mean([max(1, round(seconds / window)) for seconds in lengths]); "
        "max([max(1, round(seconds / window)) for seconds in lengths], default=0)",
    ),
    (
        "max(1, round(seconds / window))",
        "A film has at least one window, and may have many: the larger of 1 and its rounded number.",
        "min(1, round(seconds / window)); max(2, round(seconds / window))",
    ),
    (
        "round(seconds / window)",
        "How many windows fit is the film's seconds divided by the window's.",
        "round(seconds * window); round(window / seconds); round(seconds); round(window); round(seconds / frames); "
        "round(seconds + window); round(seconds - window)",
    ),
    (
        "windows * frames * places * channels * 2",
        "All five multiply: windows, frames, places, channels, and 2 bytes; one is missing, comes twice, or is added.",
        "windows * frames * places * channels + 2; 2; (windows * frames * places + channels) * 2; "
        "windows * frames * places * 2; channels * 2; (windows * frames + places) * channels * 2; "
        "windows * frames * channels * 2; places * channels * 2; (windows + frames) * places * channels * 2; "
        "windows * places * channels * 2; frames * places * channels * 2; windows * places * places * channels * 2; "
        "windows * frames * channels * channels * 2; windows * frames * places * windows * 2; "
        "frames * frames * places * channels * 2; windows * frames * frames * channels * 2; "
        "windows * windows * places * channels * 2; windows * frames * places * places * 2; "
        "windows * channels * places * channels * 2; windows * frames * windows * channels * 2; "
        "windows * frames * places * frames * 2; places * frames * places * channels * 2; "
        "channels * frames * places * channels * 2",
    ),
    (
        "windows * frames * places * channels * 2",
        "float16 takes 2 bytes for a number.",
        "windows * frames * places * channels * 3; windows * frames * places * channels // 2; "
        "windows * frames * places * channels / 2",
    ),
)


def _grouped_interval(values: list[float], groups: list[str]) -> tuple[float, float]:
    own: dict[str, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        own.setdefault(group, []).append(value)
    return mean_interval([statistics.mean(found) for found in own.values()])


GROUPED_INTERVAL = slips(
    _grouped_interval,
    (
        "zip(values, groups, strict=True)",
        "Values and sessions are exchanged: the sessions collect the values of their clips.",
        "zip(groups, values, strict=True); zip(groups, groups, strict=True)",
    ),
    (
        "own.setdefault(group, []).append(value)",
        "Collect the clips' values under the name of their session.",
        "own.setdefault(value, []).append(value); own.setdefault(str(value), []).append(value)",
    ),
    (
        "statistics.mean(found)",
        "One number a session: the mean of its clips.",
        "max(found); min(found); len(found); found[-1]",
    ),
)
