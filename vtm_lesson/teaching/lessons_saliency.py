"""Exercise checks of lessons 05 and 06: targets by region and by motion."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..merging.partition import uniform
from .comparing import OtherKind
from .exercise import Case, Exercise, random
from .slips import saliency as slips

# ---------------------------------------------------------------------------------------------------------------
# Lesson 05: region-concentrated merging
# ---------------------------------------------------------------------------------------------------------------


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
    try:
        positions = result.detach().cpu() if isinstance(result, Tensor) else torch.as_tensor(result)
    except (TypeError, ValueError, RuntimeError):
        return OtherKind("expected positions, whole numbers in one row: a tensor of shape (T,).")
    if positions.dim() != 1 or positions.dtype == torch.bool or positions.is_floating_point():
        return OtherKind("expected positions, whole numbers in one row: a tensor of shape (T,).")
    places, n = height * width, frames * height * width
    count = math.ceil(n / gamma)
    if len(positions) != count:
        return f"{count} targets are asked for, ceil({n} / {gamma:g}); you have {len(positions)}."
    if int(positions.min()) < 0 or int(positions.max()) >= n:
        return f"positions go from 0 to {n - 1}; yours go from {int(positions.min())} to {int(positions.max())}."
    if bool((positions.diff() <= 0).any()):
        return "positions are to ascend, each of them once; yours do not."
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


# ---------------------------------------------------------------------------------------------------------------
# Lesson 06: motion
# ---------------------------------------------------------------------------------------------------------------


Shift = tuple[float, int, int]  # cost, dx, dy


def _inside(previous: Tensor, y: int, x: int, height: int, width: int) -> Tensor | None:
    """The part of the frame that begins at (y, x); None where it reaches outside."""
    if 0 <= y <= previous.shape[0] - height and 0 <= x <= previous.shape[1] - width:
        return previous[y : y + height, x : x + width]
    return None


def _clamped(previous: Tensor, y: int, x: int, height: int, width: int) -> Tensor | None:
    y, x = min(max(y, 0), previous.shape[0] - height), min(max(x, 0), previous.shape[1] - width)
    return _inside(previous, y, x, height, width)


def _rolled(previous: Tensor, y: int, x: int, height: int, width: int) -> Tensor | None:
    return previous.roll((-y, -x), (0, 1))[:height, :width]


def _padded(previous: Tensor, y: int, x: int, height: int, width: int) -> Tensor | None:
    rows, columns = previous.shape
    return _inside(F.pad(previous, (columns, columns, rows, rows)), y + rows, x + columns, height, width)


def _absolute(found: Tensor, block: Tensor) -> Tensor:
    return (found - block).abs().sum()


def _unlike(found: Tensor, block: Tensor) -> Tensor:
    """The smaller, the more two patterns are alike, however bright they are and however strong their contrast."""
    patterns = [F.normalize((part - part.mean()).flatten(), dim=0) for part in (found, block)]
    return -patterns[0].dot(patterns[1])


def _first(shifts: list[Shift]) -> Shift:
    return min(shifts, key=lambda shift: shift[0])


def _shortest(shifts: list[Shift]) -> Shift:
    return min(shifts, key=lambda shift: (shift[0], shift[1] ** 2 + shift[2] ** 2))


def _motion_by(
    cost: Callable[[Tensor, Tensor], Tensor] = _absolute,
    part: Callable[[Tensor, int, int, int, int], Tensor | None] = _inside,
    best: Callable[[list[Shift]], Shift] = _first,
    span: Callable[[int], range] = lambda reach: range(-reach, reach + 1),
) -> Callable[[Tensor, Tensor, int, int, int], tuple[int, int]]:
    """`block_motion` with one thing wrong, and none by default."""

    def moved(previous: Tensor, block: Tensor, row: int, column: int, reach: int) -> tuple[int, int]:
        shifts = []
        for dx in span(reach):
            for dy in span(reach):
                found = part(previous, row - dy, column - dx, *block.shape)  # where it stood before it moved
                if found is not None:
                    shifts.append((cost(found, block).item(), dx, dy))
        return best(shifts)[1:]

    return moved


_block_motion = _motion_by()


def _first_dx(shifts: list[Shift]) -> Shift:
    """Of equal costs the one that is first when the way back is counted up, columns before rows."""
    return min(shifts, key=lambda shift: (shift[0], -shift[1], -shift[2]))


def _first_dy(shifts: list[Shift]) -> Shift:
    """The same, rows before columns."""
    return min(shifts, key=lambda shift: (shift[0], -shift[2], -shift[1]))


def _way_back(best: Callable[[list[Shift]], Shift]) -> Callable[..., tuple[int, ...]]:
    """`block_motion` with the sign turned round; of equal costs `best` takes one."""
    return lambda *a: tuple(-v for v in _motion_by(best=best)(*a))


def _frame(seed: int, height: int = 12, width: int = 12) -> Tensor:
    """A frame of whole numbers, so that sums are exact and ties are ties."""
    return random(seed, height, width).mul(50).round()


def _block_cases() -> list[Case]:
    cases: list[Case] = []
    moves = [(4, 4, 2, 1), (4, 6, -3, 0), (6, 3, 0, 2), (0, 0, -2, -1), (8, 8, 3, 3)]
    for seed, (row, column, dx, dy) in enumerate(moves):
        previous = _frame(seed)
        block = previous[row - dy : row - dy + 4, column - dx : column - dx + 4] + 1  # a little brighter, too
        words = "at the edge of the frame" if row in (0, 8) else f"a block that moved by ({dx}, {dy})"
        cases.append((words, (previous, block, row, column, 3)))
    for seed in (10, 11, 12):  # wide blocks that changed much on their way
        previous = _frame(seed, 10, 16)
        block = previous[3:6, 5:10] + _frame(seed + 10, 3, 5)
        cases.append((f"a noisy block, number {seed - 9}", (previous, block, 4, 6, 4)))
    return [*cases, *_cases_at_the_edge(), *_cases_of_choice()]


def _cases_at_the_edge() -> list[Case]:
    """Blocks whose best match a rule for places outside of the frame would find there."""
    previous = _frame(20, 10, 14)
    dark = previous + 300
    return [
        ("a block that came from the corner", (previous, previous[:3, :3] + 2, 2, 2, 3)),
        ("a block in the corner that stands still", (previous, previous[7:, 10:] + 2, 7, 10, 3)),
        ("what left on the right, on the left", (previous, previous.roll(2, 1)[4:8, :4], 4, 0, 3)),
        ("what left above, below", (previous, previous.roll(-2, 0)[6:, 5:9], 6, 5, 3)),
        ("a dark block at the edge of a bright frame", (dark, torch.full((4, 4), 20.0), 0, 5, 3)),
        ("a block that came from outside", (previous[:, 3:], previous[4:8, 1:5], 4, 0, 3)),
    ]


def _cases_of_choice() -> list[Case]:
    """Blocks with more than one place that they may have come from."""
    previous = _frame(30, 12, 18)
    noise = _frame(31, 4, 4).div(5).round()
    twice = previous.clone()
    twice[2:6, 2:6] = twice[4:8, 8:12] + noise + 150
    across, down = previous[:, torch.arange(18) % 3], previous[torch.arange(12) % 3]
    slanted = previous.clone()
    slanted[2:6, 7:11] = slanted[6:10, 5:9]  # by (-1, 2) and by (1, -2)
    nearly = slanted.clone()
    nearly[2, 7] += 0.4
    nearly[6, 5] += 0.3
    return [
        ("two places that fit, one to the left and down", (slanted, slanted[6:10, 5:9], 4, 6, 3)),
        ("two places that fit nearly as well", (nearly, slanted[6:10, 5:9], 4, 6, 3)),
        ("moved by more than reach", (previous, previous[4:8, 2:6], 4, 7, 2)),
        ("moved by one more than reach", (previous, previous[1:5, 8:12], 4, 8, 2)),
        ("moved far, within reach", (previous, previous[4:8, 4:8] + noise, 5, 10, 6)),
        ("a lamp goes on in its corner", (previous, _lit(previous[4:8, 6:10] + noise), 5, 8, 4)),
        ("the same pattern once more, brighter", (twice, previous[4:8, 8:12] + noise, 4, 6, 5)),
        ("stripes: two shifts to the side fit equally well", (across, across[4:8, 6:10], 4, 7, 3)),
        ("stripes: two shifts up and down fit equally well", (down, down[3:7, 6:10], 5, 6, 3)),
    ]


def _lit(block: Tensor) -> Tensor:
    block[0, 0] += 250
    return block


block_motion = Exercise(
    "block_motion",
    answer=_block_motion,
    cases=_block_cases,
    hints=(
        "Try every shift. If the block moved by `(dx, dy)` to `(row, column)`, where in the previous frame did it "
        "stand?",
        "It stood at row `y = row - dy` and column `x = column - dx`. Compare there: "
        "`(previous[y : y + h, x : x + w] - block).abs().sum()`. Leave out shifts that reach outside the previous "
        "frame.",
        "Two loops over `range(-reach, reach + 1)`, an `if` for the frame's edges, and `best = min(best, (cost, dx, "
        "dy))`, which also breaks ties as asked.",
    ),
    mistakes=(
        ("x and y are swapped: return (dx, dy), columns first.", lambda *a: _block_motion(*a)[::-1]),
        *(
            ("The sign is turned round: return how the block moved, from the previous frame to this one.", wrong)
            for wrong in (_way_back(_first), _way_back(_first_dx), _way_back(_first_dy))
        ),
        ("It takes the shift that fits worst: look for the least difference.", _motion_by(best=max)),
        ("It says that nothing moves.", lambda *a: (0, 0)),
        ("You compare one pixel only; compare the whole block.", _motion_by(lambda p, b: (p - b)[0, 0].abs())),
        (
            "You compare the first row of the block only; compare all of it.",
            _motion_by(lambda p, b: _absolute(p[0], b[0])),
        ),
        (
            "You add up differences with their signs: too bright here and too dark there cancel. Take .abs() first.",
            _motion_by(lambda p, b: (p - b).sum().abs()),
        ),
        (
            "You compare the largest difference; one pixel decides it. Add up the absolute differences of all.",
            _motion_by(lambda p, b: (p - b).abs().max()),
        ),
        (
            "You add up squares; asked is the sum of absolute differences, in which one pixel counts less.",
            _motion_by(lambda p, b: ((p - b) ** 2).sum()),
        ),
        (
            "You multiply the pixels: bright places win, whatever they show. Add up the absolute differences.",
            _motion_by(lambda p, b: -(p * b).sum()),
        ),
        (
            "You compare the patterns and forget how bright they are. Add up the absolute differences.",
            _motion_by(_unlike),
        ),
        (
            "`reach` is not used: look at shifts from -reach to reach, no others.",
            lambda p, b, row, column, reach: _block_motion(p, b, row, column, max(p.shape)),
        ),
        (
            "range(-reach, reach) ends before reach; both ends belong to it.",
            _motion_by(span=lambda reach: range(-reach, reach)),
        ),
        (
            "Shifts that reach outside of the frame are moved back to its edge; leave them out.",
            _motion_by(part=_clamped),
        ),
        (
            "What leaves the frame on one side comes back on the other, as torch.roll does it; leave such shifts out.",
            _motion_by(part=_rolled),
        ),
        (
            "Outside of the frame you compare with zeros; leave out shifts that reach there.",
            _motion_by(part=_padded),
        ),
        (
            "Of shifts that fit equally well you take the last; take the first, counting up from -reach.",
            _motion_by(best=lambda shifts: _first(shifts[::-1])),
        ),
        (
            "Of shifts that fit equally well you take the shortest; take the first, counting up from -reach.",
            _motion_by(best=_shortest),
        ),
        *slips.BLOCK_MOTION,
    ),
    minutes=12,
    difficulty=3,
    importance=3,
)


Length = Callable[[int, int, int], float]  # of motion_x, motion_y and motion_scale


def _map_by(
    length: Length = lambda x, y, scale: math.hypot(x, y) / scale, corner: bool = False
) -> Callable[[Tensor, int, int], Tensor]:
    """`motion_map` with one thing wrong, and none by default. corner: takes a block's middle for its upper corner."""

    def painted(blocks: Tensor, height: int, width: int) -> Tensor:
        moved = torch.zeros(height, width)
        for w, h, x, y, dx, dy, scale in blocks.tolist():
            top, left = (y, x) if corner else (y - h // 2, x - w // 2)
            moved[top : top + h, left : left + w] = length(dx, dy, scale)
        return moved

    return painted


def _blocks(*rows: tuple[int, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 7)


def _map_cases() -> list[Case]:
    side_by_side = _blocks((4, 4, 2, 2, 3, 4, 1), (4, 4, 6, 2, 0, -6, 2), (8, 4, 4, 6, -5, 0, 4))
    return [
        ("one block of 2 x 2", (_blocks((2, 2, 1, 1, 3, -4, 2)), 2, 3)),
        ("one block, in quarters of a pixel", (_blocks((2, 2, 3, 1, 12, 16, 4)), 2, 4)),
        ("a wide block low in the frame", (_blocks((4, 2, 2, 3, 5, 12, 4)), 4, 4)),
        ("no block at all", (_blocks(), 2, 3)),
        ("a block that stands still", (_blocks((2, 2, 1, 1, 0, 0, 4)), 2, 2)),
        ("three blocks side by side", (side_by_side, 8, 8)),
        ("a block that reaches beyond the frame", (_blocks((4, 4, 6, 2, 1, 1, 4), (4, 4, 2, 6, 7, 1, 4)), 6, 7)),
        ("half a pixel, and less than a quarter", (_blocks((2, 4, 1, 2, 1, 0, 2), (2, 4, 3, 2, 1, 1, 16)), 4, 6)),
    ]


motion_map = Exercise(
    "motion_map",
    answer=_map_by(),
    cases=_map_cases,
    hints=(
        "Work through the single block above by hand. Which pixels does it cover? How many pixels did it move, if "
        "`motion_scale` is 4?",
        "Two things are wrong. `dst_x, dst_y` is the middle of the block, and a vector is given in parts of a pixel.",
        "The block covers rows from `y - h // 2` on and columns from `x - w // 2` on; it moved "
        "`math.hypot(dx, dy) / scale` pixels.",
    ),
    mistakes=(
        (
            "Both faults are still there: the middle of a block is taken for its corner, and nothing is divided by "
            "motion_scale.",
            _map_by(length=lambda x, y, scale: math.hypot(x, y), corner=True),
        ),
        (
            "The places are right now. The vectors are still in parts of a pixel: divide by motion_scale.",
            _map_by(length=lambda x, y, scale: math.hypot(x, y)),
        ),
        (
            "The lengths are right now. The blocks still stand too far down and to the right: dst_x, dst_y is the "
            "middle of a block, not its corner.",
            _map_by(corner=True),
        ),
        (
            "motion_scale says how many parts a pixel has: divide by it, do not multiply.",
            _map_by(length=lambda x, y, scale: math.hypot(x, y) * scale),
        ),
        (
            "The division drops what comes after the point: a motion of half a pixel becomes 0. Use /, not //.",
            _map_by(length=lambda x, y, scale: math.hypot(x, y) // scale),
        ),
        (
            "The length of a vector is the root of the sum of the squares; you add the two parts.",
            _map_by(length=lambda x, y, scale: (abs(x) + abs(y)) / scale),
        ),
        (
            "The length of a vector is the root of the sum of the squares; the root is missing.",
            _map_by(length=lambda x, y, scale: (x * x + y * y) / scale**2),
        ),
        (
            "Only one of x and y is divided by motion_scale; divide the length.",
            _map_by(length=lambda x, y, scale: math.hypot(x, y / scale)),
        ),
        *slips.MOTION_MAP,
    ),
    minutes=8,
    difficulty=2,
    importance=3,
    kind="mend",
)


def _motion_probability(motion: Tensor, temperature: float) -> Tensor:
    score = motion.flatten()
    return (temperature * score / score.mean().clamp(min=1e-6)).softmax(0).view_as(motion)


def _probability_cases() -> list[Case]:
    cases: list[Case] = [
        ("a film in which nothing moves", (torch.zeros(2, 3, 3), 2.0)),
        ("a film in which hardly anything moves", (random(9, 3, 3, 4).abs() / 100, 2.0)),
    ]
    for seed in range(4):
        motion = random(seed, 2 + seed, 3, 4).abs() * 4.0**seed
        cases.append((f"random motion {seed}", (motion, 1.0 + seed / 2)))
    return cases


motion_probability = Exercise(
    "motion_probability",
    answer=_motion_probability,
    cases=_probability_cases,
    hints=(
        "One softmax over all tokens of the film: flatten first, and give it its shape back at the end.",
        "Divide by the film's mean motion, so that pixels and frame rates drop out. Then multiply by the temperature, "
        "take the softmax, and give it the old shape.",
        "A still film has mean 0: `.clamp(min=1e-6)` on the mean keeps 0 / 0 away, and all tokens get the same "
        "probability.",
    ),
    mistakes=(
        (
            "The softmax runs inside each row only; it has to run over all tokens of the film.",
            lambda m, t: (t * m / m.mean().clamp(min=1e-6)).softmax(-1),
        ),
        (
            "The softmax runs inside each frame; VTM draws from all tokens of the film.",
            lambda m, t: (t * m / m.mean().clamp(min=1e-6)).flatten(1).softmax(1).view_as(m),
        ),
        ("The motion is not divided by the film's mean.", lambda m, t: (t * m).flatten().softmax(0).view_as(m)),
        (
            "A still film gives NaN: its mean is 0, keep it from dividing.",
            lambda m, t: (t * m / m.mean()).flatten().softmax(0).view_as(m),
        ),
        ("The probabilities are shares of the motion; eq. 6 has a softmax.", lambda m, t: m / m.sum().clamp(min=1e-6)),
        (
            "The temperature has no effect.",
            lambda m, t: (m / m.mean().clamp(min=1e-6)).flatten().softmax(0).view_as(m),
        ),
        (
            "You divide by the temperature; here it multiplies, so that a larger one trusts motion more.",
            lambda m, t: (m / m.mean().clamp(min=1e-6) / t).flatten().softmax(0).view_as(m),
        ),
        (
            "You divide each frame by its own mean; the mean is that of the whole film.",
            lambda m, t: (t * m / m.mean((1, 2), keepdim=True).clamp(min=1e-6)).flatten().softmax(0).view_as(m),
        ),
        *(
            (
                "What keeps 0 from dividing also changes films that move a little: their mean may be 0.01 pixels. Keep "
                "it tiny, as .clamp(min=1e-6) does.",
                wrong,
            )
            for floor in (0.01, 0.1, 0.5, 1.0)
            for wrong in (
                lambda m, t, floor=floor: (t * m / m.mean().clamp(min=floor)).flatten().softmax(0).view_as(m),
                lambda m, t, floor=floor: (t * m / (m.mean() + floor / 10)).flatten().softmax(0).view_as(m),
            )
        ),
        *slips.MOTION_PROBABILITY,
    ),
    minutes=6,
    difficulty=2,
    importance=5,
)


def _without_camera(vectors: Tensor) -> Tensor:
    middle = vectors.flatten(1, 2).median(dim=1).values[:, None, None]
    return (vectors - middle).norm(dim=-1)


def _camera_cases() -> list[Case]:
    cases: list[Case] = []
    for seed in range(5):
        pan = random(seed, 3, 1, 1, 2) * 6
        vectors = pan + 0.1 * random(seed + 9, 3, 5, 5, 2)
        vectors[:, 1:3, 1:4] = random(seed + 20, 3, 2, 3, 2) * 3  # something that goes its own way
        cases.append((f"camera pan {seed}", (vectors,)))
    return cases


without_camera = Exercise(
    "without_camera",
    answer=_without_camera,
    cases=_camera_cases,
    hints=(
        "When the camera pans, most of the frame moves alike. What is the most ordinary vector of a frame?",
        "The median over all places of a frame, for x and y separately: "
        "`vectors.flatten(1, 2).median(dim=1).values`, one (x, y) for each frame.",
        "Subtract it from every vector of its frame, `vectors - camera[:, None, None]`, then take the length: "
        "`.norm(dim=-1)`.",
    ),
    mistakes=(
        (
            "You subtracted the mean: what moves by itself pulls it along. The median does not care.",
            lambda v: (v - v.flatten(1, 2).mean(1)[:, None, None]).norm(dim=-1),
        ),
        (
            "You took lengths first; two motions of the same length in different directions then look alike.",
            lambda v: (v.norm(dim=-1) - v.norm(dim=-1).flatten(1).median(1).values[:, None, None]).abs(),
        ),
        (
            "One median for the whole film: the camera moves differently in every frame.",
            lambda v: (v - v.flatten(0, 2).median(0).values).norm(dim=-1),
        ),
        ("Nothing was subtracted: these are the lengths of the vectors.", lambda v: v.norm(dim=-1)),
        *slips.WITHOUT_CAMERA,
    ),
    minutes=6,
    difficulty=2,
    importance=4,
)


Fit = Callable[[Tensor, Tensor], Tensor]  # vectors (L, h, w, 2) and weights (L, h, w) -> the residuals' length


def _fitted(
    power: float = 0.5,
    columns: tuple[int, ...] = (0, 1, 2),
    length: Callable[[Tensor, Tensor], Tensor] = lambda rest, model: rest.norm(dim=-1),
    unweighted: str = "",
    turned: bool = False,
    whole: bool = False,
) -> Fit:
    """`affine_camera` with one thing wrong, and none by default. columns: of 1, x, y, which the model has. unweighted:
    "places" or "vectors" are not multiplied. turned: places of an (w, h) grid. whole: one model for all frames."""

    def residual(vectors: Tensor, weight: Tensor) -> Tensor:
        frames, height, width, _ = vectors.shape
        sides = (width, height) if turned else (height, width)
        y, x = torch.meshgrid(*(torch.linspace(-1, 1, side).double() for side in sides), indexing="ij")
        places = torch.stack([torch.ones_like(x), x, y], -1).reshape(-1, 3)[:, list(columns)].expand(frames, -1, -1)
        given, root = vectors.double().flatten(1, 2), weight.double().flatten(1)[..., None] ** power
        a = places if unweighted == "places" else root * places
        b = given if unweighted == "vectors" else root * given
        if whole:
            model = torch.linalg.lstsq(a.flatten(0, 1), b.flatten(0, 1)).solution
        else:
            model = torch.linalg.lstsq(a, b).solution
        return length(given - places @ model, places @ model).float().view_as(weight)

    return residual


def _fit_cases() -> list[Case]:
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")
    even = torch.ones(1, 4, 6)
    pan, zoom, turn = (
        torch.stack(pair, -1)[None] for pair in ((x * 0 + 3, y * 0 - 1), (x / 5, y / 5), (-y / 4, x / 4))
    )
    figure = zoom.clone()
    figure[0, 1, 2] += torch.tensor([3.0, -4.0])
    unsure = even.clone()
    unsure[0, 1, 2] = 0.01
    cases: list[Case] = [
        ("nothing moves", (torch.zeros(1, 3, 3, 2), torch.ones(1, 3, 3))),
        ("a pan: all of it is the camera's", (pan, even)),
        ("a zoom", (zoom, even)),
        ("a turn", (turn, even)),
        ("a zoom, and one patch that goes its own way", (figure, even)),
        ("the same, and that patch counts a hundredth", (figure, unsure)),
        ("two frames, two cameras", (torch.cat([pan, turn]), even.repeat(2, 1, 1))),
    ]
    for seed in range(4):
        shape = (2, 3 + seed, 5)
        cases.append((f"random {seed}", (random(seed, *shape, 2) * 2, random(seed + 7, *shape).abs() + 0.05)))
    return cases


affine_camera = Exercise(
    "affine_camera",
    answer=_fitted(),
    cases=_fit_cases,
    hints=(
        "Two lines are fitted to each frame, one for `vx` and one for `vy`. Both have the columns 1, x and y, so one "
        "`torch.linalg.lstsq(places, vectors)` finds all six numbers: `places` is `(h * w, 3)`, `vectors` "
        "`(L, h * w, 2)`, the solution `(L, 3, 2)`.",
        "`places` is `torch.stack([one, x, y], dim=-1)`, each flattened; x counts columns, y rows, and their unit does "
        "not matter. A patch of weight w counts w times if its row of both sides is multiplied by the root of w: "
        "`root = weight.flatten(1).sqrt()[..., None]`.",
        "`camera = torch.linalg.lstsq(root * places, root * vectors.flatten(1, 2)).solution`. What is left is "
        "`vectors.flatten(1, 2) - places @ camera`, without the root. Return its length, in the shape of `weight`.",
    ),
    mistakes=(
        ("The weights have no effect: each patch is to count by its weight.", _fitted(power=0.0)),
        (
            "Squares are added up: multiply both sides by the root of the weight, or it counts twice.",
            _fitted(power=1.0),
        ),
        (
            "Only the places are multiplied by the root of the weight; both sides have to be.",
            _fitted(unweighted="vectors"),
        ),
        (
            "Only the vectors are multiplied by the root of the weight; both sides have to be.",
            _fitted(unweighted="places"),
        ),
        (
            "Your model has no constant: a pan moves every place alike, also the one where x and y are 0.",
            _fitted(columns=(1, 2)),
        ),
        ("Your model is a pan only, the mean vector: a zoom needs x and y.", _fitted(columns=(0,))),
        ("Your model does not use y, the row of a patch.", _fitted(columns=(0, 1))),
        ("Your model does not use x, the column of a patch.", _fitted(columns=(0, 2))),
        (
            "That is how far the camera moves each patch; asked is what is left of its vector.",
            _fitted(length=lambda rest, model: model.norm(dim=-1)),
        ),
        (
            "The length of a vector is the root of the sum of its squares; the root is missing.",
            _fitted(length=lambda rest, model: (rest**2).sum(-1)),
        ),
        (
            "The length of a vector is the root of the sum of its squares; you add x and y.",
            _fitted(length=lambda rest, model: rest.abs().sum(-1)),
        ),
        (
            "x and y do not belong to your patches: x counts columns, y rows, and a row is `w` patches long.",
            _fitted(turned=True),
        ),
        ("One camera for the whole film: it moves differently in every frame.", _fitted(whole=True)),
        ("Nothing was taken away: these are the lengths of the vectors.", lambda v, w: v.norm(dim=-1)),
        (
            "That is your turn 5, without the median vector: a zoom and a turn are still in it.",
            lambda v, w: _without_camera(v),
        ),
        (
            "What you return is still multiplied by the root of the weight; it belongs into the fit only.",
            lambda v, w: _fitted()(v, w) * w.sqrt(),
        ),
        *slips.AFFINE_CAMERA,
    ),
    minutes=10,
    difficulty=3,
    importance=4,
)
