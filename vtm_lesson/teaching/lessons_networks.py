"""Exercise checks of lesson 03: ToMe in a ViT."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .exercise import Exercise, generator, random
from .slips import networks as slips

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
        "In each block, `n -= min(r, (n - prefix) // 2)`; then note `n` in a list.",
    ),
    mistakes=(
        ("Half of *all* tokens is too much: protected ones cannot be merged.", lambda n, p, a: _tokens_left(n, 0, a)),
        ("A block merges at most half of its unprotected tokens; nothing limits r here.",
         lambda n, p, a: [n - sum(a[: i + 1]) for i in range(len(a))]),
        ("Every block starts from what the block before it left, not from n.", _tokens_left_from_start),
        ("Count the protected tokens, too: they are still there.",
         lambda n, p, a: [count - p for count in _tokens_left(n, p, a)]),
        ("Your first number is what comes into the first block; asked are the tokens after each block.",
         lambda n, p, a: [n, *_tokens_left(n, p, a)]),
        ("Give the number of tokens after each block, one number a block.",
         lambda n, p, a: (_tokens_left(n, p, a) or [n])[-1]),
        ("Half of an odd number is rounded down, (n - prefix) // 2; round() goes up as often as down.",
         lambda n, p, a: _tokens_left(n, p, a, half=lambda m: round(m / 2))),
        ("Half of an odd number is rounded down: the token without a partner stays.",
         lambda n, p, a: _tokens_left(n, p, a, half=lambda m: math.ceil(m / 2))),
        *slips.TOKENS_LEFT,
    ),
    tolerance=0,
    minutes=4,
    difficulty=1,
    importance=3,
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------
# Lesson 03: what a block does with token sizes, and what it costs
# ---------------------------------------------------------------------------------------------------------------


def _merge_by_size(x: Tensor, size: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    weights = groups * size
    total = weights.sum(dim=1)
    return weights @ x / total[:, None], total


def _counted(x: Tensor, size: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """As if every token were one original: the version that is to be mended."""
    return _merge_by_size(x, torch.ones_like(size), groups)


def _rows(m: int, *group: int) -> Tensor:
    """The group of every token -> (m, N) bool, a row for each group."""
    return torch.arange(m)[:, None] == torch.tensor(group)


def _sized(seed: int, n: int, c: int, m: int) -> tuple[Tensor, Tensor, Tensor]:
    dice = generator(seed)
    group = torch.cat([torch.arange(m), torch.randint(m, (n - m,), generator=dice)])
    group = group[torch.randperm(n, generator=dice)]
    size = torch.randint(1, 7, (n,), generator=dice).float()
    return random(seed, n, c), size, torch.arange(m)[:, None] == group


merge_by_size = Exercise(
    "merge_by_size",
    answer=_merge_by_size,
    cases=lambda: [
        ("a token of three patches meets one of one", (torch.tensor([[0.0], [8]]), torch.tensor([3.0, 1]),
                                                       _rows(1, 0, 0))),
        ("the second block of the text", (torch.tensor([[2.0], [6], [24]]), torch.tensor([3.0, 1, 2]),
                                          _rows(2, 0, 0, 1))),
        ("all sizes 1, as in a first block", (torch.tensor([[1.0, 0], [3, 4], [5, 5]]), torch.ones(3),
                                              _rows(2, 0, 0, 1))),
        ("nothing is merged", (torch.tensor([[1.0, 2], [3, 5]]), torch.tensor([4.0, 2]), _rows(2, 0, 1))),
        ("groups whose tokens are no neighbours", (torch.tensor([[1.0], [2], [3], [4]]), torch.tensor([1.0, 5, 2, 1]),
                                                   _rows(2, 0, 1, 0, 1))),
        *[(f"random groups {seed}", _sized(seed, 7 + seed, 3, 3)) for seed in range(3)],
    ],
    hints=(
        "In the first block all sizes are 1, and the broken version is right. What does it never look at?",
        "A token of size 3 stands for three patches: in the average it counts three times, and to the new size it adds "
        "3. `groups * size` holds, in row i, the sizes of what goes into token i, and zeros.",
        "`weights = groups * size`, `total = weights.sum(dim=1)`; then `weights @ x / total[:, None]` and `total`.",
    ),
    mistakes=(
        ("That is still the broken version: every token counts once, however many patches it stands for.", _counted),
        ("The sizes are right, the average is not: there, every token still counts once. Weight it by its size.",
         lambda x, s, g: (_counted(x, s, g)[0], _merge_by_size(x, s, g)[1])),
        ("The average is right, the new size is not: it counts tokens. Add up the sizes that went in.",
         lambda x, s, g: (_merge_by_size(x, s, g)[0], _counted(x, s, g)[1])),
        ("You divide by the number of tokens; the weights add up to the sum of their sizes.",
         lambda x, s, g: ((g * s) @ x / g.sum(1)[:, None], (g * s).sum(1))),
        ("Those are sums of originals; divide by the new size.",
         lambda x, s, g: ((g * s) @ x, (g * s).sum(1))),
        ("Those are sums; divide by the new size.", lambda x, s, g: (g.float() @ x, (g * s).sum(1))),
        ("Only the size of a token that is merged may change; others keep what they have.",
         lambda x, s, g: (_merge_by_size(x, s, g)[0],
                          torch.where(g.sum(1) > 1, _merge_by_size(x, s, g)[1], torch.ones(len(g))))),
        ("First the tokens, then the sizes.", lambda x, s, g: _merge_by_size(x, s, g)[::-1]),
        ("A new size is the sum of the sizes that went in, not the largest of them.",
         lambda x, s, g: (_merge_by_size(x, s, g)[0], (g * s).amax(1))),
        ("Here sizes are weights as they are; the logarithm belongs into attention's scores.",
         lambda x, s, g: (_merge_by_size(x, s.log(), g)[0], _merge_by_size(x, s, g)[1])),
        *slips.MERGE_BY_SIZE,
    ),
    minutes=7,
    difficulty=3,
    importance=4,
    kind="mend",
)  # fmt: skip


def _vit_multiply_adds(
    n: int,
    prefix: int,
    amounts: list[int],
    channels: int,
    *,
    early: bool = False,
    late: bool = False,
    mlp: int = 8,
    projections: int = 4,
    products: int = 2,
) -> int:
    """Right by default. early: attention, too, has only the tokens that are left; late: the MLP has all that came."""
    total, before = 0, n
    for after in _tokens_left(n, prefix, amounts):
        inside, behind = after if early else before, before if late else after
        total += products * inside * inside * channels + projections * inside * channels**2
        total += mlp * behind * channels**2
        before = after
    return total


vit_multiply_adds = Exercise(
    "vit_multiply_adds",
    answer=_vit_multiply_adds,
    cases=lambda: [
        ("one block, nothing merged", (3, 1, [0], 2)),
        ("one block, one token merged", (3, 1, [1], 2)),
        ("two blocks, one channel", (5, 1, [2, 1], 1)),
        ("the toy of the text", (9, 1, [3] * 4, 4)),
        ("r larger than half of the tokens", (11, 1, [9, 0, 9], 3)),
        ("no protected tokens", (8, 0, [4, 2], 2)),
        ("no blocks", (10, 1, [], 4)),
        ("r = 8 in the 12 blocks of DeiT-S", (197, 1, [8] * 12, 384)),
    ],
    hints=(
        "Go through the blocks with two numbers: how many tokens come into a block, and how many leave it.",
        "Attention works on all tokens that come in; merging comes after it, so the MLP works on those that are left.",
        "`for after in tokens_left(n, prefix, amounts):` add `attention_cost(before, channels)[0] + 8 * after * "
        "channels**2` to the total, then `before = after`.",
    ),
    mistakes=(
        ("Attention still has all tokens that come into the block: merging comes after it.",
         lambda n, p, a, c: _vit_multiply_adds(n, p, a, c, early=True)),
        ("The MLP comes after merging: it has only the tokens that are left.",
         lambda n, p, a, c: _vit_multiply_adds(n, p, a, c, late=True)),
        ("Merging comes between attention and MLP: it is attention that has all tokens, and the MLP that has fewer.",
         lambda n, p, a, c: _vit_multiply_adds(n, p, a, c, early=True, late=True)),
        ("The MLP is missing: 8 * after * channels ** 2.", lambda n, p, a, c: _vit_multiply_adds(n, p, a, c, mlp=0)),
        ("An MLP has two matrices, there and back: 8 * channels ** 2 for each token, not 4.",
         lambda n, p, a, c: _vit_multiply_adds(n, p, a, c, mlp=4)),
        ("The hidden layer of the MLP is four times as wide as a token: 8 * channels ** 2, not 2.",
         lambda n, p, a, c: _vit_multiply_adds(n, p, a, c, mlp=2)),
        ("Attention's four projections are missing.", lambda n, p, a, c: _vit_multiply_adds(n, p, a, c, projections=0)),
        ("Attention's products of tokens with tokens are missing: scores and weighted sum.",
         lambda n, p, a, c: _vit_multiply_adds(n, p, a, c, products=0)),
        ("Nothing is merged here: the tokens of block after block come from tokens_left.",
         lambda n, p, a, c: _vit_multiply_adds(n, 0, [0] * len(a), c)),
        ("A block multiplies and adds; one such pair counts once.",
         lambda n, p, a, c: 2 * _vit_multiply_adds(n, p, a, c)),
        ("Every block starts from what the block before it left, not from n.",
         lambda n, p, a, c: sum(_vit_multiply_adds(n, p, [r], c) for r in a)),
        ("Add up all blocks; that is the last one only.",
         lambda n, p, a, c: _vit_multiply_adds(([n, *_tokens_left(n, p, a)])[-2], p, a[-1:], c) if a else 0),
        *slips.VIT_MULTIPLY_ADDS,
    ),
    tolerance=0,
    minutes=7,
    difficulty=3,
    importance=3,
    kind="compute",
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
        "`int((similarity > threshold).sum(dim=1).min())`",
    ),
    mistakes=(
        ("The largest count merges unlike tokens in the other images.", lambda s, t: int((s > t).sum(1).max())),
        ("The mean count merges unlike tokens in some of the images.", lambda s, t: int((s > t).sum(1).float().mean())),
        ("Count every image by itself: sum over dim 1.", lambda s, t: int((s > t).sum())),
        ("Exactly on the threshold is not above it.", lambda s, t: int((s >= t).sum(1).min())),
        ("Give the number of tokens, not a list of them.", lambda s, t: (s > t).sum(1)),
        ("That counts sources above the threshold in all images at once; let every image choose its own.",
         lambda s, t: int((s > t).all(0).sum())),
        *slips.ABOVE,
    ),
    tolerance=0,
    minutes=4,
    difficulty=2,
    importance=2,
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
        "`t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing='ij')` "
        "gives three tensors of the grid's shape; then `((t + y + x) % 2 == 1).flatten().nonzero()[:, 0]`.",
    ),
    mistakes=(
        ("Those are the sources: targets are the odd places.", lambda f, h, w: _board(f, h, w, (1, 1, 1), odd=0)),
        ("A patch and itself one frame later are on the same side: let the frame count, too.",
         lambda f, h, w: _board(f, h, w, (0, 1, 1))),
        ("A patch and the one below it are on the same side: let the row count, too.",
         lambda f, h, w: _board(f, h, w, (1, 0, 1))),
        ("A patch and its right neighbour are on the same side: let the column count, too.",
         lambda f, h, w: _board(f, h, w, (1, 1, 0))),
        ("That is the mask; asked are the positions at which it is True: `mask.nonzero()[:, 0]`.",
         lambda f, h, w: torch.zeros(f * h * w, dtype=torch.bool).index_fill(0, _board(f, h, w, (1, 1, 1)), True)),
        ("That is every other token of the row-by-row order: on an even grid it is the same in every frame.",
         lambda f, h, w: torch.arange(1, f * h * w, 2)),
        *slips.CHECKERBOARD,
    ),
    tolerance=0,
    minutes=6,
    difficulty=2,
    importance=4,
)  # fmt: skip
