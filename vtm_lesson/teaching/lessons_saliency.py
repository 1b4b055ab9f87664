"""Exercise checks of lessons 05 to 07: region, motion, learnable."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..merging.partition import region, uniform
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
) -> Tensor:
    """`centre_targets` with one thing wrong, and none by default. shift None: the rectangle starts in the corner."""
    rows, columns = height // 2, width // 2
    top, left = ((height - rows) // 2 + shift, (width - columns) // 2 + shift) if shift is not None else (0, 0)
    mask = torch.zeros(frames, height, width, dtype=torch.bool)
    mask[: 1 if first else frames, top : top + rows, left : left + columns] = True
    regions = [mask.flatten().nonzero()[:, 0], (~mask).flatten().nonzero()[:, 0]]
    count = math.ceil(frames * height * width / gamma)
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
    answer=lambda frames, height, width, gamma: region(frames, height, width, gamma),
    cases=lambda: [
        ("one frame of 4 x 4", (1, 4, 4, 4)),
        ("two frames, gamma does not divide N", (2, 4, 4, 3)),
        ("a frame of 6 x 6", (1, 6, 6, 4)),
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
            "That is every gamma-th token, naive VTM; here the centre is three times as dense.",
            lambda f, h, w, g: uniform(f * h * w, g),
        ),
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
    ),
)


# ---------------------------------------------------------------------------------------------------------------
# Lesson 06: motion
# ---------------------------------------------------------------------------------------------------------------


def _costs(previous: Tensor, block: Tensor, row: int, column: int, reach: int) -> list[tuple[float, int, int]]:
    """(cost, dx, dy) of every place that block may have come from; it moved by (dx, dy) to (row, column)."""
    height, width = block.shape
    found = []
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            y, x = row - dy, column - dx
            if 0 <= y <= previous.shape[0] - height and 0 <= x <= previous.shape[1] - width:
                cost = (previous[y : y + height, x : x + width] - block).abs().sum().item()
                found.append((cost, dx, dy))
    return found


def _block_motion(previous: Tensor, block: Tensor, row: int, column: int, reach: int) -> tuple[int, int]:
    _, dx, dy = min(_costs(previous, block, row, column, reach), key=lambda found: found[0])
    return dx, dy


def _block_motion_worst(*arguments) -> tuple[int, int]:
    _, dx, dy = max(_costs(*arguments), key=lambda found: found[0])
    return dx, dy


def _block_cases() -> list[Case]:
    cases: list[Case] = []
    moves = [(4, 4, 2, 1), (4, 6, -3, 0), (6, 3, 0, 2), (0, 0, -2, -1), (8, 8, 3, 3)]
    for seed, (row, column, dx, dy) in enumerate(moves):
        previous = random(seed, 12, 12).mul(50).round()
        block = previous[row - dy : row - dy + 4, column - dx : column - dx + 4] + 1  # a little brighter, too
        words = "at the edge of the frame" if row in (0, 8) else f"a block that moved by ({dx}, {dy})"
        cases.append((words, (previous, block, row, column, 3)))
    return cases


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
        ("It takes the shift that fits worst: look for the least difference.", _block_motion_worst),
        ("It says that nothing moves.", lambda *a: (0, 0)),
    ),
)


def _motion_probability(motion: Tensor, temperature: float) -> Tensor:
    score = motion.flatten()
    return (temperature * score / score.mean().clamp(min=1e-6)).softmax(0).view_as(motion)


def _probability_cases() -> list[Case]:
    cases: list[Case] = [("a film in which nothing moves", (torch.zeros(2, 3, 3), 2.0))]
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
    ),
)  # fmt: skip


def _guided(q: Tensor, k: Tensor, v: Tensor, s: Tensor) -> Tensor:
    return ((q @ k.T + s) / q.shape[1] ** 0.5).softmax(dim=1) @ v


def _guided_cases() -> list[Case]:
    flat, values = torch.zeros(3, 1), torch.tensor([[0.0], [4.0], [8.0]])
    cases: list[Case] = [("the toy of the text", (flat, flat, values, torch.tensor([0.0, math.log(2), 0.0])))]
    for seed in range(6):
        q, k, v = random(seed, 5, 4), random(seed + 10, 5, 4), random(seed + 20, 5, 4)
        cases.append((f"random tokens {seed}", (q, k, v, torch.tanh(random(seed + 30, 5)))))
    q, k, v, _ = cases[1][1]
    return [*cases, ("s = 0 (plain attention)", (q, k, v, torch.zeros(5)))]


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
            "It divides by C; eq. 10 has its square root.",
            lambda q, k, v, s: ((q @ k.T + s) / q.shape[1]).softmax(1) @ v,
        ),
        (
            "The softmax runs down the columns: each query's weights, a row, must add up to 1.",
            lambda q, k, v, s: ((q @ k.T + s) / q.shape[1] ** 0.5).softmax(0) @ v,
        ),
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
) -> Tensor:
    """The gradient of eq. 10 with respect to s, or one with a part missing."""
    root = q.shape[1] ** 0.5
    weights = ((q @ k.T + s) / root).softmax(dim=1)
    along = g @ v.T  # (N, N): g of output i, v of token j
    if middle == "output":
        along = along - (g * (weights @ v)).sum(1, keepdim=True)
    elif middle == "mean":
        along = along - g @ v.mean(0)[:, None]
    return sign * (weights * along).sum(0) / (root if scaled else 1)


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
        ("Here the temperature multiplies; you divide by it.", lambda s, n, t, e: _drawn(s, n, 1 / t, e)),
        ("The noise is not used: these are the tokens of highest saliency.", lambda s, n, t, e: _drawn(s, n, t, 0 * e)),
        (
            "The right targets in the order of their scores; sort them by position.",
            lambda s, n, t, e: (t * s + e).topk(n).indices,
        ),
        ("Those are the tokens of lowest score.", lambda s, n, t, e: _drawn(-s, n, t, -e)),
    ),
    tolerance=0,
)  # fmt: skip
