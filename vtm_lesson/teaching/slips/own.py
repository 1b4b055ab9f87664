"""The right answers of lesson 13 written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from .making import slips


def _frame_targets(frames: int, height: int, width: int, n_targets: int) -> torch.Tensor:
    places = height * width
    k = math.ceil(n_targets / places)
    first = torch.arange(k) * frames // k * places
    return (first[:, None] + torch.arange(places)).flatten()[:n_targets]


FRAME_TARGETS = slips(
    _frame_targets,
    (
        "places = height * width",
        "A frame has height * width tokens.",
        "places = height + width; places = height; places = width; places = width * width",
    ),
    (
        "math.ceil(n_targets / places)",
        "You round the number of frames down; for the rest of the budget one more frame is begun.",
        "math.floor(n_targets / places); round(n_targets / places)",
    ),
    (
        "math.ceil(n_targets / places)",
        "Where the budget is a whole number of frames no further frame is begun; round up, do not add 1.",
        "n_targets // places + 1",
    ),
    (
        "math.ceil(n_targets / places)",
        "You take frame 0 only; take k frames, and all tokens of each.",
        "math.ceil(places / places)",
    ),
    (
        "math.ceil(n_targets / places)",
        "k, the number of frames, is the budget divided by the tokens of a frame, rounded up.",
        "math.ceil(n_targets * places); math.ceil(n_targets); math.ceil(places); math.ceil(n_targets / frames)",
    ),
    (
        "torch.arange(k) * frames // k * places",
        "Frame number f begins at position f * height * width; all frames before it have that many tokens.",
        "torch.arange(k) * frames // k + places; torch.arange(k) * frames // k; torch.arange(k) * frames // k * k",
    ),
    (
        "torch.arange(k) * frames // k * places",
        "Frame i is floor(i * frames / k): i times the number of frames, divided by k.",
        "torch.arange(k) * frames * places; (torch.arange(k) + frames) // k * places; torch.arange(k) // k * places; "
        "torch.arange(k) * height // k * places",
    ),
    (
        "torch.arange(k) * frames // k * places",
        "Round down to a whole frame first, then multiply by its tokens; you begin in the middle of frames.",
        "torch.arange(k) * frames * places // k",
    ),
    (
        "torch.arange(k) * frames // k * places",
        "One frame is missing: i goes from 0 to k - 1.",
        "torch.arange(k - 1) * frames // k * places",
    ),
    (
        "torch.arange(k) * frames // k * places",
        "You leave out frame 0, with which the targets begin: i goes from 0 to k - 1.",
        "torch.arange(1, k + 1) * frames // k * places",
    ),
    (
        "(first[:, None] + torch.arange(places)).flatten()[:n_targets]",
        "One row of positions is asked for; cut off the last ones when all of them are in one row.",
        "(first[:, None] + torch.arange(places))[:n_targets]",
    ),
    (
        "(first[:, None] + torch.arange(places)).flatten()[:n_targets]",
        "The tokens of a frame follow its first one: add 0, 1, ... to it.",
        "(first[:, None] - torch.arange(places)).flatten()[:n_targets]",
    ),
    (
        "(first[:, None] + torch.arange(places)).flatten()[:n_targets]",
        "Those are the first tokens of the frames; asked are all of their tokens.",
        "first[:, None].flatten()[:n_targets]",
    ),
    (
        "(first[:, None] + torch.arange(places)).flatten()[:n_targets]",
        "Positions ascend: frame by frame, and within a frame in order. You go place by place.",
        "(first + torch.arange(places)[:, None]).flatten()[:n_targets]",
    ),
    (
        "(first[:, None] + torch.arange(places)).flatten()[:n_targets]",
        "The tokens of a frame are numbered from 0 to height * width - 1, from its first one on.",
        "(first[:, None] + torch.arange(places + 1)).flatten()[:n_targets]; "
        "(first[:, None] + torch.arange(places - 1)).flatten()[:n_targets]; "
        "(first[:, None] + torch.arange(k)).flatten()[:n_targets]; "
        "(first[:, None] + torch.arange(1, places + 1)).flatten()[:n_targets]",
    ),
    (
        "[:n_targets]",
        "Exactly n_targets tokens are asked for.",
        "[:n_targets + 1]; [:n_targets - 1]; [:places]",
    ),
)


def _run_groups(changes: torch.Tensor, threshold: float) -> torch.Tensor:
    begins = torch.cat([torch.ones(1, changes.shape[1], dtype=torch.bool), changes >= threshold])
    number = begins.flatten().cumsum(dim=0).view(begins.shape) - 1
    return torch.where(begins, number, 0).cummax(dim=0).values


RUN_GROUPS = slips(
    _run_groups,
    (
        "torch.ones(1, changes.shape[1], dtype=torch.bool)",
        "In frame 0 every token begins a group of its own.",
        "torch.zeros(1, changes.shape[1], dtype=torch.bool)",
    ),
    (
        "torch.ones(1, changes.shape[1], dtype=torch.bool)",
        "There is one row for each frame: frame 0, where all begin, and one for each row of changes.",
        "torch.ones(2, changes.shape[1], dtype=torch.bool); torch.ones(0, changes.shape[1], dtype=torch.bool)",
    ),
    (
        "changes >= threshold",
        "You have it the wrong way round: what changes little joins, what changes much begins a group.",
        "changes <= threshold",
    ),
    (
        "changes >= threshold",
        "You begin a group at every token; one that changes by less than the threshold joins.",
        "changes >= changes",
    ),
    (
        "changes >= threshold",
        "You begin no group after frame 0; a token that changes by the threshold or more begins one.",
        "changes > changes",
    ),
    (
        "begins.flatten().cumsum(dim=0).view(begins.shape) - 1",
        "Count the groups upwards from 0, which begins with the first token of the film.",
        "begins.flatten().cumsum(dim=0).view(begins.shape) + 1; 1 - begins.flatten().cumsum(dim=0).view(begins.shape); "
        "begins.flatten().cumsum(dim=0).view(begins.shape) - 2",
    ),
    (
        "begins.flatten().cumsum(dim=0).view(begins.shape) - 1",
        "Every beginning has a number of its own, the next one; yours have the same.",
        "1; 0 * begins",
    ),
    (
        "torch.where(begins, number, 0).cummax(dim=0).values",
        "Where no group begins stands what is below every group's number, 0, so that the group above wins.",
        "torch.where(begins, number, 1).cummax(dim=0).values",
    ),
    (
        "torch.where(begins, number, 0).cummax(dim=0).values",
        "A group runs over time, which is the first axis; you let it run along the places of a frame.",
        "torch.where(begins, number, 0).cummax(dim=1).values",
    ),
    (
        "torch.where(begins, number, 0).cummax(dim=0).values",
        "A token that begins no group is in the one that runs at its place; you put all of these into group 0.",
        "torch.where(begins, number, 0)",
    ),
)


def _energy_score(keys: torch.Tensor, margin: float) -> torch.Tensor:
    unit = F.normalize(keys, dim=1)
    cosine = unit @ unit.T
    value = torch.where(cosine >= margin, cosine, torch.exp(cosine - margin) - 1)
    return value.mean(dim=1)


ENERGY_SCORE = slips(
    _energy_score,
    (
        "unit @ unit.T",
        "Every token is compared with every token: unit @ unit.T, which is (n, n).",
        "unit.T @ unit; unit; unit.T",
    ),
    (
        "unit @ unit.T",
        "Both keys of a cosine have length 1; you divide by the length of one of them only.",
        "keys @ unit.T; unit @ keys.T",
    ),
    (
        "cosine >= margin",
        "The two branches are exchanged: at the margin and above the cosine counts as it is.",
        "cosine <= margin",
    ),
    (
        "torch.exp(cosine - margin) - 1",
        "Below the margin the energy is exp(c - m) - 1.",
        "torch.exp(cosine - margin) + 1; 1 - torch.exp(cosine - margin); 1; torch.exp(cosine + margin) - 1; "
        "torch.exp(margin - cosine) - 1; torch.exp(cosine - margin) - 2; cosine - margin",
    ),
    (
        "value.mean(dim=1)",
        "The energy is the mean of f(c) over all tokens.",
        "keys.mean(dim=1); value.median(dim=1).values; value.amax(dim=1); value.amin(dim=1)",
    ),
)


def _left_at(best: torch.Tensor, threshold: float, n_targets: int) -> torch.Tensor:
    return n_targets + (best <= threshold).sum(dim=1)


LEFT_AT = slips(
    _left_at,
    (
        "n_targets + (best <= threshold).sum(dim=1)",
        "Sources that are not merged stay beside the targets: add their number.",
        "n_targets - (best <= threshold).sum(dim=1)",
    ),
    (
        "n_targets + (best <= threshold).sum(dim=1)",
        "Those are the targets alone; the sources that are not merged are left as well.",
        "n_targets; torch.full((len(best),), n_targets)",
    ),
    (
        "best <= threshold",
        "You count the targets and the sources that are merged; those are the ones that go.",
        "best >= threshold",
    ),
    (
        "(best <= threshold).sum(dim=1)",
        "You add the share of the sources that stay; asked is how many.",
        "(best <= threshold).double().mean(dim=1)",
    ),
)


def _pareto_front(times: list[float], accuracies: list[float]) -> list[int]:
    rows = list(zip(times, accuracies, strict=True))
    front = []
    for i, (time, good) in enumerate(rows):
        if not any((t < time and a >= good) or (t <= time and a > good) for t, a in rows):
            front.append(i)
    return sorted(front, key=lambda i: times[i])


PARETO_FRONT = slips(
    _pareto_front,
    (
        "zip(times, accuracies, strict=True)",
        "Times and accuracies are exchanged: short times are good, and high accuracies.",
        "zip(accuracies, times, strict=True)",
    ),
    (
        "zip(times, accuracies, strict=True)",
        "All rows are in your result; those that another row beats, in time and accuracy together, go.",
        "zip(accuracies, accuracies, strict=True)",
    ),
    (
        "t < time and a >= good or (t <= time and a > good)",
        "Only faster, or only better, beats nobody: one of the two, and in the other at least as good.",
        "t < time or (t <= time and a > good); t < time and a >= good or a > good",
    ),
    (
        "t < time and a >= good or (t <= time and a > good)",
        "One of the comparisons is turned round: faster is a lower time, better is a higher accuracy.",
        "t > time and a >= good or (t <= time and a > good); t < time and a >= good or (t <= time and a < good)",
    ),
)
