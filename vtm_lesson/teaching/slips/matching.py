"""The right answers of lesson 02 written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .making import slips


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


def _every_gamma_th(n: int, gamma: int, offset: int) -> Tensor:
    return torch.arange(offset % gamma, n, gamma)


EVERY_GAMMA_TH = slips(
    _every_gamma_th,
    (
        "torch.arange(offset % gamma, n, gamma)",
        "The positions run from offset % gamma, in steps of gamma, to below n; yours begin, end or step elsewhere.",
        "torch.arange(offset % gamma + 1, n, gamma); torch.arange(offset % gamma - 1, n, gamma); "
        "torch.arange(offset % gamma, n + 1, gamma); torch.arange(offset % gamma, n - 1, gamma); "
        "torch.arange(offset % gamma, n, gamma + 1); torch.arange(offset % gamma, gamma, gamma)",
    ),
    (
        "offset % gamma",
        "The first target stands at offset % gamma: the remainder of offset, from 0 to gamma - 1.",
        "(offset // gamma); gamma; (n % gamma); (gamma % offset); (offset % offset)",
    ),
    (
        "n, gamma)",
        "Two neighbouring targets are gamma apart.",
        "n, gamma - 1); n, offset); n)",
    ),
)


def _full_groups(best: Tensor, sources: Tensor, targets: Tensor) -> Tensor:
    group = torch.zeros(len(sources) + len(targets), dtype=torch.int64)
    group[targets] = torch.arange(len(targets))
    group[sources] = best
    return group


FULL_GROUPS = slips(
    _full_groups,
    (
        "group[targets] = torch.arange(len(targets))",
        "The targets need their own numbers, 0, 1, 2, …, at their own places.",
        "pass; group[targets] = torch.arange(len(targets) - 1); group[targets] = torch.arange(len(targets)) + 1; "
        "group[targets] = torch.arange(len(targets)).flip(0)",
    ),
    (
        "group[sources] = best",
        "The sources need the number of their best target, at their own places.",
        "pass; group[targets] = best; group[sources] = sources; group[sources] = torch.arange(len(sources))",
    ),
    (
        "len(sources) + len(targets)",
        "There is a number for each token: as many as there are sources and targets together.",
        "len(targets) + len(targets); len(sources) + len(best)",
    ),
    (
        "return group",
        "That has a number for each source only; asked is one for each token.",
        "return best",
    ),
)


def _surviving_positions(n: int, merged: Tensor) -> Tensor:
    stays = torch.ones(n, dtype=torch.bool)
    stays[merged] = False
    return stays.nonzero()[:, 0]


SURVIVING_POSITIONS = slips(
    _surviving_positions,
    (
        "torch.ones(n, dtype=torch.bool)",
        "All tokens stay but the merged ones: begin with True everywhere.",
        "torch.zeros(n, dtype=torch.bool)",
    ),
    ("stays[merged] = False", "What disappears are the merged tokens, and nothing else.", "pass; stays[merged] = True"),
    (
        "stays.nonzero()[:, 0]",
        "nonzero() has a row for each position: take all rows, first column.",
        "stays.nonzero()[0, :]; stays.nonzero()[1:, 0]; stays.nonzero()[:-1, 0]; stays.nonzero()",
    ),
)


def _partial_groups(n: int, merged: Tensor, into: Tensor) -> Tensor:
    group = torch.zeros(n, dtype=torch.int64)
    kept = _surviving_positions(n, merged)
    group[kept] = torch.arange(len(kept))
    group[merged] = group[into]
    return group


PARTIAL_GROUPS = slips(
    _partial_groups,
    (
        "_surviving_positions(n, merged)",
        "The tokens that disappear are the merged ones, not those they go into.",
        "_surviving_positions(n, into)",
    ),
    (
        "group[kept] = torch.arange(len(kept))",
        "The survivors need their new numbers, 0, 1, 2, …, at their old places.",
        "pass; group[kept] = torch.arange(len(kept)) + 1",
    ),
    (
        "group[merged] = group[into]",
        "A merged token takes the new number of the token that it goes into.",
        "pass; kept[merged] = group[into]; group[merged] = kept[into]; "
        "group[into] = group[into]; group[merged] = torch.arange(len(merged))",
    ),
    (
        "return group",
        "These are the survivors' positions; asked is a number for each token.",
        "return kept",
    ),
)


def _compose_groups(groups: list[Tensor]) -> Tensor:
    both = groups[0]
    for after in groups[1:]:
        both = after[both]
    return both


COMPOSE_GROUPS = slips(
    _compose_groups,
    (
        "groups[0]",
        "Begin with the first merge: it is the one that knows the original tokens.",
        "groups[1]; groups[-1]",
    ),
    ("groups[1:]", "Every merge after the first comes once, in its order.", "groups[2:]; groups[0:]"),
    (
        "both = after[both]",
        "Where token i is now, both[i], is looked up in the next list: after[both].",
        "both = both[after]",
    ),
    ("return both", "That is the last merge alone.", "return after"),
)


def _token_sizes(group: Tensor, size: Tensor) -> Tensor:
    total = torch.zeros(int(group.max()) + 1)
    return total.index_add(0, group, size)


TOKEN_SIZES = slips(
    _token_sizes,
    (
        "torch.zeros(int(group.max()) + 1)",
        "Begin with a zero for each group, 0 to group.max().",
        "torch.ones(int(group.max()) + 1); torch.zeros(int(size.max()) + 1); torch.zeros(int(group.max()) + 2)",
    ),
    (
        "total.index_add(0, group, size)",
        "What is added is the size of each token, at the place of its group.",
        "total.index_add(0, group, total); total; size",
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


def _group_mean(x: Tensor, group: Tensor) -> Tensor:
    total = torch.zeros(int(group.max()) + 1, x.shape[1], dtype=x.dtype).index_add(0, group, x)
    return total / torch.bincount(group)[:, None]


def _tome_step(x: Tensor, keys: Tensor, r: int) -> Tensor:
    sources, targets = _alternate(len(x))
    best, similarity = _nearest_target(keys, sources, targets)
    merged = similarity.argsort(descending=True, stable=True)[:r]
    group = _partial_groups(len(x), sources[merged], targets[best[merged]])
    return _group_mean(x, group)


TOME_STEP = slips(
    _tome_step,
    (
        "_nearest_target(keys, sources, targets)",
        "Sources look for their best target among the targets; the arguments are keys, sources, targets.",
        "_nearest_target(keys, targets, targets); _nearest_target(keys, targets, sources); "
        "_nearest_target(keys, sources, sources)",
    ),
    (
        "similarity.argsort(descending=True, stable=True)[:r]",
        "It merges one source too many, or one too few, as [:r] takes the first r.",
        "similarity.argsort(descending=True, stable=True)[:r + 1]; "
        "similarity.argsort(descending=True, stable=True)[:r - 1]",
    ),
    (
        "similarity.argsort(descending=True, stable=True)[:r]",
        "Sources are ranked by their similarity, from high to low.",
        "best.argsort(descending=True, stable=True)[:r]; torch.arange(r)",
    ),
    (
        "_partial_groups(len(x), sources[merged], targets[best[merged]])",
        "partial_groups takes positions: sources[merged] disappear, and go into targets[best[merged]].",
        "_partial_groups(len(x), targets[merged], targets[best[merged]]); "
        "_partial_groups(len(x), sources[merged], best[merged]); "
        "_partial_groups(len(x), sources[merged], best[best[merged]]); "
        "_partial_groups(len(x), merged, targets[best[merged]]); "
        "_partial_groups(len(x), sources[merged], targets[merged]); "
        "_partial_groups(len(x), targets[best[merged]], sources[merged])",
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


def _time_order(left: Tensor, targets: Tensor) -> Tensor:
    position = torch.cat([left, targets])
    return (position[:, None] > position).sum(dim=1)


TIME_ORDER = slips(
    _time_order,
    (
        "torch.cat([left, targets])",
        "The rows are those of left, then those of targets.",
        "torch.cat([targets, targets]); torch.cat([left, left])",
    ),
    (
        "position[:, None] > position",
        "A row's place is the number of positions that are lower than its own.",
        "(position[None, :] > position)",
    ),
    (
        "(position[:, None] > position)",
        "A row's place is the number of positions that are lower than its own.",
        "(left[:, None] > position); (targets[:, None] > position); (position[:, None] > left); "
        "(position[:, None] > targets)",
    ),
    ("sum(dim=1)", "Count for each row: along dim 1, and none of the rows is lost.", "sum()"),
)
