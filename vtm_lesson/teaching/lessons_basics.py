"""Exercise checks of lessons 00 and 01: merging, and the price of attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .exercise import Case, Exercise, generator, random
from .slips import basics as slips

# ---------------------------------------------------------------------------------------------------------------
# Lesson 00: start here
# ---------------------------------------------------------------------------------------------------------------


_HAND = (5, 7)  # row and column, in frame 20


def _position(row: int, column: int, frame: int = 20, side: int = 14) -> tuple[int, int, int]:
    return row, column, frame * side * side + row * side + column


token_position = Exercise(
    "token_position",
    answer=lambda: _position(*_HAND),
    cases=lambda: [("the hand in frame 20", ())],
    hints=(
        "Put a finger on the hand, and count the squares above it: as many rows come before its own, so that is the "
        "row's number. The squares to its left give the column.",
        "The list has the whole of frames 0 to 19 first, then the rows of frame 20 above the hand, then the squares to "
        "the left of it. A frame has 14 x 14 patches, a row 14.",
        "Return the row, the column, and `20 * 14 * 14 + row * 14 + column`.",
    ),
    mistakes=(
        ("You count from 1; rows, columns, frames and positions count from 0.", lambda: (6, 8, _position(6, 8, 21)[2])),
        ("You count rows and columns from 1; both count from 0.", lambda: _position(6, 8)),
        ("You count rows and columns from 1; both count from 0.", lambda: (6, 8, _position(*_HAND)[2])),
        ("Rows and columns are swapped: the row says how far down, and it comes first.", lambda: _position(7, 5)),
        (
            "Rows and columns are swapped: the row says how far down, and it comes first.",
            lambda: (7, 5, _position(*_HAND)[2]),
        ),
        ("That is the figure's other hand: asked is the one at the left of the picture.", lambda: _position(5, 10)),
        ("You count rows from the bottom; row 0 is at the top.", lambda: _position(8, 7)),
        ("You count columns from the right; column 0 is at the left.", lambda: _position(5, 6)),
        ("That is the position in its own frame; the frames before come first in the list.", lambda: (5, 7, 77)),
        ("20 frames come before frame 20, not 19: the first one is frame 0.", lambda: (5, 7, _position(5, 7, 19)[2])),
        ("20 frames come before frame 20, not 21: the first one is frame 0.", lambda: (5, 7, _position(5, 7, 21)[2])),
        ("The list runs row by row, not column by column: a row down is 14 further.", lambda: (5, 7, 20 * 196 + 103)),
        ("A frame has 14 rows of 14 patches; you count 14 in all.", lambda: (5, 7, 20 * 14 + 77)),
        *slips.TOKEN_POSITION,
    ),
    minutes=3,
    difficulty=1,
    importance=2,
    kind="read",
)


def _group_mean(x: Tensor, group: Tensor) -> Tensor:
    return _group_sum(x, group) / torch.bincount(group)[:, None]


def _group_sum(x: Tensor, group: Tensor) -> Tensor:
    return torch.zeros(int(group.max()) + 1, x.shape[1], dtype=x.dtype).index_add(0, group, x)


def _mean_of_runs(x: Tensor, group: Tensor) -> Tensor:
    runs = group.unique_consecutive(return_inverse=True)[1]
    return _group_mean(x, runs)


def _group_mean_cases() -> list[Case]:
    cases: list[Case] = [
        ("the toy of the text", (torch.tensor([[2.0], [4], [9], [6], [1]]), torch.tensor([0, 0, 1, 0, 1]))),
        ("one group", (random(1, 5, 3), torch.zeros(5, dtype=torch.int64))),
        ("every token alone, not in order", (random(2, 4, 2), torch.tensor([2, 0, 3, 1]))),
        ("one token", (random(3, 1, 4), torch.tensor([0]))),
        ("a large group and a small one", (random(4, 9, 2), torch.tensor([1, 1, 1, 1, 0, 1, 1, 1, 1]))),
    ]
    for seed in range(5, 10):
        numbers = torch.cat([torch.arange(6), torch.randint(6, (20,), generator=generator(seed))])
        group = numbers[torch.randperm(26, generator=generator(seed))]
        cases.append((f"26 random tokens in 6 groups, number {seed - 4}", (random(seed, 26, 3), group)))
    return cases


group_mean = Exercise(
    "group_mean",
    answer=_group_mean,
    cases=_group_mean_cases,
    hints=(
        "A loop over the groups is fine: there are `group.max() + 1` of them.",
        "`x[group == g]` holds the tokens of group `g`, one a row. Average over the rows, not over everything.",
        "Collect `x[group == g].mean(dim=0)` for every `g`, and `torch.stack` the list. Without a loop: add up with "
        "`index_add`, count with `torch.bincount`, divide.",
    ),
    mistakes=(
        ("You give the sum of each group; divide it by the number of its tokens.", _group_sum),
        (
            "You divide every group's sum by the same number; each group has its own number of tokens.",
            lambda x, g: _group_sum(x, g) * (int(g.max()) + 1) / len(x),
        ),
        (
            "You divide by one too many. In the formula's 1 + |M|, the 1 is the target and M holds the sources; the "
            "count of a group's tokens has both already.",
            lambda x, g: _group_sum(x, g) / (1 + torch.bincount(g)[:, None]),
        ),
        ("You take neighbours for groups: the tokens of a group lie anywhere in the list.", _mean_of_runs),
        (
            "You average over the numbers of a token, too: keep its C columns apart.",
            lambda x, g: _group_mean(x, g).mean(1),
        ),
        (
            "You give every token its group's average, which is the unmerged film; give one row for each group.",
            lambda x, g: _group_mean(x, g)[g],
        ),
        *slips.GROUP_MEAN,
    ),
    minutes=5,
    difficulty=2,
    importance=5,
)


def _in_order_of_groups(y: Tensor, group: Tensor) -> Tensor:
    return y.repeat_interleave(torch.bincount(group, minlength=len(y)), dim=0)


def _shared_out(y: Tensor, group: Tensor) -> Tensor:
    return y[group] / torch.bincount(group)[group][:, None]


def _unmerge_cases() -> list[Case]:
    cases: list[Case] = [
        ("the toy of the text", (torch.tensor([[4.0], [5]]), torch.tensor([0, 0, 1, 0, 1]))),
        ("two groups, the second one first", (torch.tensor([[1.0, 2], [3, 4]]), torch.tensor([1, 1, 0]))),
        ("one token", (random(41, 1, 4), torch.tensor([0]))),
        ("one group", (random(42, 1, 2), torch.zeros(4, dtype=torch.int64))),
        ("every token alone, not in order", (random(43, 4, 1), torch.tensor([2, 0, 3, 1]))),
        ("a large group and a small one", (random(44, 2, 2), torch.tensor([1, 1, 1, 0, 1, 1, 1]))),
    ]
    for seed in range(45, 49):
        numbers = torch.cat([torch.arange(6), torch.randint(6, (20,), generator=generator(seed))])
        group = numbers[torch.randperm(26, generator=generator(seed))]
        cases.append((f"26 random tokens in 6 groups, number {seed - 44}", (random(seed, 6, 3), group)))
    return cases


unmerge = Exercise(
    "unmerge",
    answer=lambda y, group: y[group],
    cases=_unmerge_cases,
    hints=(
        "How many rows must come out, and which row of `y` belongs to token 2 of the toy?",
        "Make room for one row a token. Then, for every group `g`, put `y[g]` where `group == g` is true.",
        "The numbers in `group` say for every token which row it wants, so they can stand in the brackets themselves: "
        "`y[group]`.",
    ),
    mistakes=(
        (
            "The right rows, each as often as it should be, but in the order of the groups, as in the first try; "
            "token n wants the row of its own group, group[n].",
            _in_order_of_groups,
        ),
        ("You give back one row for each group; give one for each token.", lambda y, g: y),
        ("You divide the average by the size of its group; every token gets all of the average.", _shared_out),
        (
            "You multiply the average by the size of its group, which is the sum; give the average itself.",
            lambda y, g: y[g] * torch.bincount(g)[g][:, None],
        ),
        (
            "You repeat the whole list of averages; token n wants the row group[n].",
            lambda y, g: y[torch.arange(len(g)) % len(y)],
        ),
        ("Your tokens come in the wrong order: the last one first.", lambda y, g: y[g.flip(0)]),
        ("You begin to count the groups at the end: group 0 is the first row.", lambda y, g: y[len(y) - 1 - g]),
        ("The averages were rounded to whole numbers: make room for numbers of y's kind.", lambda y, g: y[g].long()),
        *slips.UNMERGE,
    ),
    minutes=4,
    difficulty=2,
    importance=4,
    kind="mend",
)


def _merging_error(x: Tensor, group: Tensor, which: Tensor) -> float:
    return float(_lost(x, group)[which].pow(2).mean().sqrt())


def _lost(x: Tensor, group: Tensor) -> Tensor:
    return _group_mean(x, group)[group] - x


def _merging_error_cases() -> list[Case]:
    toy = torch.tensor([[2.0], [4], [9], [6], [1]]), torch.tensor([0, 0, 1, 0, 1])
    cases: list[Case] = [
        ("the toy of the text, all tokens", (*toy, torch.ones(5, dtype=torch.bool))),
        ("the toy of the text, one token", (*toy, torch.tensor([False, False, True, False, False]))),
        ("the toy of the text, a token that is its group's average", (*toy, torch.tensor([False, True] + 3 * [False]))),
        ("every token alone", (random(51, 3, 2), torch.tensor([2, 0, 1]), torch.ones(3, dtype=torch.bool))),
        ("one token", (random(52, 1, 3), torch.tensor([0]), torch.tensor([True]))),
    ]
    for seed in range(53, 57):
        numbers = torch.cat([torch.arange(5), torch.randint(5, (13,), generator=generator(seed))])
        group = numbers[torch.randperm(18, generator=generator(seed))]
        which = torch.rand(18, generator=generator(seed)) < 0.4
        which[seed % 18] = True
        cases.append((f"18 random tokens in 5 groups, number {seed - 52}", (random(seed, 18, 3), group, which)))
    return cases


merging_error = Exercise(
    "merging_error",
    answer=_merging_error,
    cases=_merging_error_cases,
    hints=(
        "Merge, and go back: `unmerge(group_mean(x, group), group)` has a row for every token, as `x` has. How far are "
        "they apart?",
        "`difference[which]` keeps the chosen rows. Root mean square, read from its end: square, then mean, then root.",
        "With `difference` as above, the result is `difference[which].pow(2).mean().sqrt().item()`.",
    ),
    mistakes=(
        ("The root is missing: that is the mean square.", lambda x, g, w: float(_lost(x, g)[w].pow(2).mean())),
        (
            "That is the mean distance; square before you average, and take the root after.",
            lambda x, g, w: float(_lost(x, g)[w].abs().mean()),
        ),
        (
            "That is the error of all tokens; choose those of which.",
            lambda x, g, w: float(_lost(x, g).pow(2).mean().sqrt()),
        ),
        (
            "That is the error of the tokens that were not chosen.",
            lambda x, g, w: float(_lost(x, g)[~w].pow(2).mean().sqrt()),
        ),
        ("You add up the squares; take their mean.", lambda x, g, w: float(_lost(x, g)[w].pow(2).sum().sqrt())),
        (
            "Errors above and below cancel out: square them before you average.",
            lambda x, g, w: float(_lost(x, g)[w].mean()),
        ),
        (
            "Errors above and below cancel out: square them before you average.",
            lambda x, g, w: float(_lost(x, g)[w].mean().abs()),
        ),
        (
            "You take a root for every token, and average the roots; first average all squares, then take one root.",
            lambda x, g, w: float(_lost(x, g)[w].pow(2).mean(1).sqrt().mean()),
        ),
        (
            "You set the others to zero and average over all tokens; average over the chosen ones only.",
            lambda x, g, w: float((_lost(x, g) * w[:, None]).pow(2).mean().sqrt()),
        ),
        (
            "You average the chosen tokens only; the groups are made of all tokens, and the choice comes after.",
            lambda x, g, w: _merging_error(
                x[w], g[w].unique(return_inverse=True)[1], torch.ones(int(w.sum()), dtype=torch.bool)
            ),
        ),
        (
            "You add the two; take their difference.",
            lambda x, g, w: float((_group_mean(x, g)[g] + x)[w].pow(2).mean().sqrt()),
        ),
        *slips.MERGING_ERROR,
    ),
    minutes=5,
    difficulty=2,
    importance=3,
    kind="compute",
)


# ---------------------------------------------------------------------------------------------------------------
# Lesson 01: the price of attention. Whole numbers, so nothing is tolerated.
# ---------------------------------------------------------------------------------------------------------------

tokens_in_film = Exercise(
    "tokens_in_film",
    answer=lambda frames, size, patch: frames * (size // patch) ** 2,
    cases=lambda: [
        ("60 frames of 224 pixels, patches of 14", (60, 224, 14)),
        ("one frame that is one patch", (1, 16, 16)),
        ("one frame", (1, 224, 16)),
        ("patches of one pixel", (2, 8, 1)),
        ("64 frames, patches of 32", (64, 224, 32)),
        ("24 frames of 96 pixels, patches of 8", (24, 96, 8)),
        ("a narrow strip is left over at the edge", (60, 230, 14)),
        ("nearly a patch is left over at the edge", (3, 239, 16)),
    ],
    hints=(
        "How many patches lie side by side along one edge of a frame?",
        "A frame has as many rows of patches as it has columns.",
        "224 pixels and patches of 14: 16 along an edge, 16 x 16 in a frame. `side = size // patch` rounds down to "
        "whole patches; a frame has `side * side` of them.",
    ),
    mistakes=(
        ("That is one row of patches of every frame; a frame has as many rows.", lambda f, s, p: f * (s // p)),
        ("That is one frame; the film has more.", lambda f, s, p: (s // p) ** 2),
        ("Only one side of the frame was divided by the patch; both are cut.", lambda f, s, p: f * s * s // p),
        ("That counts pixels; a token is a whole patch of them.", lambda f, s, p: f * s * s),
        (
            "What is left over at the edge is no patch: round size / patch down before you square it.",
            lambda f, s, p: f * math.ceil(s / p) ** 2,
        ),
        (
            "You round to the nearest; nearly a patch is no patch. Round size / patch down before you square it.",
            lambda f, s, p: f * round(s / p) ** 2,
        ),
        (
            "You divide areas; strips left over at the edges do not add up to patches. Count along one edge first.",
            lambda f, s, p: f * (s * s // (p * p)),
        ),
        (
            "You divide areas; strips left over at the edges do not add up to patches. Count along one edge first.",
            lambda f, s, p: f * s * s // (p * p),
        ),
        ("Tokens are whole: round size / patch down before you square it.", lambda f, s, p: f * (s / p) ** 2),
        *slips.TOKENS_IN_FILM,
    ),
    tolerance=0,
    minutes=3,
    difficulty=1,
    importance=4,
)


def _attention(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None, axis: int = -1) -> Tensor:
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return (q @ k.transpose(-2, -1) * scale).softmax(axis) @ v


def _attention_cases() -> list[Case]:
    x = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
    return [
        (
            "one query, two keys",
            (torch.tensor([[1.0, 2]]), torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[0.0], [1]])),
        ),
        ("two queries, two keys", (torch.tensor([[3.0], [0]]), torch.tensor([[1.0], [0]]), torch.tensor([[0.0], [1]]))),
        ("the three tokens of the text", (x, x, x)),
        ("one token", (random(61, 1, 4), random(62, 1, 4), random(63, 1, 4))),
        ("values with more numbers than keys", (random(64, 3, 2), random(65, 3, 2), random(66, 3, 5))),
        ("fewer queries than keys", (random(67, 2, 8), random(68, 6, 8), random(69, 6, 3))),
        ("long keys", (10 * random(70, 4, 64), 10 * random(71, 4, 64), random(72, 4, 2))),
        ("two films of five tokens", (random(73, 2, 5, 3), random(74, 2, 5, 3), random(75, 2, 5, 3))),
        ("one film, two heads", (random(76, 1, 2, 4, 6), random(77, 1, 2, 4, 6), random(78, 1, 2, 4, 6))),
    ]


stored_attention = Exercise(
    "stored_attention",
    answer=_attention,
    cases=_attention_cases,
    hints=(
        "Compare each line with the three steps by hand: what is done to the scores there that is not done here?",
        "The weights of one query, a row, must add up to 1; here it is the columns that do. And the scores are to be "
        "divided by the root of D; D is how many numbers a query has, `q.shape[-1]`.",
        "`scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)`, and `dim=-1` in the softmax.",
    ),
    mistakes=(
        (
            "The scores are not divided yet: the root of D is missing. (The softmax runs along the right axis now.)",
            lambda q, k, v: _attention(q, k, v, 1.0),
        ),
        (
            "The softmax still runs along the wrong axis: over the queries. Every query's weights must add up to 1. "
            "(The root of D is right.)",
            lambda q, k, v: _attention(q, k, v, axis=-2),
        ),
        (
            "These are the results of the first try; both places still need mending.",
            lambda q, k, v: _attention(q, k, v, 1.0, -2),
        ),
        ("You divide by D; divide by its root.", lambda q, k, v: _attention(q, k, v, 1 / q.shape[-1])),
        ("You multiply by the root of D; divide by it.", lambda q, k, v: _attention(q, k, v, q.shape[-1] ** 0.5)),
        (
            "You divide by the root of N, the number of queries; D is how many numbers each has.",
            lambda q, k, v: _attention(q, k, v, q.shape[-2] ** -0.5),
        ),
        (
            "You divide by the root of the number of keys; D is how many numbers each has.",
            lambda q, k, v: _attention(q, k, v, k.shape[-2] ** -0.5),
        ),
        (
            "You divide by the root of the values' length; D is that of queries and keys.",
            lambda q, k, v: _attention(q, k, v, v.shape[-1] ** -0.5),
        ),
        (
            "You divide after the softmax; divide the scores before it.",
            lambda q, k, v: _attention(q, k, v, 1.0) * q.shape[-1] ** -0.5,
        ),
        (
            "There is no softmax: weights are not scores.",
            lambda q, k, v: (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5) @ v,
        ),
        *slips.STORED_ATTENTION,
    ),
    minutes=5,
    difficulty=2,
    importance=4,
    kind="mend",
)

attention_cost = Exercise(
    "attention_cost",
    answer=lambda n, dim: (2 * n * n * dim + 4 * n * dim * dim, 4 * n * n),
    cases=lambda: [
        ("three tokens, D = 2", (3, 2)),
        ("one token", (1, 8)),
        ("one number a token", (5, 1)),
        ("one frame of the paper", (256, 1024)),
        ("sixty frames of the paper", (15360, 1024)),
        ("N = 2 D", (128, 64)),
    ],
    hints=(
        "A product of an (a, b) matrix with a (b, c) matrix has a times c results, and each takes b multiply-adds.",
        "The scores are (N, D) times (D, N), the weighted sum (N, N) times (N, D), a projection (N, D) times (D, D).",
        "Two products cost `n * n * dim` each, four cost `n * dim * dim` each. There are `n * n` scores of 4 bytes; D "
        "does not matter for their bytes.",
    ),
    mistakes=(
        ("The four projections are missing: each costs N * D * D.", lambda n, d: (2 * n * n * d, 4 * n * n)),
        (
            "There are two products of N * N * D: the scores, and the weighted sum of the values.",
            lambda n, d: (n * n * d + 4 * n * d * d, 4 * n * n),
        ),
        (
            "There are four projections: queries, keys, values, and the output.",
            lambda n, d: (2 * n * n * d + 3 * n * d * d, 4 * n * n),
        ),
        (
            "N * N * D * D is what the paper prints; each of the N * N scores is a sum of D products, not D * D.",
            lambda n, d: (n * n * d * d, 4 * n * n),
        ),
        (
            "The second number counts the scores; in bytes each takes 4.",
            lambda n, d: (2 * n * n * d + 4 * n * d * d, n * n),
        ),
        (
            "Your bytes are those of the tokens; the scores are one number for every pair of tokens.",
            lambda n, d: (2 * n * n * d + 4 * n * d * d, 4 * n * d),
        ),
        (
            "You count products and sums apart; one product, added to a sum, is one multiply-add.",
            lambda n, d: (2 * (2 * n * n * d + 4 * n * d * d), 4 * n * n),
        ),
        *slips.ATTENTION_COST,
    ),
    tolerance=0,
    minutes=6,
    difficulty=2,
    importance=5,
)


def _cost(n: float, dim: int) -> float:
    return 2 * n * n * dim + 4 * n * dim * dim


merging_gain = Exercise(
    "merging_gain",
    answer=lambda n, dim, gamma: _cost(n, dim) / _cost(math.ceil(n / gamma), dim),
    cases=lambda: [
        ("the film of the paper, gamma = 6", (15360, 1024, 6)),
        ("nothing is merged", (64, 8, 1)),
        ("one token", (1, 8, 6)),
        ("gamma does not divide the tokens", (10, 4, 6)),
        ("fewer tokens than gamma", (5, 2, 8)),
        ("one token is left", (12, 3, 12)),
        ("wide tokens, few of them", (16, 4096, 2)),
        ("narrow tokens, many of them", (8192, 4, 2)),
    ],
    hints=(
        "What does the layer cost before, and what with the tokens that are left? You have a function for both.",
        "With gamma, `math.ceil(n / gamma)` tokens are left. `attention_cost` gives two numbers; the first one counts "
        "multiply-adds.",
        "`attention_cost(n, dim)[0] / attention_cost(math.ceil(n / gamma), dim)[0]`",
    ),
    mistakes=(
        ("That is what tokens fall by; the bill is not linear in them.", lambda n, d, g: g),
        ("That is what tokens fall by; the bill is not linear in them.", lambda n, d, g: n / math.ceil(n / g)),
        ("That is how pairs of tokens fall; the projections, 4 N D D, fall less.", lambda n, d, g: g * g),
        (
            "That is how pairs of tokens fall; the projections, 4 N D D, fall less.",
            lambda n, d, g: (n / math.ceil(n / g)) ** 2,
        ),
        (
            "It is turned round: the cost before comes above, the cost after below.",
            lambda n, d, g: _cost(math.ceil(n / g), d) / _cost(n, d),
        ),
        (
            "Part of a run of gamma tokens has a target, too: round n / gamma up.",
            lambda n, d, g: _cost(n, d) / _cost(max(1, n // g), d),
        ),
        (
            "Part of a run of gamma tokens has a target, too: round n / gamma up.",
            lambda n, d, g: _cost(n, d) / _cost(n // g, d),
        ),
        ("Tokens are whole: round n / gamma up.", lambda n, d, g: _cost(n, d) / _cost(n / g, d)),
        (
            "That is the saving; asked is how many times as much it cost before.",
            lambda n, d, g: _cost(n, d) - _cost(math.ceil(n / g), d),
        ),
        (
            "That is the share that is saved; asked is how many times as much it cost before.",
            lambda n, d, g: 1 - _cost(math.ceil(n / g), d) / _cost(n, d),
        ),
        (
            "Divide the cost before by the cost after. With /, not with //: the gain need not be a whole number.",
            lambda n, d, g: _cost(n, d) // _cost(math.ceil(n / g), d),
        ),
        *slips.MERGING_GAIN,
    ),
    minutes=5,
    difficulty=2,
    importance=4,
    kind="compute",
)

frames_that_fit = Exercise(
    "frames_that_fit",
    answer=lambda budget, per_frame: math.isqrt(budget // 4) // per_frame,
    cases=lambda: [
        ("1 GiB, 256 tokens a frame", (2**30, 256)),
        ("exactly three frames of one token", (36, 1)),
        ("one byte short of three frames", (35, 1)),
        ("a little less than one frame", (4 * 255**2, 256)),
        ("2 GiB, one token a frame", (2**31, 1)),
        ("8 GiB, 196 tokens a frame", (2**33, 196)),
        ("4 GiB less one byte, one token a frame", (2**32 - 1, 1)),
        ("no memory", (0, 16)),
    ],
    hints=(
        "First ask how many tokens fit, then how many frames that is.",
        "N tokens have N x N scores of 4 bytes. Turn `4 * N * N = budget` round.",
        "Round down twice: `math.isqrt(budget // 4)` gives the tokens, as the whole part of a square root, and "
        "`// per_frame` whole frames.",
    ),
    mistakes=(
        ("A score takes 4 bytes: divide the budget by 4 first.", lambda b, p: math.isqrt(b) // p),
        ("Every pair of tokens has a score: N * N of them, so there is a square root.", lambda b, p: b // 4 // p),
        (
            "You round to the nearest; half a frame more does not fit. Round down.",
            lambda b, p: round((b / 4) ** 0.5 / p),
        ),
        ("You round up; what is over the budget does not fit. Round down.", lambda b, p: math.ceil((b / 4) ** 0.5 / p)),
        ("Frames are whole: round down.", lambda b, p: (b / 4) ** 0.5 / p),
        ("That is the number of tokens; divide by the tokens of a frame.", lambda b, p: math.isqrt(b // 4)),
        (
            "You count the scores inside each frame; all frames attend to each other, so all their tokens form pairs.",
            lambda b, p: b // (4 * p * p),
        ),
        (
            "float32 has about seven digits: the root of a long number is rounded up. Take math.isqrt.",
            lambda b, p: int(torch.tensor(b / 4).sqrt()) // p,
        ),
        *slips.FRAMES_THAT_FIT,
    ),
    tolerance=0,
    minutes=5,
    difficulty=2,
    importance=3,
)
