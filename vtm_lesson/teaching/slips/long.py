"""The right answers of lesson 11 written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import torch
from torch import Tensor

from .making import slips


def _level_chunks(frames: int, first: int, ratio: int) -> list[int]:
    counts = [-(-frames // first)]
    while counts[-1] > 1:
        counts.append(-(-counts[-1] // ratio))
    return counts


LEVEL_CHUNKS = slips(
    _level_chunks,
    (
        "[-(-frames // first)]",
        "Level 1 has frames divided by `first` chunks, rounded up.",
        "[-frames // first]; [-(-frames / first)]; [-(first // -frames)]; [frames]; [-first]; [-(frames // first)]; "
        "[-(-first // first)]; [-(-frames // ratio)]; [frames // first]; [frames / first]; [first]",
    ),
    (
        "while counts[-1] > 1",
        "Go on with the next level as long as the last one has more than one chunk.",
        "while counts[-1] < 1; while counts[-1] > 1 and len(counts) < 2; while counts[-1] > ratio",
    ),
    (
        "-(-counts[-1] // ratio)",
        "The next level has the last level's chunks divided by `ratio`, rounded up.",
        "-counts[-1] // ratio; -(-counts[-1] / ratio); -(ratio // -counts[-1]); -ratio; -(counts[-1] // ratio); "
        "-(-counts[0] // ratio ** len(counts)) - 1; counts[-1] - 1",
    ),
)


def _tokens_waiting(keep: int, levels: int, ratio: int, chunk: int) -> int:
    parts = (levels - 1) * (ratio - 1)
    return chunk + parts * keep


TOKENS_WAITING = slips(
    _tokens_waiting,
    (
        "(levels - 1) * (ratio - 1)",
        "On each of the `levels - 1` levels above the first, `ratio - 1` parts wait.",
        "levels - 1 + (ratio - 1); levels - 1; (levels + 1) * (ratio - 1); (1 - levels) * (ratio - 1); (ratio - 1) * "
        "(ratio - 1); (levels - 2) * (ratio - 1); (levels - 1) * (ratio + 1); (levels - 1) * (1 - ratio); (levels - 1) "
        "* (chunk - 1); (levels - 1) * (ratio - 2); levels * ratio",
    ),
    (
        "chunk + parts * keep",
        "Add the chunk that is about to be merged and what waits above it: parts, of `keep` tokens each.",
        "chunk; parts + parts * keep; chunk + (parts + keep); chunk + parts; chunk + keep; chunk "
        "+ keep * keep; chunk + parts * levels; chunk * parts * keep; (chunk + parts) * keep",
    ),
)


def _film_map(chunks: list[Tensor], above: Tensor) -> Tensor:
    groups, start = [], 0
    for group in chunks:
        groups.append(above[group + start])
        start += int(group.max()) + 1
    return torch.cat(groups)


FILM_MAP = slips(
    _film_map,
    (
        "([], 0)",
        "The first chunk's outputs are the first of the level above: its numbers are not shifted.",
        "([], -1)",
    ),
    (
        "above[group + start]",
        "The number of an output in the film is its number in its chunk plus what all chunks before have left; `above` "
        "says where that goes.",
        "group[(group + start) % len(group)]; above[group - start]; above[group] + start",
    ),
    (
        "int(group.max()) + 1",
        "A chunk leaves as many outputs as its largest number plus one.",
        "int(group.max()) - 1; 1; int(group.min()) + 1",
    ),
)


def _keep_best(scores: Tensor, positions: Tensor, new: Tensor, first: int, keep: int) -> tuple[Tensor, Tensor]:
    scores = torch.cat([scores, new])
    positions = torch.cat([positions, torch.arange(first, first + len(new))])
    best = scores.argsort(descending=True, stable=True)[:keep].sort().values
    return scores[best], positions[best]


KEEP_BEST = slips(
    _keep_best,
    (
        "scores.argsort(descending=True, stable=True)[:keep]",
        "Take the `keep` highest scores, no more and no fewer, and of equal ones the earlier.",
        "positions.argsort(descending=True, stable=True)[:keep]; scores.argsort(descending=True, stable=True)[:keep + "
        "1]; scores.argsort(descending=True, stable=True)[:keep - 1]",
    ),
    (
        "torch.arange(first, first + len(new))",
        "The new tokens stand at first, first + 1, ..., one position for each.",
        "torch.arange(first + 1, first + len(new) + 1); torch.arange(first - 1, first + len(new) - 1); "
        "torch.arange(first - 1, first + len(new)); torch.arange(keep, keep + len(new))",
    ),
    (
        "return (scores[best], positions[best])",
        "Return the scores of those that are kept, then their positions.",
        "return (positions[best], positions[best]); return (scores[best], best); return (best, positions[best])",
    ),
    (
        "torch.cat([scores, new])",
        "Compare old scores and new ones, all of them.",
        "torch.cat([positions, new]); torch.cat([scores * 0, new]); torch.cat([scores, new * 0])",
    ),
)


def _found_again(positions: Tensor, actor: Tensor) -> tuple[float, float]:
    kept = torch.zeros(actor.numel(), dtype=torch.bool)
    kept[positions] = True
    met = kept.view(actor.shape) & actor
    seconds = actor.flatten(1).any(1)
    return float(met.sum() / actor.sum()), float(met.flatten(1).any(1).sum() / seconds.sum())


FOUND_AGAIN = slips(
    _found_again,
    (
        "float(met.sum() / actor.sum())",
        "Recall: of the actor's patches, the share that is kept.",
        "float(met.sum() * actor.sum()); float(actor.sum() / met.sum()); float(met.sum()); float(actor.sum()); "
        "float(met.sum() / seconds.sum()); float(met.float().mean()); float(kept.sum() "
        "/ actor.sum()); float(met.sum() / actor.numel()); float(actor.sum() / actor.sum()); float(seconds.sum() / "
        "actor.sum()); float(met.sum() / met.sum())",
    ),
    (
        "float(met.flatten(1).any(1).sum() / seconds.sum())",
        "The second number: of the seconds that show the actor, the share with a kept patch of it.",
        "float(met.flatten(1).any(1).sum() * seconds.sum()); float(seconds.sum() / met.flatten(1).any(1).sum()); "
        "float(met.flatten(1).any(1).sum()); float(seconds.sum()); float(met.flatten(1).all(1).sum() / seconds.sum()); "
        "float(met.sum() / seconds.sum()); "
        "float(met.flatten(1).any(1).sum() / actor.sum()); float(seconds.sum() / seconds.sum()); "
        "float(met.flatten(1).any(1).sum() // seconds.sum()); float(kept.view(actor.shape).flatten(1).any(1).sum() / "
        "seconds.sum()); float(met.flatten(0).any(0).sum() / seconds.sum())",
    ),
    (
        "actor.flatten(1).any(1)",
        "A second shows the actor where one patch of it or more is the actor's.",
        "actor.flatten(1).all(1); actor.any(1); actor.flatten(2).any(1); actor.flatten(1).any(0)",
    ),
    (
        "kept.view(actor.shape) & actor",
        "What counts is both: kept, and the actor's.",
        "kept.view(actor.shape) | actor; kept.view(actor.shape) ^ actor; kept.view(actor.shape); actor",
    ),
    (
        "kept[positions] = True",
        "Mark the kept positions, and no others.",
        "kept[positions] = False",
    ),
)
