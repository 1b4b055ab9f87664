"""The right answers of lesson 05 written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .making import slips


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


def _box_targets(
    frames: int, height: int, width: int, gamma: float, box: tuple[int, int, int, int], recall: float
) -> Tensor:
    top, left, rows, columns = box
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[top : top + rows, left : left + columns] = True
    per_frame = math.ceil(recall * rows * columns)
    rest = math.ceil(frames * height * width / gamma) - frames * per_frame
    chosen = torch.zeros(frames, height * width, dtype=torch.bool)
    chosen[:, mask.flatten().nonzero()[:per_frame, 0]] = True
    chosen, spare = chosen.flatten(), (~mask).flatten().repeat(frames).nonzero()[:, 0]
    chosen[spare[[i * len(spare) // rest for i in range(rest)]]] = True
    return chosen.nonzero()[:, 0]


BOX_TARGETS = slips(
    _box_targets,
)


def _centre_share(blocks: int, share: float, ratio: float) -> float:
    for _ in range(blocks):
        share = ratio * share / (ratio * share + 1 - share)
    return share


CENTRE_SHARE = slips(
    _centre_share,
    (
        "range(blocks)",
        "Repeat it `blocks` times, no more often and no less.",
        "range(blocks + 1); range(blocks - 1)",
    ),
    (
        "ratio * share / (ratio * share + 1 - share)",
        "After a block the centre counts ratio * share and the rest 1 - share: its new share is the first divided by "
        "the sum of both, and you have another fraction.",
        "ratio * share * (ratio * share + 1 - share); (ratio * share + 1 - share) / (ratio * share); ratio * share + "
        "1 - share; (ratio + share) / (ratio * share + 1 - share); ratio / (ratio * share + 1 - share); share / "
        "(ratio * share + 1 - share); _ * share / (ratio * share + 1 - share); ratio * ratio / (ratio * share + 1 - "
        "share); ratio * share / (ratio * share + 1 + share); ratio * share / (share - (ratio * share + 1)); ratio * "
        "share / (ratio * share + 1); ratio * share / share; ratio * share / (ratio * share - 1 - share); ratio * "
        "share / (ratio * share - share); ratio * share / (1 - share); ratio * share / (ratio + share + 1 - share); "
        "ratio * share / (ratio + 1 - share); ratio * share / (share + 1 - share); ratio * share / (_ * share + 1 - "
        "share); ratio * share / (ratio * ratio + 1 - share); ratio * share / (ratio * share + 2 - share); ratio * "
        "share / (ratio * share + 0 - share); ratio * share / (ratio * share + 1 - ratio)",
    ),
)
