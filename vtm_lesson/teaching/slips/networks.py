"""The right answers of lesson 03 written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import torch
from torch import Tensor

from .making import slips


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


def _merge_by_size(x: Tensor, size: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    weights = groups * size
    total = weights.sum(dim=1)
    return weights @ x / total[:, None], total


MERGE_BY_SIZE = slips(
    _merge_by_size,
    (
        "groups * size",
        "Weights are sizes inside a group and 0 outside: groups times size.",
        "groups + size; x * size",
    ),
    (
        "weights.sum(dim=1)",
        "A new size is the sum of a row of the weights: of all sizes that went into the token.",
        "weights.mean(dim=1); weights.sum(dim=0); x.sum(dim=1)",
    ),
    (
        "weights @ x / total[:, None]",
        "The average is the weighted sum, divided by the sum of the weights: weights @ x / total[:, None].",
        "weights @ x * total[:, None]; total[:, None] / (weights @ x); total[:, None]; weights / total[:, None]; "
        "x / total[:, None]; x @ weights / total[:, None]",
    ),
    (
        "weights @ x",
        "The tokens are averaged: multiply the weights (M, N) by x (N, C).",
        "total @ x; weights @ size; size @ x; weights @ weights.T @ x",
    ),
    (
        "total[:, None]",
        "Every row is divided by its own total, a column: total[:, None].",
        "total[None, :]; total; x[:, None]",
    ),
    (
        "x / total[:, None], total",
        "The second result is the new sizes, one number for each new token.",
        "x / total[:, None], x; x / total[:, None], size; x / total[:, None], weights; x / total[:, None], groups",
    ),
)


def attention_cost(n: int, dim: int) -> tuple[int, int]:
    """Lesson 01's, which lesson 03's answer calls."""
    return 2 * n * n * dim + 4 * n * dim * dim, 4 * n * n


def _vit_multiply_adds(n: int, prefix: int, amounts: list[int], channels: int) -> int:
    total, before = 0, n
    for after in _tokens_left(n, prefix, amounts):
        total += attention_cost(before, channels)[0] + 8 * after * channels**2
        before = after
    return total


VIT_MULTIPLY_ADDS = slips(
    _vit_multiply_adds,
    (
        "total, before = (0, n)",
        "Start with a total of 0, and with n tokens that come into the first block.",
        "total, before = (n, 0); total, before = (1, n); total, before = (-1, n); total, before = (0, prefix); "
        "total, before = (0, 0); total, before = (0, n - prefix)",
    ),
    (
        "_tokens_left(n, prefix, amounts)",
        "All n tokens come into the first block, protected ones included, and every block has its own count: "
        "tokens_left(n, prefix, amounts).",
        "_tokens_left(prefix, prefix, amounts); _tokens_left(n - prefix, prefix, amounts); "
        "_tokens_left(n, 0, amounts); _tokens_left(n, prefix, amounts)[:-1]",
    ),
    (
        "total += attention_cost(before, channels)[0] + 8 * after * channels ** 2",
        "Add both parts of every block to the total: attention's multiply-adds, and those of the MLP.",
        "pass; total += attention_cost(before, channels)[0] - 8 * after * channels ** 2; "
        "total -= attention_cost(before, channels)[0] + 8 * after * channels ** 2",
    ),
    (
        "attention_cost(before, channels)[0]",
        "Attention costs attention_cost(tokens, channels)[0]: tokens that come into the block first, then channels; "
        "[0], as [1] is the bytes of the scores.",
        "0; attention_cost(channels, before)[0]; attention_cost(before, after)[0]; "
        "attention_cost(before, channels)[1]; sum(attention_cost(before, channels))",
    ),
    (
        "8 * after * channels ** 2",
        "The MLP costs 8 * after * channels ** 2: two matrices of channels times 4 channels, for every token that is "
        "left.",
        "(8 * after + channels ** 2); 8 * after; channels ** 2; 8 * channels ** 2; (8 + after) * channels ** 2; "
        "after * channels ** 2; 9 * after * channels ** 2; 7 * after * channels ** 2; 8 * total * channels ** 2; "
        "8 * after * (channels * 2); 8 * after * 2 ** channels; 8 * after * channels; 8 * after * 2; "
        "8 * after * after ** 2; 8 * after * channels ** 3; 8 * after ** 2 * channels; 16 * after * channels ** 2; "
        "8 * n * channels ** 2",
    ),
    (
        "before = after",
        "What leaves one block comes into the next: before = after, in every turn.",
        "pass; before = n",
    ),
    (
        "return total",
        "Give back the total of all blocks.",
        "return before",
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
