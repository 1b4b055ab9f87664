"""Exercise checks of lesson 06: motion from blocks, targets by motion, the camera's motion taken away."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .exercise import Case, Exercise, random
from .slips import motion as slips

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
