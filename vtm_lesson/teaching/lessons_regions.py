"""Exercise checks of lesson 05: targets by region, and when a guess about the region pays."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..merging.partition import uniform
from .exercise import Exercise
from .lessons_chunks import ascending
from .slips import regions as slips


def _regional(
    frames: int,
    height: int,
    width: int,
    gamma: float,
    *,
    shift: int | None = 0,
    dense: str = "centre",
    rounding: bool = False,
    order: bool = True,
    first: bool = False,
    whole: Callable[[float], int] = math.ceil,
) -> Tensor:
    """`centre_targets` with one thing wrong, and none by default. shift None: the rectangle starts in the corner."""
    rows, columns = height // 2, width // 2
    top, left = ((height - rows) // 2 + shift, (width - columns) // 2 + shift) if shift is not None else (0, 0)
    mask = torch.zeros(frames, height, width, dtype=torch.bool)
    mask[: 1 if first else frames, top : top + rows, left : left + columns] = True
    regions = [mask.flatten().nonzero()[:, 0], (~mask).flatten().nonzero()[:, 0]]
    count = whole(frames * height * width / gamma)
    inside = round(count / 2)
    if dense == "boundary":
        inside = round(count / 10)
    elif dense == "none":
        inside = round(count / 4)
    counts = [inside, count - inside]
    if rounding:  # each region by its own factor: budgets that need not add up to T
        counts = [math.ceil(len(p) / f) for p, f in zip(regions, (gamma / 2, 1.5 * gamma), strict=True)]
    picked = [p[[i * len(p) // k for i in range(k)]] if k else p[:0] for p, k in zip(regions, counts, strict=True)]
    joined = torch.cat(picked)
    return joined.sort().values if order else joined


centre_targets = Exercise(
    "centre_targets",
    answer=lambda frames, height, width, gamma: _regional(frames, height, width, gamma),
    cases=lambda: [
        ("one frame of 4 x 4", (1, 4, 4, 4)),
        ("two frames, gamma does not divide N", (2, 4, 4, 3)),
        ("a frame of 6 x 6", (1, 6, 6, 4)),
        ("a little more than five targets", (1, 4, 4, 3)),
        ("wide frames", (3, 4, 10, 5)),
        ("gamma 2: the whole centre", (2, 4, 8, 2)),
        ("gamma 2.5", (2, 6, 10, 2.5)),
        ("a single target", (1, 4, 4, 16)),
        ("12 frames of 12 x 12", (12, 12, 12, 6)),
        ("gamma 7", (5, 8, 12, 7)),
    ],
    hints=(
        "Make a mask of shape `(frames, height, width)` that is true in the centre. `mask.flatten().nonzero()[:, 0]` "
        "gives the positions of its tokens.",
        "Fix the budget first: `T = ceil(N / gamma)`, `round(T / 2)` of them inside. Then write one small function "
        "that spreads `k` targets over a list of positions, and use it for the mask and for `~mask`.",
        "`positions[i * len(positions) // k]` is target `i` of `k`. Join both lists and sort them: "
        "`torch.cat([...]).sort().values`.",
    ),
    mistakes=(
        (
            "Your rectangle is one row and one column too far down and to the right.",
            lambda *a: _regional(*a, shift=1),
        ),
        ("Your rectangle lies one row and one column too far up and left.", lambda *a: _regional(*a, shift=-1)),
        ("Your rectangle lies in the upper left corner, not in the middle.", lambda *a: _regional(*a, shift=None)),
        (
            "The budgets of the two regions do not add up to T: fix T first, give the centre round(T / 2), "
            "and the boundary the rest.",
            lambda *a: _regional(*a, rounding=True),
        ),
        ("The right targets, not in ascending order: sort them at the end.", lambda *a: _regional(*a, order=False)),
        ("That is dense at the boundary; the centre is to be dense.", lambda *a: _regional(*a, dense="boundary")),
        ("Both regions are equally dense; half of T belongs to the centre.", lambda *a: _regional(*a, dense="none")),
        ("The centre is there in the first frame only; every frame has one.", lambda *a: _regional(*a, first=True)),
        (
            "You round the number of targets to the nearest; T = ceil(N / gamma) rounds up.",
            lambda *a: _regional(*a, whole=round),
        ),
        (
            "You round the number of targets down; T = ceil(N / gamma) rounds up.",
            lambda *a: _regional(*a, whole=math.floor),
        ),
        (
            "That is every gamma-th token, naive VTM; here the centre is three times as dense.",
            lambda f, h, w, g: uniform(f * h * w, g),
        ),
        *slips.CENTRE_TARGETS,
    ),
    tolerance=0,
    minutes=10,
    difficulty=3,
    importance=4,
)


def _coverage(inside: float, gamma: float, focus: str) -> float:
    centre, boundary = (2, 2 / 3) if focus == "centre" else (0.4, 1.2)
    return (inside * centre + (1 - inside) * boundary) / gamma


expected_coverage = Exercise(
    "expected_coverage",
    answer=_coverage,
    cases=lambda: [
        (f"{name}, gamma {gamma}, {focus}", (inside, gamma, focus))
        for focus in ("centre", "boundary")
        for gamma in (6, 4, 10)
        for name, inside in (("all inside", 1.0), ("all outside", 0.0), ("a quarter inside", 0.25), ("60% inside", 0.6))
    ],
    hints=(
        "A partition factor of `gamma / 2` means that a share `2 / gamma` of the tokens there are targets.",
        "Boundary: swap the two densities. By which number must both be multiplied so that the total is `N / gamma` "
        "and not `5/3` of it?",
        "By `3/5`: the boundary has density `6 / (5 * gamma)`, the centre `2 / (5 * gamma)`. Recall is `inside` times "
        "the one plus `1 - inside` times the other.",
    ),
    mistakes=(
        (
            "For the boundary the swapped factors give 5/3 of the budget; scale both densities by 3/5.",
            lambda f, g, focus: (2 * f + (1 - f) * 2 / 3) / g if focus == "centre" else (f * 2 / 3 + 2 * (1 - f)) / g,
        ),
        ("The focus is not used: the boundary needs other densities.", lambda f, g, focus: _coverage(f, g, "centre")),
        (
            "The centre is right. For the boundary the two densities have changed places: there the outside is dense.",
            lambda f, g, focus: _coverage(f if focus == "centre" else 1 - f, g, focus),
        ),
        (
            "Centre and boundary are swapped.",
            lambda f, g, focus: _coverage(f, g, "boundary" if focus == "centre" else "centre"),
        ),
        ("That is chance, 1 / gamma; it does not depend on where the actor is.", lambda f, g, focus: 1 / g),
        (
            "The patches outside the dense region have targets too, only fewer.",
            lambda f, g, focus: f * 2 / g if focus == "centre" else 1.2 * (1 - f) / g,
        ),
        (
            "A factor of gamma / 2 makes targets of a share 2 / gamma: divide, do not multiply.",
            lambda f, g, focus: f * g / 2 + (1 - f) * 1.5 * g if focus == "centre" else (1 - f) * g / 2 + f * 1.5 * g,
        ),
        *slips.EXPECTED_COVERAGE,
    ),
    minutes=6,
    difficulty=2,
    importance=4,
)


def _guesses() -> tuple[str, float, float, int]:
    """What the chart of lesson 05 shows at gamma 6: chance is 1/6, the bars end at 0.33 and at 0.066."""
    return "boundary", 2.0, 0.4, 2


def _guesses_with(place: int, value: str | float) -> Callable[[], tuple]:
    """`guesses_that_pay` with one of its four results wrong."""
    return lambda: (*_guesses()[:place], value, *_guesses()[place + 1 :])


guesses_that_pay = Exercise(
    "guesses_that_pay",
    answer=_guesses,
    cases=lambda: [("the chart above", ())],
    hints=(
        "Begin with the dashed line: chance is `1/6`, about 0.167. Every gain and every loss is a bar's length divided "
        "by that.",
        "The longest of the nine bars and the shortest one stand in the same panel. For the last number compare "
        "intervals, the black lines: count a panel where all of the centre's lies to the right of all of random's.",
        "In the handheld panel the longest bar is the boundary's. Divide `0.33` by `0.167`, then `0.07` by `0.167`. In "
        "two of the three panels the centre's interval lies to the right of random's.",
    ),
    mistakes=(
        (
            "In handheld films the actor stands off the middle: look at the third panel again.",
            _guesses_with(0, "centre"),
        ),
        ("Random targets are not the best in the third panel: one bar is longer.", _guesses_with(0, "random")),
        (
            "The second and the third are shares of the actor's patches; asked are multiples of chance, so divide "
            "both by 1/6.",
            lambda: ("boundary", 0.33, 0.066, 2),
        ),
        *(
            (
                "The gain is the longest bar divided by chance, and above 1; yours is another number.",
                _guesses_with(1, value),
            )
            for value in (1.0, 4.0, -2.0, 3.0, 0.33, 0.167, 0.5, 1.37, 1.36, 1.12, 1.13)
        ),
        *(
            (
                "The loss is the shortest bar divided by chance, and below 1; yours is another number.",
                _guesses_with(2, value),
            )
            for value in (0.2, 0.8, -0.4, 1.4, -0.6, 0.6, 0.066, 2.5, 0.77, 0.78, 0.81)
        ),
        *(
            (
                "Count the panels in which the centre's whole interval lies to the right of random's whole interval; "
                "you count too many or too few.",
                _guesses_with(3, value),
            )
            for value in (0, 1, 3, 4, -2)
        ),
    ),
    tolerance=0.1,  # as well as one reads a chart
    minutes=4,
    difficulty=1,
    importance=3,
    kind="read",
)


Box = tuple[int, int, int, int]  # top, left, rows, columns


def _in_box(height: int, width: int, box: Box) -> Tensor:
    """(H * W,) bool: the places of one frame that lie in the box."""
    top, left, rows, columns = box
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[top : top + rows, left : left + columns] = True
    return inside.flatten()


def _box_targets(
    frames: int,
    height: int,
    width: int,
    gamma: float,
    box: Box,
    recall: float,
    *,
    whole: Callable[[float], int] = math.ceil,
    budget: Callable[[float], int] = math.ceil,
    turned: bool = False,
    first: bool = False,
    order: bool = True,
) -> Tensor:
    """`box_targets` with one thing wrong, and none by default."""
    inside = _in_box(height, width, (box[1], box[0], box[2], box[3]) if turned else box)
    count = budget(frames * height * width / gamma)
    per_frame = whole(recall * int(inside.sum()))
    chosen = torch.zeros(frames, height * width, dtype=torch.bool)
    chosen[:, inside.nonzero()[:per_frame, 0]] = True
    spare = (~inside).repeat(frames).nonzero()[:, 0]
    rest = count - int(chosen.sum())
    more = [i if first else i * len(spare) // rest for i in range(rest)]
    chosen = chosen.flatten()
    chosen[spare[more]] = True
    positions = chosen.nonzero()[:, 0]
    return positions if order else torch.cat([positions[1:], positions[:1]])


def _first_frames_only(frames: int, height: int, width: int, gamma: float, box: Box, recall: float) -> Tensor:
    """Enough of the box, counted over all frames in a row: the first frames have all of it, the last ones nothing."""
    inside = _in_box(height, width, box).repeat(frames)
    within, spare = inside.nonzero()[:, 0], (~inside).nonzero()[:, 0]
    within = within[: math.ceil(recall * len(within))]
    rest = math.ceil(frames * height * width / gamma) - len(within)
    return torch.cat([within, spare[[i * len(spare) // rest for i in range(rest)]]]).sort().values


def _judge_box(
    result: object, frames: int, height: int, width: int, gamma: float, box: Box, recall: float
) -> str | None:
    """What is wrong with the targets of `box_targets`, in one sentence; None if they do all that is asked."""
    places, n = height * width, frames * height * width
    count = math.ceil(n / gamma)
    positions = ascending(result, n, count, f"{count} targets are asked for, ceil({n} / {gamma:g})")
    if isinstance(positions, str):
        return positions
    chosen = torch.zeros(frames, places, dtype=torch.bool).flatten().index_fill(0, positions.long(), True)
    chosen, inside = chosen.view(frames, places), _in_box(height, width, box)
    found, size = chosen[:, inside].sum(1), int(inside.sum())
    worst = int(found.argmin())
    if int(found[worst]) < recall * size - 1e-6:
        return (
            f"in frame {worst} only {int(found[worst])} of the box's {size} places are targets; "
            f"a recall of {recall:g} needs {math.ceil(recall * size - 1e-6)}."
        )
    outside = chosen[:, ~inside].sum(1)
    if int(outside.min()) == 0:
        return f"frame {int(outside.argmin())} has no target outside the box; every frame needs one."
    return None


def _tight(frames: int, height: int, width: int, box: Box, per_frame: int) -> tuple:
    """An input of `box_targets` with just enough targets: in every frame so many in the box, and one outside."""
    size = box[2] * box[3]
    return frames, height, width, height * width / (per_frame + 1), box, per_frame / size


box_targets = Exercise(
    "box_targets",
    answer=_box_targets,
    cases=lambda: [
        ("one frame of 2 x 4", (1, 2, 4, 4, (0, 0, 1, 2), 0.5)),
        ("half a place: rounded up", (2, 4, 4, 2, (1, 1, 1, 3), 0.5)),
        ("all of the box, and just enough targets", _tight(3, 4, 4, (1, 2, 2, 1), 2)),
        ("half of the box, and just enough targets", _tight(4, 4, 6, (0, 2, 4, 2), 4)),
        ("a recall of 0", (3, 4, 5, 3, (2, 0, 2, 3), 0.0)),
        ("more targets than frames of places outside", (2, 4, 6, 2, (0, 0, 3, 4), 0.25)),
        ("gamma does not divide N", (3, 5, 5, 3.5, (3, 1, 2, 4), 0.6)),
        ("the handheld film", (12, 12, 12, 6, (4, 1, 4, 2), 0.9)),
        ("a box in the corner", (5, 6, 9, 4, (4, 6, 2, 3), 1.0)),
    ],
    hints=(
        "Two budgets. In every frame the box needs `ceil(recall * rows * columns)` targets. What is left of `T` goes "
        "outside.",
        "Make a mask `(height, width)` of the box. Its first places, as many as are needed, are targets in every "
        "frame. The rest must reach all frames: spread it over the places outside, all frames in a row, as in "
        "`centre_targets`.",
        "`spare = (~mask).flatten().repeat(frames).nonzero()[:, 0]` are the positions outside, and "
        "`spare[[i * len(spare) // rest for i in range(rest)]]` are `rest` of them in all frames. Mark both kinds in a "
        "mask `(frames, height * width)`, then `flatten().nonzero()[:, 0]`.",
    ),
    mistakes=(
        (
            "The box begins in row `top` and column `left`; you exchange the two.",
            lambda *a: _box_targets(*a, turned=True),
        ),
        (
            "A recall of at least that much: round the number of places in the box up, not down.",
            lambda *a: _box_targets(*a, whole=math.floor),
        ),
        (
            "You count the recall over all frames together; every frame needs its share.",
            _first_frames_only,
        ),
        (
            "You take the first places outside, and later frames have none: spread them over all frames.",
            lambda *a: _box_targets(*a, first=True),
        ),
        *slips.BOX_TARGETS,
    ),
    tolerance=0,
    minutes=12,
    difficulty=3,
    importance=3,
    kind="design",
    judge=_judge_box,
)


def _centre_share(blocks: int, share: float, ratio: float) -> float:
    for _ in range(blocks):
        share = ratio * share / (ratio * share + 1 - share)
    return share


centre_share = Exercise(
    "centre_share",
    answer=_centre_share,
    cases=lambda: [
        ("no block", (0, 0.25, 3.0)),
        ("one block", (1, 0.25, 3.0)),
        ("three blocks", (3, 0.25, 3.0)),
        ("one block, another centre", (1, 0.5, 4.0)),
        ("two blocks, equally dense", (2, 0.3, 1.0)),
        ("two blocks, dense outside", (2, 0.25, 1 / 3)),
        ("nothing lies in the centre", (2, 0.0, 3.0)),
        ("everything lies in the centre", (2, 1.0, 3.0)),
        ("many blocks", (40, 0.1, 3.0)),
    ],
    hints=(
        "One block first. Of 4 tokens one lies in the centre. If it counts three times, in which proportion are "
        "targets inside and outside?",
        "3 inside to 3 outside, so one half. In general `ratio * share` to `1 - share`: divide the first by the sum of "
        "both.",
        "A loop over `range(blocks)`, in it `share = ratio * share / (ratio * share + 1 - share)`.",
    ),
    mistakes=(
        ("That is one block, whatever `blocks` says: repeat it.", lambda b, s, r: _centre_share(1, s, r)),
        (
            "The share grows by less than `ratio` in each block: what it gains is gained outside of it, and it can "
            "never be more than 1.",
            lambda b, s, r: s * r**b,
        ),
        ("The share is cut off at 1; it comes near to 1 and never beyond.", lambda b, s, r: min(1.0, s * r**b)),
        (
            "That is how many times it grew; asked is the share itself.",
            lambda b, s, r: _centre_share(b, s, r) / (s or 1),
        ),
        ("That is the share of what lies outside.", lambda b, s, r: 1 - _centre_share(b, s, r)),
        (
            "You divide inside by outside; a share is inside divided by both together.",
            lambda b, s, r: r**b * s / (1 - s) if s < 1 else math.inf,
        ),
        ("Nothing changes from block to block with you.", lambda b, s, r: s),
        *slips.CENTRE_SHARE,
    ),
    minutes=5,
    difficulty=2,
    importance=2,
    kind="compute",
)
