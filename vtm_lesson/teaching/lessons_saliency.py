"""Exercise checks of lessons 05 to 07: region, motion, learnable."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..merging.partition import uniform
from . import slips_saliency
from .exercise import Case, Exercise, generator, random

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
        "Make a mask (frames, height, width), true in the centre; mask.flatten().nonzero()[:, 0] gives its positions.",
        "Fix the budget first: T = ceil(N / gamma), round(T / 2) of them inside. Then spread both.",
        "positions[i * len(positions) // k] is target i of k; join the two lists with torch.cat, then sort.",
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
        *slips_saliency.CENTRE_TARGETS,
    ),
    tolerance=0,
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
        "A partition factor of gamma / 2 means that a share 2 / gamma of the tokens there are targets.",
        "Boundary: swap the two densities. By which number must both be multiplied so that the total is N / gamma?",
        "By 3/5: the boundary has density 6 / (5 gamma), the centre 2 / (5 gamma).",
    ),
    mistakes=(
        (
            "For the boundary the swapped factors give 5/3 of the budget; scale both densities by 3/5.",
            lambda f, g, focus: (2 * f + (1 - f) * 2 / 3) / g if focus == "centre" else (f * 2 / 3 + 2 * (1 - f)) / g,
        ),
        ("The focus is not used: the boundary needs other densities.", lambda f, g, focus: _coverage(f, g, "centre")),
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
        *slips_saliency.EXPECTED_COVERAGE,
    ),
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
        "Try every shift. If the block moved by (dx, dy) to (row, column), where in the previous frame did it stand?",
        "It stood at (row - dy, column - dx). Compare there: (previous[y:y+h, x:x+w] - block).abs().sum(). Leave out "
        "shifts that reach outside the previous frame.",
        "Two loops over range(-reach, reach + 1), an if for the frame's edges, and keep the shift of least cost.",
    ),
    mistakes=(
        ("x and y are swapped: return (dx, dy), columns first.", lambda *a: _block_motion(*a)[::-1]),
        (
            "The sign is turned round: return how the block moved, from the previous frame to this one.",
            lambda *a: tuple(-v for v in _block_motion(*a)),
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
        *slips_saliency.BLOCK_MOTION,
    ),
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
        "Divide by the film's mean motion, so that pixels and frame rates drop out; then multiply by the temperature.",
        "A still film has mean 0: .clamp(min=1e-6) keeps 0 / 0 away, and all tokens get the same probability.",
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
        *(
            (
                "What keeps 0 from dividing also changes films that move a little: their mean may be 0.01 pixels. Keep "
                "it tiny, as .clamp(min=1e-6) does.",
                lambda m, t, floor=floor: (t * m / m.mean().clamp(min=floor)).flatten().softmax(0).view_as(m),
            )
            for floor in (0.1, 0.5, 1.0)
        ),
        *slips_saliency.MOTION_PROBABILITY,
    ),
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
        "The median over all places of a frame, for x and y separately: vectors.flatten(1, 2).median(dim=1).values.",
        "Subtract it from every vector of that frame, then take the length: .norm(dim=-1).",
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
        *slips_saliency.WITHOUT_CAMERA,
    ),
)


# ---------------------------------------------------------------------------------------------------------------
# Lesson 07: learnable merging
# ---------------------------------------------------------------------------------------------------------------


def _saliency(keys: Tensor, U: Tensor) -> Tensor:
    return torch.tanh(keys @ U)[:, 0]


saliency = Exercise(
    "saliency",
    answer=_saliency,
    cases=lambda: [
        ("U of zeros: nothing is known yet", (random(1, 5, 3), torch.zeros(3, 1))),
        ("three keys in the plane", (torch.tensor([[1.0, 0], [0, 2], [-1, -1]]), torch.tensor([[1.0], [0.5]]))),
        ("one token", (random(2, 1, 4), random(3, 4, 1))),
        *((f"random keys {i}", (random(i, 6 + i, 4), random(i + 20, 4, 1))) for i in range(4, 8)),
    ],
    hints=(
        "One number for each token: how far does its key point along U?",
        "keys @ U is a column, (N, 1). tanh brings any number into (-1, 1).",
        "torch.tanh(keys @ U)[:, 0]",
    ),
    mistakes=(
        ("The result is a column, (N, 1); give (N,).", lambda k, u: torch.tanh(k @ u)),
        ("There is no tanh: these numbers have no bounds.", lambda k, u: (k @ u)[:, 0]),
        ("That is a sigmoid, between 0 and 1; eq. 9 has tanh, between -1 and 1.", lambda k, u: (k @ u).sigmoid()[:, 0]),
        (
            "That is a softmax over the tokens; eq. 9 looks at every token by itself.",
            lambda k, u: (k @ u).softmax(0)[:, 0],
        ),
        (
            "The keys were brought to length 1 first. Matching compares directions only; eq. 9 takes keys as they are.",
            lambda k, u: torch.tanh(F.normalize(k, dim=1) @ u)[:, 0],
        ),
        *slips_saliency.SALIENCY,
    ),
)  # fmt: skip


def _guided(q: Tensor, k: Tensor, v: Tensor, s: Tensor) -> Tensor:
    return ((q @ k.T + s) / q.shape[1] ** 0.5).softmax(dim=1) @ v


def _guided_cases() -> list[Case]:
    flat, values = torch.zeros(3, 1), torch.tensor([[0.0], [4.0], [8.0]])
    cases: list[Case] = [("the toy of the text", (flat, flat, values, torch.tensor([0.0, math.log(2), 0.0])))]
    for seed in range(6):
        q, k, v = random(seed, 5, 4), random(seed + 10, 5, 4), random(seed + 20, 5, 3)
        cases.append((f"random tokens {seed}", (q, k, v, torch.tanh(random(seed + 30, 5)))))
    q, k, v, _ = cases[1][1]
    # At C = 4 the root of C and half of it are the same number.
    wide = (random(50, 4, 9), random(51, 4, 9), random(52, 4, 2), torch.tanh(random(53, 4)))
    return [*cases, ("s = 0 (plain attention)", (q, k, v, torch.zeros(5))), ("queries of nine numbers", wide)]


guided_attention = Exercise(
    "guided_attention",
    answer=_guided,
    cases=_guided_cases,
    hints=(
        "Every query gets the same bonus for key j: s[j]. Which axis of the (N, N) scores counts keys?",
        "Columns are keys. Adding s of shape (N,) to (N, N) adds it along the columns. It goes in before the softmax.",
        "scores = (q @ k.T + s) / sqrt(C); softmax over each row; then times v.",
    ),
    mistakes=(
        (
            "s has no effect. Was it added along the queries, one number for a whole row? A softmax ignores that: s "
            "belongs to the keys, the columns.",
            lambda q, k, v, s: _guided(q, k, v, torch.zeros_like(s)),
        ),
        (
            "s was multiplied into the weights after the softmax; they no longer add up to 1, and become negative.",
            lambda q, k, v, s: (((q @ k.T) / q.shape[1] ** 0.5).softmax(1) * s) @ v,
        ),
        (
            "The scores were multiplied by s; in eq. 10 s is added to them.",
            lambda q, k, v, s: (q @ k.T * s / q.shape[1] ** 0.5).softmax(1) @ v,
        ),
        (
            "s was added after the softmax; it belongs to the scores.",
            lambda q, k, v, s: (((q @ k.T) / q.shape[1] ** 0.5).softmax(1) + s) @ v,
        ),
        (
            "s was added after dividing by sqrt(C). (Lesson 02 adds log size there; in eq. 10 s is divided, too.)",
            lambda q, k, v, s: ((q @ k.T) / q.shape[1] ** 0.5 + s).softmax(1) @ v,
        ),
        (
            "The square root stands outside the softmax, as the paper prints it: outputs are sqrt(C) times too small.",
            lambda q, k, v, s: (q @ k.T + s).softmax(1) @ v / q.shape[1] ** 0.5,
        ),
        ("Nothing is divided by sqrt(C).", lambda q, k, v, s: (q @ k.T + s).softmax(1) @ v),
        (
            "C counts the numbers of a query, q.shape[1]; you take those of a value.",
            lambda q, k, v, s: ((q @ k.T + s) / v.shape[1] ** 0.5).softmax(1) @ v,
        ),
        (
            "It divides by C; eq. 10 has its square root.",
            lambda q, k, v, s: ((q @ k.T + s) / q.shape[1]).softmax(1) @ v,
        ),
        (
            "The softmax runs down the columns: each query's weights, a row, must add up to 1.",
            lambda q, k, v, s: ((q @ k.T + s) / q.shape[1] ** 0.5).softmax(0) @ v,
        ),
        *slips_saliency.GUIDED_ATTENTION,
    ),
)  # fmt: skip


def _pull(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    s: Tensor,
    g: Tensor,
    *,
    scaled: bool = True,
    middle: str = "output",
    sign: float = 1,
    axis: int = 0,
) -> Tensor:
    """The gradient of eq. 10 with respect to s, or one with a part missing."""
    root = q.shape[1] ** 0.5
    weights = ((q @ k.T + s) / root).softmax(dim=1)
    along = g @ v.T  # (N, N): g of output i, v of token j
    if middle == "output":
        along = along - (g * (weights @ v)).sum(1, keepdim=True)
    elif middle == "mean":
        along = along - g @ v.mean(0)[:, None]
    return sign * (weights * along).sum(axis) / (root if scaled else 1)


def _pull_cases() -> list[Case]:
    cases = enumerate(_guided_cases(), 40)
    return [(words, (*arguments, random(i, *arguments[2].shape))) for i, (words, arguments) in cases]


gradient_of_saliency = Exercise(
    "gradient_of_saliency",
    answer=_pull,
    cases=_pull_cases,
    hints=(
        "Do one output first: its derivative by s_j is the weight of token j, times (v_j - y), over sqrt(C).",
        "Every output i uses s_j, so sum over i: A[i, j] * ((v[j] - y[i]) . g[i]).",
        "A = the (N, N) weights, y = A @ v. pull = g @ v.T - (g * y).sum(1, keepdim=True); then "
        "(A * pull).sum(0) / sqrt(C).",
    ),
    mistakes=(
        (
            "The factor 1 / sqrt(C) is missing: s is divided by sqrt(C) before the softmax.",
            lambda *a: _pull(*a, scaled=False),
        ),
        (
            "The output y is not subtracted. Raising one weight lowers all others: what counts is v_j - y.",
            lambda *a: _pull(*a, middle="none"),
        ),
        (
            "You subtract the plain mean of v; it has to be the output y of that query.",
            lambda *a: _pull(*a, middle="mean"),
        ),
        ("The sign is turned round.", lambda *a: _pull(*a, sign=-1)),
        (
            "That is the mean over the outputs; every output adds its share, so it is a sum.",
            lambda *a: _pull(*a) / len(a[0]),
        ),
        (
            "You sum over the tokens j, which gives 0 for every output. Each output i uses s_j: sum over i, the rows.",
            lambda *a: _pull(*a, axis=1),
        ),
        (
            "You sum over the tokens j; each output i uses s_j, so sum over i, the rows. And subtract the output y.",
            lambda *a: _pull(*a, middle="none", axis=1),
        ),
        *slips_saliency.GRADIENT_OF_SALIENCY,
    ),
)  # fmt: skip


def _drawn(s: Tensor, count: int, temperature: float, noise: Tensor) -> Tensor:
    return (temperature * s + noise).topk(count).indices.sort().values


def _drawn_cases() -> list[Case]:
    s, noise = torch.tensor([0.9, -0.9, 0.1, 0.5, -0.2, 0.0]), torch.tensor([0.1, 2.5, 0.2, 1.0, 1.4, -0.6])
    cases: list[Case] = [(f"six tokens, temperature {t:g}", (s, 2, t, noise)) for t in (1.0, 6.0)]
    for seed in range(6):
        n = 30 + seed
        gumbel = -torch.empty(n).exponential_(generator=generator(seed)).log()
        cases.append((f"random tokens {seed}", (torch.tanh(random(seed + 9, n)), n // 6, 2.0 + seed, gumbel)))
    return cases


drawn_targets = Exercise(
    "drawn_targets",
    answer=_drawn,
    cases=_drawn_cases,
    hints=(
        "Noise decides between tokens of nearly equal score; the temperature makes the scores loud beside the noise.",
        "Only the saliency is multiplied. Add the noise afterwards, then take the `count` largest.",
        "(temperature * s + noise).topk(count).indices, sorted.",
    ),
    mistakes=(
        (
            "The temperature changes nothing. Is it left out, or does it multiply the noise, too?",
            lambda s, n, t, e: _drawn(s, n, 1.0, e),
        ),
        (
            "The temperature multiplies s; you divide s by it, or multiply the noise.",
            lambda s, n, t, e: _drawn(s, n, 1 / t, e),
        ),
        ("The noise is not used: these are the tokens of highest saliency.", lambda s, n, t, e: _drawn(s, n, t, 0 * e)),
        (
            "The right targets in the order of their scores; sort them by position.",
            lambda s, n, t, e: (t * s + e).topk(n).indices,
        ),
        ("Those are the tokens of lowest score.", lambda s, n, t, e: _drawn(-s, n, t, -e)),
        *slips_saliency.DRAWN_TARGETS,
    ),
    tolerance=0,
)  # fmt: skip
