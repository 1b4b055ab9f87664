"""The right answers of lesson 06 written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .making import slips


def _motion_map(blocks: Tensor, height: int, width: int) -> Tensor:
    moved = torch.zeros(height, width)
    for w, h, x, y, dx, dy, scale in blocks.tolist():
        top, left = y - h // 2, x - w // 2
        moved[top : top + h, left : left + w] = math.hypot(dx, dy) / scale
    return moved


MOTION_MAP = slips(
    _motion_map,
    (
        "torch.zeros(height, width)",
        "Where no block is, nothing moved: begin with zeros.",
        "torch.ones(height, width)",
    ),
    (
        "torch.zeros(height, width)",
        "The map has `height` rows and `width` columns.",
        "torch.zeros(width, height); torch.zeros(width, width)",
    ),
    (
        "y - h // 2, x - w // 2",
        "y counts rows, x counts columns; you exchange the two.",
        "x - w // 2, y - h // 2",
    ),
    (
        "y - h // 2, x - w // 2",
        "A block's rows begin half its height above its middle, at y - h // 2; yours begin elsewhere.",
        "y + h // 2, x - w // 2; h // 2 - y, x - w // 2; y, x - w // 2; h // 2, x - w // 2; dx - h // 2, x - w // 2; "
        "y - 2 // h, x - w // 2; y - h, x - w // 2; y - 2, x - w // 2; y - x // 2, x - w // 2; y - h // 3, x - w // "
        "2; y - h // 1, x - w // 2",
    ),
    (
        "y - h // 2, x - w // 2",
        "A block's columns begin half its width left of its middle, at x - w // 2; yours begin elsewhere.",
        "y - h // 2, x + w // 2; y - h // 2, w // 2 - x; y - h // 2, x; y - h // 2, w // 2; y - h // 2, y - w // 2; "
        "y - h // 2, x - 2 // w; y - h // 2, x - w; y - h // 2, x - 2; y - h // 2, x - h // 2; y - h // 2, x - w // "
        "3; y - h // 2, x - w // 1",
    ),
    (
        "top:top + h, left:left + w",
        "A block covers h rows from `top` on and w columns from `left` on; yours covers other pixels.",
        "left:left + w, top:top + h; top + 1:top + h, left:left + w; top - 1:top + h, left:left + "
        "w; top:top + h + 1, left:left + w; top:top + h - 1, left:left + w; left:top + h, left:left"
        " + w; top:top - h, left:left + w; top:top, left:left + w; top:left + h, left:left + w; "
        "top:top + x, left:left + w; top:top + h, left + 1:left + w; top:top + h, left - 1:left + "
        "w; top:top + h, left:left + w + 1; top:top + h, left:left + w - 1; top:top + h, left:left "
        "- w; top:top + h, left:left; top:top + h, left:left + h",
    ),
    (
        "math.hypot(dx, dy) / scale",
        "A block moved by the root of dx * dx + dy * dy, in parts of a pixel, divided by `scale`; yours is another "
        "number.",
        "scale / math.hypot(dx, dy); scale; math.hypot(dy, dy) / scale; math.hypot(dx, scale) / scale; "
        "math.hypot(dx, dy) / top",
    ),
)


def _block_motion(previous: Tensor, block: Tensor, row: int, column: int, reach: int) -> tuple[int, int]:
    (height, width), best = block.shape, (float("inf"), 0, 0)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            y, x = row - dy, column - dx  # where it stood
            if 0 <= y <= previous.shape[0] - height and 0 <= x <= previous.shape[1] - width:
                cost = (previous[y : y + height, x : x + width] - block).abs().sum().item()
                best = min(best, (cost, dx, dy))
    return best[1:]


BLOCK_MOTION = slips(
    _block_motion,
    (
        "dy in range(-reach, reach + 1)",
        "Shifts go from -reach to reach, both included, in x and in y; one of yours has another range.",
        "dy in range(-reach, reach + 1 + 1); dy in range(-reach, reach + 1 - 1); dy in range(reach, reach + 1); dy "
        "in range(-reach, reach - 1); dy in range(-reach, 1)",
    ),
    (
        "dx in range(-reach, reach + 1)",
        "Shifts go from -reach to reach, both included, in x and in y; one of yours has another range.",
        "dx in range(-reach, reach + 1 + 1); dx in range(-reach, reach + 1 - 1); dx in range(reach, reach + 1); dx "
        "in range(-dy, reach + 1); dx in range(-reach, reach - 1); dx in range(-reach, 1); dx in range(-reach, dy + "
        "1)",
    ),
    (
        "row - dy, column - dx",
        "Where did it stand? What moved by (dx, dy) to (row, column) came from row - dy and column - dx; you look in "
        "another place.",
        "column - dx, row - dy; row + dy, column - dx; dy - row, column - dx; row, column - dx; dy, column - dx; "
        "column - dy, column - dx; row - dy, column + dx; row - dy, dx - column; row - dy, column; row - dy, dx; row "
        "- dy, reach - dx; row - dy, column - height",
    ),
    (
        "0 <= y <= previous.shape[0] - height and 0 <= x <= previous.shape[1] - width",
        "A shift is left out where the block would reach outside of the frame, and nowhere else: y goes from 0 to H "
        "- h, x from 0 to W - w, both included.",
        "0 < y <= previous.shape[0] - height and 0 <= x <= previous.shape[1] - width; 0 >= y <= previous.shape[0] - "
        "height and 0 <= x <= previous.shape[1] - width; 0 <= y < previous.shape[0] - height and 0 <= x <= "
        "previous.shape[1] - width; 0 <= y <= height and 0 <= x <= previous.shape[1] - width; 0 <= y <= "
        "block.shape[0] - height and 0 <= x <= previous.shape[1] - width; 0 <= y <= previous.shape[0] - width and 0 "
        "<= x <= previous.shape[1] - width; 0 <= y <= previous.shape[0] - height and 0 < x <= previous.shape[1] - "
        "width; 0 <= y <= previous.shape[0] - height and 0 <= x < previous.shape[1] - width; 0 <= y <= "
        "previous.shape[0] - height and 0 <= x >= previous.shape[1] - width; 0 <= y <= previous.shape[0] - height "
        "and 0 <= x <= width; 0 <= y <= previous.shape[0] - height and 0 <= x <= block.shape[1] - width; 0 <= y <= "
        "previous.shape[0] - height and 0 <= x <= previous.shape[0] - width; 0 <= y <= previous.shape[0] - height "
        "and 0 <= x <= previous.shape[1] - y",
    ),
    (
        "(previous[y:y + height, x:x + width] - block).abs().sum().item()",
        "You add up differences with their signs, and the darkest place wins. Take .abs() first.",
        "(previous[y:y + height, x:x + width] - block).sum().item()",
    ),
    (
        "(previous[y:y + height, x:x + width] - block).abs().sum().item()",
        "Compare the part of the previous frame, [y : y + h, x : x + w], with the block: the sum of the absolute "
        "differences of the two.",
        "(previous[y:y + height, x:x + width] + block).abs().sum().item(); previous[y:y + height, x:x + "
        "width].abs().sum().item(); block.abs().sum().item(); (previous[x:x + width, y:y + height] - "
        "block).abs().sum().item(); (previous[y:y + height, x:x + width] - row).abs().sum().item()",
    ),
    (
        "best = min(best, (cost, dx, dy))",
        "Keep the shift of least cost; you keep another one, or something else than (cost, dx, dy).",
        "best = (cost, dx, dy); best = min(best, (cost, height, dy))",
    ),
    (
        "best[1:]",
        "Return the shift, (dx, dy), and nothing else.",
        "best[2:]; best[0:]",
    ),
)


def _motion_probability(motion: Tensor, temperature: float) -> Tensor:
    score = motion.flatten() / motion.mean().clamp(min=1e-6)
    return (temperature * score).softmax(0).view_as(motion)


MOTION_PROBABILITY = slips(
    _motion_probability,
    (
        "motion.flatten() / motion.mean().clamp(min=1e-06)",
        "The score is the motion divided by the film's mean: neither multiplied, nor turned round.",
        "motion.flatten() * motion.mean().clamp(min=1e-06); motion.mean().clamp(min=1e-06) / motion.flatten()",
    ),
    (
        "motion.flatten()",
        "The softmax runs over the frames only: flatten first, so that it runs over all tokens of the film.",
        "motion",
    ),
    (
        "motion.flatten() / motion.mean().clamp(min=1e-06)",
        "Divide by the film's mean, not by its median or its sum: what moves much counts in the mean.",
        "motion.flatten() / motion.sum().clamp(min=1e-06); motion.flatten() / motion.median().clamp(min=1e-06)",
    ),
    (
        "(temperature * score).softmax(0).view_as(motion)",
        "These are scores: they do not add up to 1. The softmax over all tokens is missing.",
        "(temperature * score).view_as(motion)",
    ),
    (
        "temperature * score",
        "The score is multiplied by the temperature; you multiply something else.",
        "score * score; temperature * motion",
    ),
)


def _without_camera(vectors: Tensor) -> Tensor:
    camera = vectors.flatten(1, 2).median(dim=1).values  # (L, 2), x and y separately
    return (vectors - camera[:, None, None]).norm(dim=-1)


WITHOUT_CAMERA = slips(
    _without_camera,
    (
        "vectors.flatten(1, 2).median(dim=1).values",
        "The median is to be taken over all places of a frame: put height and width into one axis first, flatten(1, "
        "2).",
        "vectors.median(dim=1).values",
    ),
    (
        "(vectors - camera[:, None, None]).norm(dim=-1)",
        "These are vectors; asked is how long they are, .norm(dim=-1).",
        "vectors - camera[:, None, None]",
    ),
    (
        "norm(dim=-1)",
        "A length is the root over x and y of one vector, the last axis: .norm(dim=-1).",
        "norm(); norm(dim=-2); norm(dim=-0)",
    ),
    (
        "vectors - camera[:, None, None]",
        "Take the camera's motion away from the vectors; you combine them in another way.",
        "vectors + camera[:, None, None]; camera - camera[:, None, None]; vectors - vectors[:, None, None]",
    ),
    (
        "(vectors - camera[:, None, None])",
        "That is how far the camera moved; subtract it from the vectors.",
        "camera[:, None, None]",
    ),
)


def _affine_camera(vectors: Tensor, weight: Tensor) -> Tensor:
    _, h, w = weight.shape
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    places = torch.stack([torch.ones(h * w), x.flatten(), y.flatten()], dim=-1)
    root = weight.flatten(1).sqrt()[..., None]
    camera = torch.linalg.lstsq(root * places, root * vectors.flatten(1, 2)).solution
    return (vectors.flatten(1, 2) - places @ camera).norm(dim=-1).view_as(weight)


AFFINE_CAMERA = slips(
    _affine_camera,
    (
        "root * places, root * vectors.flatten(1, 2)",
        "Both sides of the fit are multiplied by the root of the weight, row by row; you combine them in another way.",
        "root + places, root * vectors.flatten(1, 2); root * places, root + vectors.flatten(1, 2); root * places, _ * "
        "vectors.flatten(1, 2)",
    ),
    (
        "root * places, root * vectors.flatten(1, 2)",
        "The vectors themselves are missing: they are what is fitted.",
        "root * places, root",
    ),
    (
        "vectors.flatten(1, 2) - places @ camera",
        "Take the camera's motion away from the vectors; you combine them in another way.",
        "vectors.flatten(1, 2) + places @ camera",
    ),
    (
        "norm(dim=-1)",
        "A length is the root over x and y of one vector, the last axis: .norm(dim=-1).",
        "norm(dim=-0)",
    ),
)
