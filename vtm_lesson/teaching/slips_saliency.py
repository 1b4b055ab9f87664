"""The right answers of lessons 05 to 07 written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .slips import slips


def _centre_targets(frames: int, height: int, width: int, gamma: float) -> Tensor:
    rows, columns = height // 2, width // 2
    top, left = (height - rows) // 2, (width - columns) // 2
    centre = torch.zeros(frames, height, width, dtype=torch.bool)
    centre[:, top : top + rows, left : left + columns] = True
    count = math.ceil(frames * height * width / gamma)

    def spread(mask, k):
        positions = mask.flatten().nonzero()[:, 0]
        return positions[[i * len(positions) // k for i in range(k)]]

    inside = round(count / 2)
    return torch.cat([spread(centre, inside), spread(~centre, count - inside)]).sort().values


CENTRE_TARGETS = slips(
    _centre_targets,
    (
        "rows, columns = (height // 2, width // 2)",
        "Rows come from the height, columns from the width; yours are exchanged.",
        "rows, columns = (width // 2, height // 2)",
    ),
    (
        "height // 2, width // 2",
        "The centre is half as high and half as wide as the frame; yours has another size.",
        "height, width // 2; 2, width // 2; width // 2, width // 2; height // 3, width // 2; height // 2, width; "
        "height // 2, 2; height // 2, gamma // 2; height // 2, width // 3",
    ),
    (
        "(height - rows) // 2, (width - columns) // 2",
        "The centre does not lie in the middle with you: as much is left above as below it, and on both sides.",
        "(width - columns) // 2, (height - rows) // 2; 2 // (height - rows), (width - columns) // 2; height - rows, "
        "(width - columns) // 2; 2, (width - columns) // 2; (height + rows) // 2, (width - columns) // 2; (height - "
        "rows) // 3, (width - columns) // 2; (height - rows) // 2, 2 // (width - columns); (height - rows) // 2, "
        "width - columns; (height - rows) // 2, 2; (height - rows) // 2, (width + columns) // 2; (height - rows) // "
        "2, (gamma - columns) // 2; (height - rows) // 2, (width - frames) // 2; (height - rows) // 2, (width - "
        "columns) // 3",
    ),
    (
        "torch.zeros(frames, height, width, dtype=torch.bool)",
        "The mask has the shape (frames, height, width).",
        "torch.zeros(height, height, width, dtype=torch.bool); torch.zeros(frames, width, width, dtype=torch.bool); "
        "torch.zeros(frames, height, gamma, dtype=torch.bool)",
    ),
    (
        "top:top + rows, left:left + columns",
        "The rectangle is wrong by a row or a column: it goes from top to top + rows, and from left to left + columns.",
        "top + 1:top + rows, left:left + columns; top - 1:top + rows, left:left + columns; top:top + rows + 1, "
        "left:left + columns; top:top + rows - 1, left:left + columns; top:top + rows, left + 1:left + columns; "
        "top:top + rows, left - 1:left + columns; top:top + rows, left:left + columns + 1; top:top + rows, left:left "
        "+ columns - 1",
    ),
    (
        "top:top + rows, left:left + columns",
        "The rectangle goes from top to top + rows, and from left to left + columns; one of yours is another.",
        "left:top + rows, left:left + columns; top:rows, left:left + columns; top:left + rows, left:left + columns; "
        "top:top + columns, left:left + columns; top:top + rows, frames:left + columns; top:top + rows, "
        "left:columns; top:top + rows, left:frames + columns; top:top + rows, left:left + top",
    ),
    (
        "math.ceil(frames * height * width / gamma)",
        "The number of targets is ceil(N / gamma), with N = frames * height * width tokens in the film.",
        "math.ceil(frames * height * width * gamma); math.ceil(gamma / (frames * height * width)); math.ceil(frames "
        "* height * width); math.ceil(gamma); math.ceil((frames * height + width) / gamma); math.ceil(frames * "
        "height / gamma); math.ceil(width / gamma); math.ceil((frames + height) * width / gamma); math.ceil(frames * "
        "width / gamma); math.ceil(height * width / gamma); math.ceil(height * height * width / gamma); "
        "math.ceil(frames * width * width / gamma); math.ceil(frames * height * gamma / gamma)",
    ),
    (
        "mask.flatten().nonzero()[:, 0]",
        "Flatten the mask before you ask where it is true: positions count through the whole film.",
        "mask.nonzero()[:, 0]; mask.flatten().nonzero()[0, :]",
    ),
    (
        "positions[[i * len(positions) // k for i in range(k)]]",
        "Target i of k is the one with number i * m // k among the m tokens of its region; yours are others, or one "
        "is missing.",
        "positions[[k for i in range(k)]]; positions[[(i + len(positions)) // k for i in range(k)]]; "
        "positions[[len(positions) // k for i in range(k)]]; positions[[i * len(positions) // k for i in range(k - "
        "1)]]",
    ),
    (
        "round(count / 2)",
        "Half of T is rounded to the nearest, and to the even one in the middle, as round does.",
        "math.floor(count / 2); math.ceil(count / 2)",
    ),
    (
        "round(count / 2)",
        "Half of the T targets lie in the centre: round(T / 2).",
        "round(count * 2); round(2 / count); round(count); round(2); round(rows / 2); round(count / 3)",
    ),
    (
        "[spread(centre, inside), spread(~centre, count - inside)]",
        "The centre gets its half of the budget, the rest of the frame what is left of T; you spread another number, "
        "or over another region.",
        "[spread(centre, rows), spread(~centre, count - inside)]; [spread(centre, inside), spread(centre, count - "
        "inside)]; [spread(centre, inside), spread(~centre, count + inside)]; [spread(centre, inside), "
        "spread(~centre, inside - count)]; [spread(centre, inside), spread(~centre, count)]; [spread(centre, "
        "inside), spread(~centre, inside)]; [spread(centre, inside), spread(~centre, count - rows)]",
    ),
)


def _expected_coverage(inside: float, gamma: float, focus: str) -> float:
    if focus == "centre":
        return inside * 2 / gamma + (1 - inside) * 2 / (3 * gamma)
    # Unscaled, the boundary is taken with 2 / gamma and the centre with 2 / (3 gamma): 5/3 of the budget.
    return 3 / 5 * (inside * 2 / (3 * gamma) + (1 - inside) * 2 / gamma)


EXPECTED_COVERAGE = slips(
    _expected_coverage,
    (
        "focus == 'centre'",
        "The focus is not used: a dense centre needs other densities than a dense boundary.",
        "inside == 'centre'",
    ),
    (
        "inside * 2 / gamma + (1 - inside) * 2 / (3 * gamma)",
        "With a dense centre the patches in the centre and those outside both count, and are added up.",
        "inside * 2 / gamma - (1 - inside) * 2 / (3 * gamma); inside * 2 / gamma; (1 - inside) * 2 / (3 * gamma)",
    ),
    (
        "inside * 2 / gamma",
        "With a dense centre, a share 2 / gamma of what lies in the centre are targets; yours is another share.",
        "inside * 2 * gamma; gamma / (inside * 2); inside * 2; gamma; (inside + 2) / gamma; inside / gamma; 2 / "
        "gamma; gamma * 2 / gamma; inside * 3 / gamma",
    ),
    (
        "(1 - inside) * 2 / (3 * gamma)",
        "With a dense centre, a share 2 / (3 gamma) of what lies outside, 1 - inside, are targets; yours is another "
        "share.",
        "(1 - inside) * 2 * (3 * gamma); (1 - inside) * 2; 3 * gamma; (1 - inside + 2) / (3 * gamma); (1 - inside) / "
        "(3 * gamma); 2 / (3 * gamma); (1 + inside) * 2 / (3 * gamma); inside * 2 / (3 * gamma); (2 - inside) * 2 / "
        "(3 * gamma); (0 - inside) * 2 / (3 * gamma); (1 - gamma) * 2 / (3 * gamma); (1 - inside) * 3 / (3 * gamma); "
        "(1 - inside) * 2 / (3 + gamma); (1 - inside) * 2 / 3; (1 - inside) * 2 / gamma; (1 - inside) * 2 / (4 * "
        "gamma)",
    ),
    (
        "3 / 5 * (inside * 2 / (3 * gamma) + (1 - inside) * 2 / gamma)",
        "With a dense boundary the patches in the centre and those outside both count: add them up, then scale the "
        "sum.",
        "3 / 5 + (inside * 2 / (3 * gamma) + (1 - inside) * 2 / gamma); 3 / 5; 3 / 5 * (inside * 2 / (3 * gamma) - "
        "(1 - inside) * 2 / gamma); 3 / 5 * (inside * 2 / (3 * gamma)); 3 / 5 * ((1 - inside) * 2 / gamma)",
    ),
    (
        "3 / 5",
        "With a dense boundary the two densities are scaled by 3/5, so that the total is N / gamma; your factor is "
        "another.",
        "3 * 5; 5 / 3; 3; 5; 4 / 5; 2 / 5; 3 / 6; 3 / 4",
    ),
    (
        "inside * 2 / (3 * gamma)",
        "With a dense boundary, what lies in the centre has the lower density, 2 / (3 gamma) before it is scaled; "
        "yours is another.",
        "inside * 2 * (3 * gamma); 3 * gamma / (inside * 2); inside * 2; 3 * gamma; (inside + 2) / (3 * gamma); "
        "inside / (3 * gamma); 2 / (3 * gamma); gamma * 2 / (3 * gamma); inside * 3 / (3 * gamma); inside * 2 / (3 + "
        "gamma); inside * 2 / 3; inside * 2 / gamma; inside * 2 / (4 * gamma)",
    ),
    (
        "(1 - inside) * 2 / gamma",
        "With a dense boundary, what lies outside, 1 - inside, has the higher density, 2 / gamma before it is "
        "scaled; yours is another.",
        "(1 - inside) * 2 * gamma; (1 - inside) * 2; gamma; (1 - inside + 2) / gamma; (1 - inside) / gamma; 2 / "
        "gamma; (1 + inside) * 2 / gamma; inside * 2 / gamma; (2 - inside) * 2 / gamma; (0 - inside) * 2 / gamma; (1 "
        "- gamma) * 2 / gamma; (1 - inside) * 3 / gamma",
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


def _saliency(keys: Tensor, U: Tensor) -> Tensor:
    return torch.tanh(keys @ U)[:, 0]


SALIENCY = slips(
    _saliency,
    (
        "keys @ U",
        "A token's score is the product of its key with U: all D numbers of the key count.",
        "keys; U",
    ),
    (
        "torch.tanh(keys @ U)[:, 0]",
        "Take the first column, [:, 0]: one number for each token. You take the first row.",
        "torch.tanh(keys @ U)[0, :]",
    ),
)


def _guided_attention(q: Tensor, k: Tensor, v: Tensor, s: Tensor) -> Tensor:
    scores = (q @ k.T + s) / q.shape[1] ** 0.5
    return scores.softmax(dim=1) @ v


GUIDED_ATTENTION = slips(
    _guided_attention,
    (
        "(q @ k.T + s) / q.shape[1] ** 0.5",
        "The sum is divided by the square root of C, not multiplied by it or turned round.",
        "(q @ k.T + s) * q.shape[1] ** 0.5; q.shape[1] ** 0.5 / (q @ k.T + s)",
    ),
    (
        "q @ k.T + s",
        "s is added to the scores, not taken away.",
        "q @ k.T - s",
    ),
    (
        "q @ k.T",
        "A score is the product of a query with a key: a row for each query, a column for each key.",
        "k.T @ q; k.T; k @ k.T",
    ),
    (
        "q.shape[1] ** 0.5",
        "Divide by the square root of C, the length of a query: q.shape[1] ** 0.5.",
        "(q.shape[1] * 0.5); 0.5 ** q.shape[1]; 0.5; q.shape[0] ** 0.5; q.shape[1] ** 2.0",
    ),
    (
        "scores.softmax(dim=1) @ v",
        "The result is the weights, a softmax over each row of scores, times v.",
        "scores.softmax(dim=1); v; scores @ v; scores.softmax(dim=1) @ s",
    ),
)


def _gradient_of_saliency(q: Tensor, k: Tensor, v: Tensor, s: Tensor, g: Tensor) -> Tensor:
    root = q.shape[1] ** 0.5
    weights = ((q @ k.T + s) / root).softmax(dim=1)
    y = weights @ v
    towards = g @ v.T - (g * y).sum(dim=1, keepdim=True)  # g_i . (v_j - y_i)
    return (weights * towards).sum(dim=0) / root


GRADIENT_OF_SALIENCY = slips(
    _gradient_of_saliency,
    (
        "q.shape[1] ** 0.5",
        "The root is that of C, the length of a query: q.shape[1] ** 0.5.",
        "q.shape[1] * 0.5; 0.5 ** q.shape[1]; q.shape[1]; 0.5; q.shape[0] ** 0.5; q.shape[1] ** 2.0",
    ),
    (
        "((q @ k.T + s) / root).softmax(dim=1)",
        "The weights are those of eq. 10, softmax((q k^T + s) / sqrt(C)) over each row; yours are others.",
        "(q @ k.T + s) / root; ((q @ k.T + s) * root).softmax(dim=1); (root / (q @ k.T + s)).softmax(dim=1); (q @ "
        "k.T + s).softmax(dim=1); ((q @ k.T - s) / root).softmax(dim=1); (q @ k.T / root).softmax(dim=1); ((k @ k.T "
        "+ s) / root).softmax(dim=1); ((q @ k.T + g) / root).softmax(dim=1); ((q @ k.T + s) / q).softmax(dim=1); ((q "
        "@ k.T + s) / root).softmax(dim=0)",
    ),
    (
        "weights @ v",
        "y is eq. 10's output: the weights times v.",
        "weights; v; weights @ s",
    ),
    (
        "g @ v.T - (g * y).sum(dim=1, keepdim=True)",
        "v_j - y_i: y is taken away, not added.",
        "g @ v.T + (g * y).sum(dim=1, keepdim=True)",
    ),
    (
        "g @ v.T - (g * y).sum(dim=1, keepdim=True)",
        "The pull of token j on output i is g_i . v_j less g_i . y_i; a part of yours is missing or another.",
        "(g * y).sum(dim=1, keepdim=True); v.T @ g - (g * y).sum(dim=1, keepdim=True); g - (g * y).sum(dim=1, "
        "keepdim=True); v.T - (g * y).sum(dim=1, keepdim=True)",
    ),
    (
        "(g * y).sum(dim=1, keepdim=True)",
        "What is taken away is g_i . y_i, the sum over the E numbers of output i, as a column: one number for each "
        "row.",
        "(g * y).mean(dim=1, keepdim=True); (g * y).sum(dim=1); (g + y).sum(dim=1, keepdim=True); g.sum(dim=1, "
        "keepdim=True); y.sum(dim=1, keepdim=True); (root * y).sum(dim=1, keepdim=True); (g * q).sum(dim=1, "
        "keepdim=True); (g * y).sum(dim=0, keepdim=True)",
    ),
    (
        "(weights * towards).sum(dim=0) / root",
        "The gradient is the sum over the outputs i of weight times pull, divided by sqrt(C); one of the parts is "
        "missing or another.",
        "(weights * towards).sum(dim=0) * root; root / (weights * towards).sum(dim=0); root; (weights * "
        "towards).sum() / root; (weights + towards).sum(dim=0) / root; weights.sum(dim=0) / root; towards.sum(dim=0) "
        "/ root; (y * towards).sum(dim=0) / root; (weights * q).sum(dim=0) / root; (weights * towards).sum(dim=0) / "
        "weights",
    ),
)


def _drawn_targets(s: Tensor, count: int, temperature: float, noise: Tensor) -> Tensor:
    return (temperature * s + noise).topk(count).indices.sort().values


DRAWN_TARGETS = slips(
    _drawn_targets,
    (
        "temperature * s + noise",
        "The noise is added to temperature times s; you combine the three in another way.",
        "temperature * s - noise; noise * s + noise",
    ),
    (
        "(temperature * s + noise)",
        "These are the tokens that the noise likes best: the saliency is not used.",
        "noise",
    ),
)
