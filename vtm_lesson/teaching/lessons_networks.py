"""Exercise checks of lessons 03 and 04: ToMe in a ViT, naive VTM."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..merging.matching import match
from ..merging.partition import uniform
from . import slips_networks
from .exercise import Case, Exercise, generator, random

# ---------------------------------------------------------------------------------------------------------------
# Lesson 03: ToMe in a ViT. Whole numbers and positions.
# ---------------------------------------------------------------------------------------------------------------


def _tokens_left(n: int, prefix: int, amounts: list[int], half: Callable[[int], int] = lambda m: m // 2) -> list[int]:
    counts = []
    for r in amounts:
        n -= min(r, half(n - prefix))
        counts.append(n)
    return counts


def _tokens_left_from_start(n: int, prefix: int, amounts: list[int]) -> list[int]:
    return [n - min(r, (n - prefix) // 2) for r in amounts]


tokens_left = Exercise(
    "tokens_left",
    answer=_tokens_left,
    cases=lambda: [
        ("the toy of the text", (9, 1, [3] * 4)),
        ("r = 13 in 12 blocks, as in ToMe's DeiT-S", (197, 1, [13] * 12)),
        ("r larger than half of the tokens", (145, 1, [1000] * 6)),
        ("class token and four registers", (261, 5, [130, 130, 0, 7])),
        ("no protected tokens", (16, 0, [9, 3, 3, 0, 1])),
        ("nothing left to merge", (3, 2, [1, 1])),
        ("no blocks", (10, 1, [])),
    ],
    hints=(
        "Walk through the blocks and carry the number of tokens along.",
        "The limit depends on how many tokens are left now, and protected tokens do not count.",
        "In each block: n -= min(r, (n - prefix) // 2).",
    ),
    mistakes=(
        ("Half of *all* tokens is too much: protected ones cannot be merged.", lambda n, p, a: _tokens_left(n, 0, a)),
        ("A block merges at most half of its unprotected tokens; nothing limits r here.",
         lambda n, p, a: [n - sum(a[: i + 1]) for i in range(len(a))]),
        ("Every block starts from what the block before it left, not from n.", _tokens_left_from_start),
        ("Count the protected tokens, too: they are still there.",
         lambda n, p, a: [count - p for count in _tokens_left(n, p, a)]),
        ("Give the number of tokens after each block, one number a block.",
         lambda n, p, a: (_tokens_left(n, p, a) or [n])[-1]),
        ("Half of an odd number is rounded down, (n - prefix) // 2; round() goes up as often as down.",
         lambda n, p, a: _tokens_left(n, p, a, half=lambda m: round(m / 2))),
        ("Half of an odd number is rounded down: the token without a partner stays.",
         lambda n, p, a: _tokens_left(n, p, a, half=lambda m: math.ceil(m / 2))),
        *slips_networks.TOKENS_LEFT,
    ),
    tolerance=0,
)  # fmt: skip


above = Exercise(
    "above",
    answer=lambda similarity, threshold: int((similarity > threshold).sum(1).min()),
    cases=lambda: [
        ("one image", (torch.tensor([[0.95, 0.2, 0.91, 0.5]]), 0.9)),
        ("two images that differ", (torch.tensor([[0.95, 0.99, 0.91, 0.5], [0.1, 0.95, 0.2, 0.3]]), 0.9)),
        ("nothing is similar enough", (torch.tensor([[0.5, 0.6], [0.99, 0.99]]), 0.9)),
        ("exactly on the threshold", (torch.tensor([[0.5, 0.75], [0.75, 0.5]]), 0.5)),
        ("a negative threshold", (torch.tensor([[-0.5, 0.6], [-0.9, 0.99]]), -0.6)),
        *[(f"random similarities {seed}", (random(seed, 4, 30).tanh(), 0.3)) for seed in range(3)],
    ],
    hints=(
        "First count, for every image, the sources above the threshold.",
        "All images of a batch must lose the same number of tokens. Which of the counts is safe for every image?",
        "int((similarity > threshold).sum(dim=1).min())",
    ),
    mistakes=(
        ("The largest count merges unlike tokens in the other images.", lambda s, t: int((s > t).sum(1).max())),
        ("The mean count merges unlike tokens in some of the images.", lambda s, t: int((s > t).sum(1).float().mean())),
        ("Count every image by itself: sum over dim 1.", lambda s, t: int((s > t).sum())),
        ("Exactly on the threshold is not above it.", lambda s, t: int((s >= t).sum(1).min())),
        ("Give the number of tokens, not a list of them.", lambda s, t: (s > t).sum(1)),
        ("That counts sources above the threshold in all images at once; let every image choose its own.",
         lambda s, t: int((s > t).all(0).sum())),
        *slips_networks.ABOVE,
    ),
    tolerance=0,
)  # fmt: skip


def _board(frames: int, height: int, width: int, steps: tuple[int, int, int], odd: int = 1) -> Tensor:
    """Positions where the weighted sum of frame, row and column is odd (or even)."""
    axes = [torch.arange(n) for n in (frames, height, width)]
    t, y, x = torch.meshgrid(*axes, indexing="ij")
    return ((t * steps[0] + y * steps[1] + x * steps[2]) % 2 == odd).flatten().nonzero()[:, 0]


checkerboard = Exercise(
    "checkerboard",
    answer=lambda frames, height, width: _board(frames, height, width, (1, 1, 1)),
    cases=lambda: [
        ("two frames of 2 x 2", (2, 2, 2)),
        ("an even grid", (3, 4, 6)),
        ("an odd grid", (3, 3, 5)),
        ("one frame", (1, 4, 4)),
        ("one row", (4, 1, 3)),
        ("one place", (5, 1, 1)),
    ],
    hints=(
        "A chessboard colours a square by whether row + column is odd. A film has one more direction.",
        "Every step to a neighbour, in time, down, or to the right, must change sides: frame + row + column.",
        "t, y, x = torch.meshgrid(arange(frames), arange(height), arange(width), indexing='ij'); then "
        "((t + y + x) % 2 == 1).flatten().nonzero()[:, 0]",
    ),
    mistakes=(
        ("Those are the sources: targets are the odd places.", lambda f, h, w: _board(f, h, w, (1, 1, 1), odd=0)),
        ("A patch and itself one frame later are on the same side: let the frame count, too.",
         lambda f, h, w: _board(f, h, w, (0, 1, 1))),
        ("A patch and the one below it are on the same side: let the row count, too.",
         lambda f, h, w: _board(f, h, w, (1, 0, 1))),
        ("A patch and its right neighbour are on the same side: let the column count, too.",
         lambda f, h, w: _board(f, h, w, (1, 1, 0))),
        ("That is every other token of the row-by-row order: on an even grid it is the same in every frame.",
         lambda f, h, w: torch.arange(1, f * h * w, 2)),
        *slips_networks.CHECKERBOARD,
    ),
    tolerance=0,
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------
# Lesson 04: naive VTM
# ---------------------------------------------------------------------------------------------------------------


def _tokens_after(frames: int, per_frame: int, chunks: Sequence[int], gamma: int, r: float) -> tuple[int, ...]:
    n, left = frames * per_frame, []
    for length in chunks:
        count = frames // length
        inside = n // count
        sources = inside - math.ceil(inside / gamma)
        n = count * (inside - math.floor(r * sources))
        left.append(n)
    return tuple(left)


def _left_with(inside_left: Callable[[int, int, float], int], whole: bool = False, fresh: bool = False) -> Callable:
    """A `tokens_after` whose chunks keep inside_left(n, gamma, r) tokens, or whose video does; fresh: never carried."""

    def wrong(frames: int, per_frame: int, chunks: Sequence[int], gamma: int, r: float) -> tuple[int, ...]:
        n, left = frames * per_frame, []
        for length in chunks:
            count = 1 if whole else frames // length
            left.append(count * inside_left((frames * per_frame if fresh else n) // count, gamma, r))
            n = left[-1]
        return tuple(left)

    return wrong


def _tokens_merged(frames: int, per_frame: int, chunks: Sequence[int], gamma: int, r: float) -> tuple[int, ...]:
    left = _tokens_after(frames, per_frame, chunks, gamma, r)
    return tuple(before - after for before, after in zip((frames * per_frame, *left), left, strict=False))


def _kept(n: int, gamma: int, r: float) -> int:
    return n - math.floor(r * (n - math.ceil(n / gamma)))


def _tokens_after_cases() -> list[Case]:
    return [
        ("the toy of the text", (4, 2, (2, 4), 3, 1.0)),
        ("the paper's film at gamma 4", (60, 256, (6, 30, 60), 4, 1.0)),
        ("the paper's film at gamma 6, R = |S| / 2", (60, 256, (6, 30, 60), 6, 0.5)),
        ("gamma that divides nothing", (24, 9, (2, 12, 24), 7, 1.0)),
        ("nothing merged", (12, 10, (3, 6, 12), 5, 0.0)),
        ("R that is no whole number", (12, 7, (2, 4, 12), 3, 0.75)),
    ]


tokens_after = Exercise(
    "tokens_after",
    answer=_tokens_after,
    cases=_tokens_after_cases,
    hints=(
        "Work out one chunk first: how many tokens are in it, how many of them are targets, how many sources?",
        "A video of n tokens in frames // length chunks has n // (frames // length) tokens in each. Of m tokens "
        "math.ceil(m / gamma) are targets, and math.floor(r * sources) of the others disappear.",
        "After a block set n to (number of chunks) * (tokens that a chunk keeps); the next block starts from that n.",
    ),
    mistakes=(
        ("You count over the whole video at once; each chunk rounds by itself.", _left_with(_kept, whole=True)),
        (
            "Every block of yours starts from the full video; it starts from what the last one left.",
            _left_with(_kept, fresh=True),
        ),
        (
            "The number of targets is rounded down; a partition has ceil(n / gamma) of them.",
            _left_with(lambda n, gamma, r: n - math.floor(r * (n - n // gamma))),
        ),
        (
            "r is a share of the sources, not of all tokens.",
            _left_with(lambda n, gamma, r: max(math.ceil(n / gamma), n - math.floor(r * n))),
        ),
        ("You give the number of merged tokens; asked is how many are left.", _tokens_merged),
        (
            "Only the targets are left with you; at R below |S| the sources that were not merged stay, too.",
            _left_with(lambda n, gamma, r: math.ceil(n / gamma)),
        ),
        *slips_networks.TOKENS_AFTER,
    ),
)


def _merge_in_chunks(x: Tensor, keys: Tensor, chunks: int, gamma: float) -> Tensor:
    inside = x.shape[1] // chunks
    merge = match(keys.reshape(-1, inside, keys.shape[2]), uniform(inside, gamma))
    return merge(x.reshape(-1, inside, x.shape[2])).reshape(len(x), -1, x.shape[2])


def _chunk_cases() -> list[Case]:
    cases: list[Case] = []
    sizes = [(1, 1, 6, 2), (1, 3, 8, 4), (2, 4, 7, 3), (3, 2, 10, 4), (2, 5, 6, 6), (2, 3, 10, 2.5)]
    for seed, (batch, chunks, inside, gamma) in enumerate(sizes):
        x, keys = random(seed, batch, chunks * inside, 4), random(seed + 50, batch, chunks * inside, 3)
        words = f"{batch} film(s), {chunks} chunk(s) of {inside} tokens, gamma {gamma}"
        cases.append((words, (x, keys, chunks, gamma)))
    return cases


def _chunks_one_film(x: Tensor, keys: Tensor, chunks: int, gamma: float) -> Tensor:
    inside = x.shape[1] // chunks
    # The batch axis ends up inside the tokens: tokens of different films become neighbours.
    mixed = [v.transpose(0, 1).reshape(chunks * len(x), inside, -1) for v in (x, keys)]
    return match(mixed[1], uniform(inside, gamma))(mixed[0]).reshape(len(x), -1, x.shape[2])


merge_in_chunks = Exercise(
    "merge_in_chunks",
    answer=_merge_in_chunks,
    cases=_chunk_cases,
    hints=(
        "`match` works on a batch and never lets items of it meet. What if a chunk were an item?",
        "x.reshape(B * chunks, n, C) with n = N // chunks makes every chunk an item; keys the same way.",
        "merge = match(the reshaped keys, partition.uniform(n, gamma)), merge(the reshaped x), and reshape back to "
        "(B, -1, C).",
    ),
    mistakes=(
        (
            "Tokens of different chunks were merged: you matched over the whole video.",
            lambda x, k, c, g: match(k, uniform(x.shape[1], g))(x),
        ),
        (
            "You matched on x; the keys are what tokens are matched on.",
            lambda x, k, c, g: _merge_in_chunks(x, x, c, g),
        ),
        (
            "You merged the keys; they only say who is matched with whom.",
            lambda x, k, c, g: _merge_in_chunks(k, k, c, g),
        ),
        ("The chunks mix tokens of different films: keep the batch axis first in the reshape.", _chunks_one_film),
        (
            "The chunks are still items of the batch in your result; reshape to (B, -1, C).",
            lambda x, k, c, g: _merge_in_chunks(x, k, c, g).reshape(len(x) * c, -1, x.shape[2]),
        ),
        (
            "The films have become one long film: reshape the result to (B, -1, C).",
            lambda x, k, c, g: _merge_in_chunks(x, k, c, g).reshape(1, -1, x.shape[2]),
        ),
        (
            "The axis of the films is lost: reshape the result to (B, -1, C).",
            lambda x, k, c, g: _merge_in_chunks(x, k, c, g).reshape(-1, x.shape[2]),
        ),
        (
            "gamma need not be a whole number: hand it on to uniform as it is.",
            lambda x, k, c, g: _merge_in_chunks(x, k, c, int(g)),
        ),
        *slips_networks.MERGE_IN_CHUNKS,
    ),
)


def _pooled_weight(groups: Sequence[Tensor]) -> Tensor:
    count = int(groups[-1].max()) + 1
    weight = torch.full((count,), 1 / count)
    for group in reversed(groups):
        weight = (weight / torch.bincount(group))[group]
    return weight


def _composed(groups: Sequence[Tensor]) -> Tensor:
    whole = groups[0]
    for group in groups[1:]:
        whole = group[whole]
    return whole


def _spread_weight(groups: Sequence[Tensor]) -> Tensor:
    """The weights if every final token were the mean of its patches, whatever was merged when."""
    whole = _composed(groups)
    return (1 / (int(whole.max()) + 1) / torch.bincount(whole))[whole]


def _undivided(groups: Sequence[Tensor]) -> Tensor:
    whole = _composed(groups)
    return torch.full((len(whole),), 1 / (int(whole.max()) + 1))


def _weight_cases() -> list[Case]:
    toy = (torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 0, 1]))
    cases: list[Case] = [("the toy of the text", (toy,)), ("one merge", ((torch.tensor([0, 1, 1, 1]),),))]
    for seed in range(4):
        sizes, groups = [*[40, 12, 4][: 2 + seed % 2], 3], []
        for n, m in pairwise(sizes):
            numbers = torch.cat([torch.arange(m), torch.randint(m, (n - m,), generator=generator(seed))])
            groups.append(numbers[torch.randperm(n, generator=generator(seed + 9))])
        cases.append((f"random merges {seed}, {len(groups)} blocks", (tuple(groups),)))
    return cases


pooled_weight = Exercise(
    "pooled_weight",
    answer=_pooled_weight,
    cases=_weight_cases,
    hints=(
        "Start at the end: each of the M final tokens counts 1 / M in the mean. How is that shared inside its group?",
        "A group of 3 shares its weight equally: a third each. torch.bincount(group) has the sizes of all groups.",
        "Going backwards through the blocks: weight = (weight / torch.bincount(group))[group].",
    ),
    mistakes=(
        (
            "You give every patch of a final token the same weight. A plain average of plain averages does not: a patch"
            " merged early with many counts less than one merged late with few.",
            _spread_weight,
        ),
        ("A group's weight is not divided among its members: your weights do not sum to 1.", _undivided),
        (
            "All patches weigh the same with you. That would be the mean without merging.",
            lambda groups: torch.full((len(groups[0]),), 1 / len(groups[0])),
        ),
        (
            "Only the first merge counts in your result; go back through all blocks.",
            lambda groups: _pooled_weight(groups[:1]),
        ),
        (
            "Only the last merge counts in your result, one number for each of its tokens; go back to the patches.",
            lambda groups: _pooled_weight(groups[-1:]),
        ),
        *slips_networks.POOLED_WEIGHT,
    ),
)
