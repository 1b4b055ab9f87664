"""The right answers of lessons 00 and 01 written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .making import slips


def _token_position() -> tuple[int, int, int]:
    return 5, 7, 3997


TOKEN_POSITION = slips(
    _token_position,
    (
        "5, 7",
        "The place is not right. The row says how far down, and comes first; the column says how far to the right. "
        "Both count from 0.",
        "4, 7; 6, 7; 5, 6; 5, 8; 10, 7; 2.5, 7; -5, 7; 5, 14; 5, 3.5; 5, -7",
    ),
    (
        "3997",
        "The place is right, the position is not: before the hand come 20 frames of 14 x 14 "
        "patches, then whole rows of 14, then the squares to its left.",
        "3998; 3996; 7994; 1998.5; -3997; 20 * 14 + 7; 20 * 14 + 5; 20 * 14 * 14; 20 * 14 * 14 + 7;"
        " 20 * 14 * 14 + 5 * 14; 20 * 14 * 14 + 5 + 7; 20 * 14 * 14 + 5 * 7; 20 * 5 * 7; 20 * 14 * "
        "14 - 5 * 14 + 7",
    ),
    (
        "5, 7, 3997",
        "One square beside it: put a finger on the hand, and count the squares above it and to its left.",
        "4, 7, 3983; 6, 7, 4011; 5, 8, 3998",
    ),
)


def _group_mean(x: Tensor, group: Tensor) -> Tensor:
    count = torch.bincount(group)
    total = torch.zeros(len(count), x.shape[1], dtype=x.dtype).index_add(0, group, x)
    return total / count[:, None]


GROUP_MEAN = slips(
    _group_mean,
    (
        "torch.zeros",
        "You begin with ones; a sum begins with zeros.",
        "torch.ones",
    ),
    (
        "total / count[:, None]",
        "Divide each group's sum, a row, by the number of that group's tokens.",
        "total * count[:, None]; count[:, None] / total; count[:, None]; total / total[:, None]; total / count[None, "
        ":]; x / count[:, None]",
    ),
    (
        "len(count), x",
        "Give one row for each group, not for each token.",
        "len(x), x",
    ),
    (
        "(0, group, x)",
        "Each token is added to the row of its own group, group[n].",
        "(0, count, x)",
    ),
)


def _unmerge(y: Tensor, group: Tensor) -> Tensor:
    film = torch.zeros(len(group), y.shape[1], dtype=y.dtype)
    for g in range(len(y)):
        film[group == g] = y[g]
    return film


UNMERGE = slips(
    _unmerge,
    (
        "film[group == g] = y[g]",
        "Some rows are not those of the tokens' groups: token n gets the row group[n] of y, and nobody else's.",
        "pass; film[group != g] = y[g]; film[group == g] = y[0]; film[group == g] = y[-1]; film[g] = y[g]; "
        "film[film == g] = y[g]; film[group == g] = group[g]; film[y == g] = y[g]; film[group == g] = film[g]",
    ),
    (
        "range(len(y))",
        "A group is left out: their numbers go from 0 to M - 1.",
        "range(len(y) - 1); range(1, len(y))",
    ),
    (
        "dtype=y.dtype",
        "The averages were rounded to whole numbers, or could not be written: make room for numbers of y's kind.",
        "dtype=group.dtype",
    ),
    (
        "y.shape[1]",
        "A row of the result is as long as a row of y.",
        "y.shape[0]; group.shape[0]",
    ),
)


def _merging_error(x: Tensor, group: Tensor, which: Tensor) -> float:
    difference = _group_mean(x, group)[group] - x
    return difference[which].pow(2).mean().sqrt().item()


MERGING_ERROR = slips(
    _merging_error,
    (
        "_group_mean(x, group)[group] - x",
        "The difference is not right: it is every group's average, given to its tokens, less the tokens themselves.",
        "_group_mean(x, group)[group]; x; x * _group_mean(x, group)[group]; _group_mean(x, "
        "group)[which.long()] - x; _group_mean(x, group)[group] - group[:, None]; _group_mean(x, "
        "group)[group] - group",
    ),
    (
        "pow(2)",
        "Root mean square: square with pow(2), then mean, then root.",
        "pow(3); pow(1)",
    ),
    (
        "mean()",
        "Take the mean of the squares.",
        "median(); max(); min()",
    ),
)


def _tokens_in_film(frames: int, size: int, patch: int) -> int:
    side = size // patch
    return frames * side * side


TOKENS_IN_FILM = slips(
    _tokens_in_film,
    (
        "size // patch",
        "Along one edge lie size // patch patches: neither is it the other way round, nor do frames come in.",
        "size / patch; patch // size; patch; patch // patch; size // frames",
    ),
    (
        "frames * side * side",
        "Three numbers are multiplied: frames, rows of patches, and patches in a row.",
        "frames * side + side; side; (frames + side) * side; size * side * side; frames * frames * side",
    ),
)


def _stored_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q / math.sqrt(q.shape[-1]) @ k.transpose(-2, -1)
    weights = scores.softmax(dim=-1)
    return weights @ v


STORED_ATTENTION = slips(
    _stored_attention,
    (
        "dim=-1",
        "The softmax runs along the wrong axis: every query's weights, a row of the last two axes, must add up to 1.",
        "dim=0; dim=1",
    ),
    (
        "q / math.sqrt(q.shape[-1])",
        "The scores are divided by the root of D, and D is q.shape[-1].",
        "math.sqrt(q.shape[-1]) / q; q / math.sqrt(q.shape[0]); q / math.sqrt(q.shape[1])",
    ),
    (
        "q / math.sqrt(q.shape[-1]) @ k.transpose(-2, -1)",
        "A score is a query times a key; the values, or a key with itself, have no place in it.",
        "q / math.sqrt(q.shape[-1]) @ v.transpose(-2, -1); k / math.sqrt(q.shape[-1]) @ k.transpose(-2, -1); "
        "k.transpose(-2, -1); k / math.sqrt(k.shape[-1]) @ q.transpose(-2, -1)",
    ),
    ("scores.softmax", "The softmax is taken of the scores.", "q.softmax; k.softmax"),
    (
        "weights @ v",
        "The result is the weights times the values.",
        "weights; v; v @ weights; q @ v; weights @ scores; weights @ k",
    ),
)


def _attention_cost(n: int, dim: int) -> tuple[int, int]:
    quadratic = 2 * n * n * dim
    linear = 4 * n * dim * dim
    return quadratic + linear, 4 * n * n


ATTENTION_COST = slips(
    _attention_cost,
    (
        "2 * n * n * dim",
        "The two products of tokens with tokens are not right: each has N * N results of D multiply-adds.",
        "2 * n * n + dim; 2 * n * n; dim; (2 * n + n) * dim; 2 * n * dim; n * dim; (2 + n) * n * dim; 3 * n * n * "
        "dim; 2 * dim * n * dim; 2 * n * n * n",
    ),
    (
        "4 * n * dim * dim",
        "The four projections are not right: each has N * D results of D multiply-adds.",
        "4 * n * dim + dim; 4 * n * dim; dim; (4 * n + dim) * dim; dim * dim; (4 + n) * dim * dim; 4 * dim * dim; n "
        "* dim * dim; 5 * n * dim * dim; 4 * dim * dim * dim; 4 * n * quadratic * dim",
    ),
    (
        "return (quadratic + linear, 4 * n * n)",
        "The multiply-adds come first, then the bytes.",
        "return (4 * n * n, quadratic + linear)",
    ),
    (
        "quadratic + linear",
        "The multiply-adds are those of the two products and of the four projections, added up.",
        "quadratic - linear; linear; linear + linear; quadratic + n",
    ),
    (
        "4 * n * n",
        "The bytes are not right: there are N * N scores of 4 bytes each.",
        "4 * n + n; 4 * n; n; (4 + n) * n; 5 * n * n; 3 * n * n",
    ),
)


def _merging_gain(n: int, dim: int, gamma: int) -> float:
    before = _attention_cost(n, dim)[0]
    after = _attention_cost(math.ceil(n / gamma), dim)[0]
    return before / after


MERGING_GAIN = slips(
    _merging_gain,
    (
        "(n, dim)[0]",
        "The cost before is that of n tokens, in multiply-adds, the first of the two numbers.",
        "(n, dim)[1]; (dim, n)[0]; (n, n)[0]; (dim, dim)[0]; (n, gamma)[0]",
    ),
    (
        "(math.ceil(n / gamma), dim)[0]",
        "The cost after is that of ceil(n / gamma) tokens, in multiply-adds, the first of the two numbers.",
        "(math.ceil(n / gamma), dim)[1]; (dim, math.ceil(n / gamma))[0]; (math.ceil(gamma / n), "
        "dim)[0]; (math.ceil(n * gamma), dim)[0]; (n, dim)[0]; (gamma, dim)[0]; (math.ceil(n / "
        "gamma), gamma)[0]; (math.ceil(n / dim), dim)[0]; (math.ceil(n / n), dim)[0]; "
        "(math.ceil(dim / gamma), dim)[0]",
    ),
    (
        "before / after",
        "Divide the cost before by the cost after.",
        "before * after; before; after; before // after",
    ),
)


def _frames_that_fit(budget: int, per_frame: int) -> int:
    tokens = math.isqrt(budget // 4)
    return tokens // per_frame


FRAMES_THAT_FIT = slips(
    _frames_that_fit,
    (
        "budget // 4",
        "How many scores fit? The budget, divided by the 4 bytes of each.",
        "4 // budget; 4; per_frame // 4; budget // 5; budget // 3",
    ),
    (
        "tokens // per_frame",
        "How many whole frames are that many tokens? Divide the tokens by those of a frame, rounded down.",
        "tokens / per_frame; per_frame // tokens; per_frame; budget // per_frame; tokens // tokens",
    ),
)
