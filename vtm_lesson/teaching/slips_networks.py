"""The right answers of lessons 03 and 04 written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..merging.matching import match
from ..merging.partition import uniform
from .slips import slips


def _tokens_left(n: int, prefix: int, amounts: list[int]) -> list[int]:
    counts = []
    for r in amounts:
        n -= min(r, (n - prefix) // 2)
        counts.append(n)
    return counts


TOKENS_LEFT = slips(
    _tokens_left,
    (
        "for r in amounts:",
        "Go through all blocks: each has its own r.",
        "for r in []:",
    ),
    (
        "n -= min(r, (n - prefix) // 2)",
        "Nothing is merged: take the merged tokens away from n in every block.",
        "pass",
    ),
    (
        "min(r, (n - prefix) // 2)",
        "A block merges r tokens, or half of the unprotected ones where that is less.",
        "max(r, (n - prefix) // 2); (n - prefix) // 2",
    ),
    (
        "(n - prefix) // 2",
        "A block can merge half of the unprotected tokens that are left, (n - prefix) // 2; your limit is another.",
        "(n - prefix) / 2; n - prefix; 2; (n + prefix) // 2; (prefix - n) // 2; prefix // 2; (n - prefix) // 3",
    ),
    (
        "counts.append(n)",
        "What belongs into the list is the number of tokens after each block.",
        "counts.append(prefix)",
    ),
)


def _above(similarity: Tensor, threshold: float) -> int:
    return int((similarity > threshold).sum(dim=1).min())


ABOVE = slips(
    _above,
    (
        "similarity > threshold",
        "Count the sources whose similarity is above the threshold.",
        "similarity < threshold; similarity > similarity",
    ),
    (
        "sum(dim=1)",
        "Sources are dim 1, images dim 0: you count images where sources are to be counted.",
        "sum(dim=0)",
    ),
)


def _checkerboard(frames: int, height: int, width: int) -> Tensor:
    t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
    return ((t + y + x) % 2 == 1).flatten().nonzero()[:, 0]


CHECKERBOARD = slips(
    _checkerboard,
    (
        "torch.arange(frames), torch.arange(height), torch.arange(width)",
        "The grid is frames x height x width; yours has other sides.",
        "torch.arange(frames + 1), torch.arange(height), torch.arange(width); torch.arange(frames - 1), "
        "torch.arange(height), torch.arange(width); torch.arange(height), torch.arange(height), torch.arange(width); "
        "torch.arange(frames), torch.arange(height + 1), torch.arange(width); torch.arange(frames), "
        "torch.arange(height - 1), torch.arange(width); torch.arange(frames), torch.arange(width), "
        "torch.arange(width); torch.arange(frames), torch.arange(height), torch.arange(width + 1); "
        "torch.arange(frames), torch.arange(height), torch.arange(width - 1); torch.arange(frames), "
        "torch.arange(height), torch.arange(frames)",
    ),
    (
        "indexing='ij'",
        "With indexing 'xy' the first two axes are exchanged; take 'ij'.",
        "indexing='xy'",
    ),
    (
        "((t + y + x) % 2 == 1).flatten().nonzero()[:, 0]",
        "Flatten the grid before you ask where it is true, and take the column of positions.",
        "((t + y + x) % 2 == 1).nonzero()[:, 0]; ((t + y + x) % 2 == 1).flatten().nonzero()[0, :]",
    ),
    (
        "(t + y + x) % 2 == 1",
        "Targets are where frame + row + column is odd: where the rest after dividing by 2 is 1.",
        "(t + y + x) // 2 == 1; t + y + x == 1; x % 2 == 1; (t + y + x) % 3 == 1; (t + y + x) % 1 == 1",
    ),
    (
        "t + y + x",
        "Frame, row and column are added up, each of them once; one of yours is missing, or there twice.",
        "t + x + x; t + y + frames",
    ),
)


def _tokens_after(frames: int, per_frame: int, chunks: tuple, gamma: int, r: float) -> tuple:
    n, left = frames * per_frame, []
    for length in chunks:
        number = frames // length
        inside = n // number
        sources = inside - math.ceil(inside / gamma)
        n = number * (inside - math.floor(r * sources))
        left.append(n)
    return tuple(left)


TOKENS_AFTER = slips(
    _tokens_after,
    (
        "frames * per_frame",
        "At first the film has frames * per_frame tokens.",
        "frames + per_frame; frames; per_frame; per_frame * per_frame",
    ),
    (
        "for length in chunks:",
        "Go through all blocks: each has its own length of chunk.",
        "for length in []:",
    ),
    (
        "frames // length",
        "A film of `frames` frames has frames // length chunks.",
        "frames; length",
    ),
    (
        "n // number",
        "All chunks share the n tokens that are left: each has n // (number of chunks).",
        "n; number; n // frames",
    ),
    (
        "inside - math.ceil(inside / gamma)",
        "The sources of a chunk are not right: those of its tokens that are no targets, and every gamma-th is one.",
        "inside + math.ceil(inside / gamma); math.ceil(inside / gamma) - inside; inside; math.ceil(inside / gamma); "
        "frames - math.ceil(inside / gamma); inside - math.ceil(inside * gamma); inside - math.ceil(gamma / inside); "
        "inside - math.ceil(inside); inside - math.ceil(gamma); inside - math.ceil(frames / gamma); inside - "
        "math.ceil(inside / r)",
    ),
    (
        "inside - math.ceil(inside / gamma)",
        "Targets are ceil(n / gamma): round up, not to the nearest, and do not leave it unrounded.",
        "inside - round(inside / gamma); inside - inside / gamma",
    ),
    (
        "number * (inside - math.floor(r * sources))",
        "The film keeps what one chunk keeps, times the number of chunks.",
        "number + (inside - math.floor(r * sources)); number; inside - math.floor(r * sources); inside * (inside - "
        "math.floor(r * sources)); number * math.floor(r * sources)",
    ),
    (
        "inside - math.floor(r * sources)",
        "A chunk keeps what was inside, less floor(r * |S|) merged sources; you keep another number.",
        "inside + math.floor(r * sources); math.floor(r * sources) - inside; sources - math.floor(r * sources); "
        "inside - math.floor(r + sources); inside - math.floor(r); inside - math.floor(length * sources); inside - "
        "math.floor(r * frames)",
    ),
    (
        "inside - math.floor(r * sources)",
        "R is rounded down, floor(r * |S|).",
        "inside - math.ceil(r * sources); inside - round(r * sources); inside - r * sources",
    ),
)


def _merge_in_chunks(x: Tensor, keys: Tensor, chunks: int, gamma: float) -> Tensor:
    n = x.shape[1] // chunks
    merge = match(keys.reshape(-1, n, keys.shape[2]), uniform(n, gamma))
    return merge(x.reshape(-1, n, x.shape[2])).reshape(x.shape[0], -1, x.shape[2])


MERGE_IN_CHUNKS = slips(
    _merge_in_chunks,
    (
        "x.shape[1] // chunks",
        "A chunk has N / chunks tokens, and N is x.shape[1].",
        "chunks; x.shape[0] // chunks; x.shape[1] // gamma",
    ),
    (
        "uniform(n, gamma)",
        "uniform takes the number of tokens of a chunk, then gamma.",
        "uniform(gamma, n); uniform(n, n)",
    ),
    (
        "reshape(x.shape[0], -1, x.shape[2])",
        "Each merged token has the C numbers of x: the result is (B, -1, x.shape[2]).",
        "reshape(x.shape[0], -1, keys.shape[2]); reshape(x.shape[0], -1, x.shape[1])",
    ),
)


def _pooled_weight(groups: tuple) -> Tensor:
    final = int(groups[-1].max()) + 1
    weight = torch.full((final,), 1 / final)
    for group in reversed(groups):
        weight = (weight / torch.bincount(group))[group]
    return weight


POOLED_WEIGHT = slips(
    _pooled_weight,
    (
        "int(groups[-1].max()) + 1",
        "The number of final tokens is not right: the largest number in the last group tensor, plus 1.",
        "int(groups[-1].max()); 1",
    ),
    (
        "1 / final",
        "Each of the M final tokens counts 1 / M at the start.",
        "1 * final; 2 / final; 0 / final",
    ),
    (
        "for group in reversed(groups):",
        "Go back through all blocks; your weights are those of the final tokens.",
        "for group in []:",
    ),
    (
        "weight / torch.bincount(group)",
        "A group's weight is divided by the number of its members; you combine the two in another way.",
        "weight * torch.bincount(group); torch.bincount(group) / weight",
    ),
    (
        "(weight / torch.bincount(group))",
        "You give each patch the size of its group: a large group's patches weigh less, not more.",
        "torch.bincount(group)",
    ),
    (
        "return weight",
        "Return the weights of the patches.",
        "return group",
    ),
)
