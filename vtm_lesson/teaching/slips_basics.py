"""The right answers of lessons 00 to 02 written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .slips import slips


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
        ":]",
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


def _alternate(n: int) -> tuple[Tensor, Tensor]:
    return torch.arange(0, n, 2), torch.arange(1, n, 2)


ALTERNATE = slips(
    _alternate,
    (
        "torch.arange(0, n, 2)",
        "Your sources are not the even positions 0, 2, 4, … below n.",
        "torch.arange(0, n + 1, 2); torch.arange(1, n, 2); torch.arange(-1, n, 2); torch.arange(0, n, 3); "
        "torch.arange(0, n, 1)",
    ),
    (
        "torch.arange(1, n, 2)",
        "Your targets are not the odd positions 1, 3, 5, … below n.",
        "torch.arange(1, n + 1, 2); torch.arange(1, n - 1, 2); torch.arange(2, n, 2); torch.arange(0, n, 2); "
        "torch.arange(1, n, 3); torch.arange(1, n, 1)",
    ),
)


def _nearest_target(keys: Tensor, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    unit = F.normalize(keys, dim=1)  # length 1; zeros stay zeros
    scores = unit[sources] @ unit[targets].T  # (S, T)
    best = scores.argmax(dim=1)  # the first one in a tie
    return best, scores.gather(1, best[:, None])[:, 0]


NEAREST_TARGET = slips(
    _nearest_target,
    (
        "unit[sources] @ unit[targets].T",
        "A cosine is the product of a source's unit key with a target's: a row for each source, a column for each "
        "target.",
        "unit[targets].T @ unit[sources]; unit[sources]; unit[targets].T; unit[targets] @ unit[targets].T",
    ),
    (
        "unit[sources] @ unit[targets].T",
        "Only one side was divided by its length; a cosine needs both.",
        "keys[sources] @ unit[targets].T; unit[sources] @ keys[targets].T",
    ),
    (
        "scores.argmax(dim=1)",
        "You look down the columns; a source's scores are a row.",
        "scores.argmax(dim=0)",
    ),
    (
        "(best, scores.gather(1, best[:, None])[:, 0])",
        "Return which target first, then how similar it is.",
        "(keys, scores.gather(1, best[:, None])[:, 0])",
    ),
    (
        "scores.gather(1, best[:, None])[:, 0]",
        "The similarity that belongs to source i stands in row i, column best[i].",
        "scores.gather(0, best[:, None])[:, 0]; scores.gather(1, best[None, :])[:, 0]",
    ),
)


def _tome_step(x: Tensor, keys: Tensor, r: int) -> Tensor:
    sources, targets = torch.arange(0, len(x), 2), torch.arange(1, len(x), 2)
    unit = F.normalize(keys, dim=1)
    similarity, best = (unit[sources] @ unit[targets].T).max(dim=1)
    merged = similarity.argsort(descending=True, stable=True)[:r]
    total, count = x.clone(), torch.ones(len(x))
    total.index_add_(0, targets[best[merged]], x[sources[merged]])
    count.index_add_(0, targets[best[merged]], torch.ones(r))
    stays = torch.ones(len(x), dtype=torch.bool)
    stays[sources[merged]] = False
    return (total / count[:, None])[stays]


TOME_STEP = slips(
    _tome_step,
    (
        "torch.arange(0, len(x), 2), torch.arange(1, len(x), 2)",
        "Your halves are swapped: the even positions are sources, the odd ones targets.",
        "torch.arange(1, len(x), 2), torch.arange(0, len(x), 2)",
    ),
    (
        "torch.arange(0, len(x), 2)",
        "Your sources are not the even positions 0, 2, 4, … of x.",
        "torch.arange(0, len(x) - 1, 2); torch.arange(1, len(x), 2); torch.arange(-1, len(x), 2); torch.arange(0, "
        "len(x), 3); torch.arange(0, len(x), 1)",
    ),
    (
        "torch.arange(1, len(x), 2)",
        "Your targets are not the odd positions 1, 3, 5, … of x.",
        "torch.arange(1, len(x) - 1, 2); torch.arange(2, len(x), 2); torch.arange(0, len(x), 2); torch.arange(1, "
        "len(x), 3); torch.arange(1, len(x), 1)",
    ),
    (
        "F.normalize(keys, dim=1)",
        "The keys are normalised along the wrong axis: each key by itself, dim 1.",
        "F.normalize(keys, dim=0)",
    ),
    (
        "(unit[sources] @ unit[targets].T).max(dim=1)",
        "You take the least similar target of every source; take the most similar one.",
        "(unit[sources] @ unit[targets].T).min(dim=1)",
    ),
    (
        "(unit[sources] @ unit[targets].T).max(dim=1)",
        "Every source, a row, looks for its best target among the columns; your scores, or the axis, are others.",
        "unit[sources].max(dim=1); unit[targets].T.max(dim=1); (unit[targets] @ unit[targets].T).max(dim=1); "
        "(unit[sources] @ unit[targets].T).max(dim=0)",
    ),
    (
        "similarity.argsort(descending=True, stable=True)[:r]",
        "Sources are ranked by their similarity, not by which target they go to.",
        "best.argsort(descending=True, stable=True)[:r]",
    ),
    (
        "torch.ones(len(x))",
        "Every token counts 1 at first: the target is one of those averaged.",
        "torch.zeros(len(x))",
    ),
    (
        "total.index_add_(0, targets[best[merged]], x[sources[merged]])",
        "The values of the merged sources are not added to their targets.",
        "pass; total.index_add_(0, targets[best[merged]], x[targets[merged]])",
    ),
    (
        "torch.ones(len(x), dtype=torch.bool)",
        "All tokens stay but the merged sources: begin with True everywhere.",
        "torch.zeros(len(x), dtype=torch.bool)",
    ),
    (
        "stays[sources[merged]] = False",
        "What disappears are the merged sources, and nothing else.",
        "pass; stays[targets[merged]] = False",
    ),
    (
        "(total / count[:, None])[stays]",
        "The result is total / count, a row for each token, at the places that stay.",
        "(total * count[:, None])[stays]; (count[:, None] / total)[stays]; count[:, None][stays]; (count / count[:, "
        "None])[stays]; (total / x[:, None])[stays]; (total / count[None, :])[stays]; (total / count[:, "
        "None])[sources]",
    ),
)


def _proportional_attention(q: Tensor, k: Tensor, v: Tensor, size: Tensor) -> Tensor:
    scores = q @ k.T / q.shape[1] ** 0.5 + size.log()
    return scores.softmax(dim=1) @ v


PROPORTIONAL_ATTENTION = slips(
    _proportional_attention,
    (
        "q @ k.T / q.shape[1] ** 0.5 + size.log()",
        "The logarithm of the size is added, not taken away.",
        "q @ k.T / q.shape[1] ** 0.5 - size.log()",
    ),
    (
        "q @ k.T / q.shape[1] ** 0.5",
        "The scores are divided by the square root of D, not multiplied, and not turned round.",
        "q @ k.T * q.shape[1] ** 0.5; q.shape[1] ** 0.5 / (q @ k.T)",
    ),
    (
        "q @ k.T",
        "A score is the product of a query with a key: a row for each query, a column for each key.",
        "k.T; k @ k.T",
    ),
    (
        "q.shape[1] ** 0.5",
        "The scores are divided by the square root of D, the length of a query: q.shape[1] ** 0.5.",
        "(q.shape[1] * 0.5); 0.5 ** q.shape[1]; q.shape[1]; 0.5; q.shape[0] ** 0.5; q.shape[1] ** 2.0",
    ),
    (
        "size.log()",
        "Take the logarithm of the size itself, not of 1 + size.",
        "size.log1p()",
    ),
    (
        "scores.softmax(dim=1) @ v",
        "The result is the weights, a softmax over each row of scores, times v.",
        "scores.softmax(dim=1); v; scores @ v; scores.softmax(dim=1) @ size",
    ),
    (
        "scores.softmax(dim=1) @ v",
        "The softmax runs down the columns: each query's weights, a row, must add up to 1.",
        "scores.softmax(dim=0) @ v",
    ),
)
