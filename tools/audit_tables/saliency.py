"""The mutation audit's tables for the exercises of lessons_regions.py and lessons_motion.py."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch

from .common import normal

# Mutants that pass because they are right: exercise, the changed line, why
EQUAL: list[tuple[str, str, str]] = [
    (
        "centre_targets",
        "top, left = (rows // 2, (width - columns) // 2)",
        "the height is even, so height - rows is rows",
    ),
    (
        "centre_targets",
        "top, left = ((height - rows) // 2, columns // 2)",
        "the width is even, so width - columns is columns",
    ),
    (
        "centre_targets",
        "centre[:, top:top - rows, left:left + columns] = True",
        "top - rows counts from the end: it is top - rows + height, and the height is 2 rows",
    ),
    (
        "centre_targets",
        "centre[:, top:top + rows, left:left - columns] = True",
        "left - columns counts from the end: it is left - columns + width, and the width is 2 columns",
    ),
    ("centre_targets", "positions = mask.flatten().nonzero()[:, -1]", "of one axis nonzero gives one column"),
    (
        "centre_targets",
        "return positions[[i * len(positions) / k for i in range(k)]]",
        "torch cuts an index after the point, as // does",
    ),
    (
        "block_motion",
        "(height, width), best = (block.shape, (float('inf'), 1, 0))",
        "any shift's cost is less than infinite, and one lies inside",
    ),
    (
        "block_motion",
        "(height, width), best = (block.shape, (float('inf'), -1, 0))",
        "any shift's cost is less than infinite, and one lies inside",
    ),
    (
        "block_motion",
        "(height, width), best = (block.shape, (float('inf'), 0, 1))",
        "any shift's cost is less than infinite, and one lies inside",
    ),
    (
        "block_motion",
        "(height, width), best = (block.shape, (float('inf'), 0, -1))",
        "any shift's cost is less than infinite, and one lies inside",
    ),
    (
        "block_motion",
        "cost = (previous[y:y + height, x:x + width] - block).abs().mean().item()",
        "all parts have equally many pixels: the least mean is the least sum",
    ),
    (
        "block_motion",
        "cost = (block - previous[y:y + height, x:x + width]).abs().sum().item()",
        "the absolute difference is the same either way",
    ),
    (
        "motion_probability",
        "return (temperature * score).softmax(-1).view_as(motion)",
        "of one axis the last is the first",
    ),
    ("without_camera", "return (camera[:, None, None] - vectors).norm(dim=-1)", "a vector turned round is as long"),
    (
        "box_targets",
        "chosen[:, mask.flatten().nonzero()[:per_frame, -1]] = True",
        "of one axis nonzero gives one column",
    ),
    (
        "box_targets",
        "chosen, spare = (chosen.flatten(), (~mask).flatten().repeat(frames).nonzero()[:, -1])",
        "of one axis nonzero gives one column",
    ),
    (
        "box_targets",
        "chosen[spare[[i * len(spare) / rest for i in range(rest)]]] = True",
        "torch cuts an index after the point, as // does",
    ),
    ("box_targets", "return chosen.nonzero()[:, -1]", "of one axis nonzero gives one column"),
    (
        "motion_map",
        "moved[top:top + h, left:left + w] = math.hypot(dy, dx) / scale",
        "the root of a sum of squares does not care for their order",
    ),
    (
        "affine_camera",
        "return (places @ camera - vectors.flatten(1, 2)).norm(dim=-1).view_as(weight)",
        "a vector and its opposite are equally long",
    ),
]


def _moving(dice: random.Random) -> tuple:
    rows, columns, height, width = dice.randint(8, 12), dice.randint(8, 14), dice.randint(2, 4), dice.randint(2, 4)
    previous = normal(dice, rows, columns).mul(20).round()
    y, x = dice.randint(0, rows - height), dice.randint(0, columns - width)
    block = previous[y : y + height, x : x + width] + normal(dice, height, width).mul(5).round()
    row = min(max(y + dice.randint(-3, 3), 0), rows - height)
    column = min(max(x + dice.randint(-3, 3), 0), columns - width)
    return previous, block, row, column, dice.randint(1, 4)


def _boxed(dice: random.Random) -> tuple:
    """A film with a box of at most half of each frame, and targets enough for what is demanded."""
    frames, height, width = dice.randint(1, 5), dice.randint(2, 8), dice.randint(2, 8)
    rows, columns = dice.randint(1, height), dice.randint(1, max(1, width // 2))
    box = dice.randint(0, height - rows), dice.randint(0, width - columns), rows, columns
    per_frame = dice.randint(0, rows * columns)
    least = (per_frame + 1) / (height * width)  # a smaller share of the frame's tokens does not do
    gamma = 1 / dice.uniform(least, max(least, 0.5))
    return frames, height, width, gamma, box, per_frame / (rows * columns)


def _painted(dice: random.Random) -> tuple:
    """Blocks in the squares of a grid of 8 x 8 pixels, and a frame that may end within them."""
    rows, columns = dice.randint(1, 3), dice.randint(1, 3)
    blocks = []
    for y in range(rows):
        for x in range(columns):
            w, h = dice.choice((2, 4, 8)), dice.choice((2, 4, 8))
            shift = [dice.randint(-20, 20), dice.randint(-20, 20), dice.choice((1, 2, 4))]
            blocks.append([w, h, 8 * x + w // 2, 8 * y + h // 2, *shift])
    return torch.tensor(blocks), 8 * rows - dice.randint(0, 3), 8 * columns - dice.randint(0, 3)


def _weighted(dice: random.Random) -> tuple:
    """Vectors of a few frames, more patches than the six numbers can fit, and a weight for each."""
    shape = dice.randint(1, 4), dice.randint(3, 6), dice.randint(3, 6)
    return normal(dice, *shape, 2) * 3, normal(dice, *shape).abs() + 0.05


# Random inputs that an exercise's text allows
RANDOM: dict[str, Callable[[random.Random], tuple]] = {
    "centre_targets": lambda d: (
        d.randint(1, 6),
        2 * d.randint(2, 7),
        2 * d.randint(2, 7),
        d.choice((2, 2.5, 3, 5, 8)),
    ),
    "expected_coverage": lambda d: (d.random(), d.uniform(2, 12), d.choice(("centre", "boundary"))),
    "guesses_that_pay": lambda d: (),
    "box_targets": _boxed,
    "centre_share": lambda d: (d.randint(0, 5), d.random(), d.uniform(0.3, 5)),
    "block_motion": _moving,
    "motion_map": _painted,
    "motion_probability": lambda d: (
        normal(d, d.randint(1, 4), d.randint(2, 5), d.randint(2, 5)).abs() * 10 ** d.uniform(-2, 2),
        d.uniform(0.5, 4),
    ),
    "without_camera": lambda d: (normal(d, d.randint(1, 4), d.randint(2, 5), d.randint(2, 5), 2) * 3,),
    "affine_camera": _weighted,
}
