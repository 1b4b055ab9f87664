"""The exercise checks: `checks.nearest_target(your_function)` says what was expected, what you gave, and a hint.

Every check compares your function with the package's on random and on awkward input (ties, zeros, one target). A
wrong answer is also compared with the mistakes people make here, so that the message can name yours. Each failed try
shows the next of three hints; `checks.nearest_target.hint()` shows one without trying.

Nothing here stops a notebook: an unsolved or wrong exercise prints what is missing, and the cells after it use the
package. Only while nbgrader grades (it sets NBGRADER_EXECUTION) does a failed check raise AssertionError.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .merging import match, nearest
from .partition import region, uniform

Case = tuple[str, tuple]  # a few words that say what is special about it, and the arguments


@dataclass
class Exercise:
    """A check: call it with the learner's function.

    answer: the right function. cases: makes the inputs, the same ones each time. hints: three, from a nudge to nearly
    the answer. mistakes: (what to say, the wrong function) pairs; a learner's output that equals a mistake's on every
    case is told so. tolerance: how far numbers may lie apart.
    """

    name: str
    answer: Callable
    cases: Callable[[], Iterable[Case]]
    hints: Sequence[str]
    mistakes: Sequence[tuple[str, Callable]] = ()
    tolerance: float = 1e-4
    tries: int = field(default=0, repr=False)

    def __call__(self, given: Callable) -> None:
        problem = self._problem(given)
        if problem is None:
            count = len(list(self.cases()))
            print(f"✓ {self.name}: right on all {count} inputs, the awkward ones included.")
            return
        if os.environ.get("NBGRADER_EXECUTION"):
            raise AssertionError(problem)
        print(problem)
        if not problem.startswith("…"):
            self.hint()

    def hint(self, step: int | None = None) -> None:
        """Print hint 1, 2 or 3; without a number, the next one."""
        if step is None:
            self.tries += 1
            step = min(self.tries, len(self.hints))
        if not 1 <= step <= len(self.hints):
            raise ValueError(f"{self.name} has hints 1 to {len(self.hints)}; {step} was asked for.")
        print(f"  Hint {step} of {len(self.hints)}: {self.hints[step - 1]}")

    def _problem(self, given: Callable) -> str | None:
        """What is wrong with the learner's function, in words; None if nothing is."""
        if not callable(given):
            return f"✗ {self.name}: give the function itself, without brackets; this is a {type(given).__name__}."
        for words, arguments in self.cases():
            own = copy.deepcopy(arguments)
            try:
                result = given(*own)
            except NotImplementedError:
                return f"… {self.name} is not solved yet. Fill in the function above and run both cells again."
            except Exception as error:  # whatever a learner's function may raise is news for the learner
                return f"✗ {self.name}, {words}: your function stopped with {type(error).__name__}: {error}"
            if difference(own, arguments) is not None:
                return f"✗ {self.name}, {words}: your function changed its input; work on a copy."
            expected = self.answer(*copy.deepcopy(arguments))
            what = difference(result, expected, self.tolerance)
            if what is not None:
                named = self._known_mistake(given)
                lines = [f"✗ {self.name}, {words}: {what}"]
                lines += [f"  {named}"] if named else []
                lines += _side_by_side(arguments, expected, result)
                return "\n".join(lines)
        return None

    def _known_mistake(self, given: Callable) -> str | None:
        for words, mistake in self.mistakes:
            if all(_same_outcome(given, mistake, arguments, self.tolerance) for _, arguments in self.cases()):
                return words
        return None


def difference(given: Any, expected: Any, tolerance: float = 1e-4) -> str | None:
    """How `given` differs from `expected`, in words; None if it does not. Tensors, numbers, tuples of them."""
    if given is None:
        return "the function returned nothing; does it end with return?"
    if isinstance(expected, tuple):
        if not isinstance(given, (tuple, list)) or len(given) != len(expected):
            return f"expected {len(expected)} results, got {_kind(given)}."
        for i, (g, e) in enumerate(zip(given, expected, strict=True)):
            what = difference(g, e, tolerance)
            if what is not None:
                return f"result {i + 1} of {len(expected)}: {what}"
        return None
    if isinstance(expected, Tensor):
        return _tensor_difference(given, expected, tolerance)
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        if isinstance(given, Tensor) and given.numel() == 1:
            given = given.item()
        if not isinstance(given, (int, float)):
            return f"expected a number, got {_kind(given)}."
        if not abs(given - expected) <= tolerance * max(1.0, abs(expected)):
            return f"expected {expected:.6g}, got {given:.6g}."
        return None
    try:
        equal = bool(given == expected)
    except Exception:
        equal = False
    return None if equal else f"expected {expected!r}, got {given!r}."


def _tensor_difference(given: Any, expected: Tensor, tolerance: float) -> str | None:
    if not isinstance(given, Tensor):
        try:
            given = torch.as_tensor(given)
        except Exception:
            return f"expected a tensor, got {_kind(given)}."
    if given.shape != expected.shape:
        return f"expected shape {tuple(expected.shape)}, got {tuple(given.shape)}."
    if given.is_floating_point() and bool(given.isnan().any()) and not bool(expected.isnan().any()):
        return f"{int(given.isnan().sum())} of your numbers are NaN."
    if not expected.is_floating_point() and given.is_floating_point():
        return f"expected whole numbers ({expected.dtype}), got {given.dtype}."
    wrong = ~torch.isclose(given.double(), expected.double(), rtol=tolerance, atol=tolerance, equal_nan=True)
    if bool(wrong.any()):
        first = tuple(int(i) for i in wrong.nonzero()[0])
        place = f" at {list(first)}" if first else ""
        return (
            f"{int(wrong.sum())} of {wrong.numel()} numbers differ; the first{place}: "
            f"expected {expected[first].item():.6g}, got {given[first].item():.6g}."
        )
    return None


def _same_outcome(given: Callable, mistake: Callable, arguments: tuple, tolerance: float) -> bool:
    """Whether two functions give the same result, or both fail, on the same input."""
    outcomes = []
    for function in (given, mistake):
        try:
            outcomes.append(function(*copy.deepcopy(arguments)))
        except Exception:
            outcomes.append(None)
    return (outcomes[0] is None) == (outcomes[1] is None) and (
        outcomes[0] is None or difference(outcomes[0], outcomes[1], tolerance) is None
    )


def _kind(x: Any) -> str:
    if isinstance(x, Tensor):
        return f"a tensor of shape {tuple(x.shape)}"
    if isinstance(x, (tuple, list)):
        return f"{len(x)} results"
    return f"a {type(x).__name__}"


def _side_by_side(arguments: tuple, expected: Any, given: Any) -> list[str]:
    """The input, what was expected and what was given, as text, where they are small enough to read."""
    rows = [("input", arguments), ("expected", expected), ("yours", given)]
    texts = [(name, _text(value)) for name, value in rows]
    return [f"  {name:>8}: {text}" for name, text in texts if text]


def _text(x: Any) -> str:
    if isinstance(x, Tensor):
        if x.numel() > 24:
            return f"tensor of shape {tuple(x.shape)}"
        return str((x.double() * 1e4).round().div(1e4).tolist() if x.is_floating_point() else x.tolist())
    if isinstance(x, (tuple, list)):
        return " | ".join(_text(part) for part in x)
    return f"{x:.6g}" if isinstance(x, float) else repr(x)


# ---------------------------------------------------------------------------------------------------------------
# Lesson 02: bipartite matching
# ---------------------------------------------------------------------------------------------------------------


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=_generator(seed))


def _halves(n: int) -> tuple[Tensor, Tensor]:
    return torch.arange(0, n, 2), torch.arange(1, n, 2)


alternate = Exercise(
    "alternate",
    answer=_halves,
    cases=lambda: [(f"{n} tokens", (n,)) for n in (6, 8, 7, 2, 31)],
    hints=(
        "ToMe's targets are the odd positions 1, 3, 5, …; the sources are the even ones.",
        "torch.arange(start, end, step) counts in steps. Where does each half start?",
        "sources = torch.arange(0, n, 2); the targets start one later.",
    ),
    mistakes=(
        ("Your two halves are swapped: here sources are the even positions.", lambda n: _halves(n)[::-1]),
        (
            "You split into a first and a second half; neighbours then land on the same side.",
            lambda n: (torch.arange(0, (n + 1) // 2), torch.arange((n + 1) // 2, n)),
        ),
        ("The last token is lost when n is odd.", lambda n: (torch.arange(0, n - 1, 2), torch.arange(1, n, 2))),
    ),
)


def _cosines(keys: Tensor, sources: Tensor, targets: Tensor) -> Tensor:
    unit = F.normalize(keys, dim=1)
    return unit[sources] @ unit[targets].T


def _nearest_answer(keys: Tensor, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    best, similarity = nearest(keys[None], targets[None], sources[None])
    return best[0], similarity[0]


def _pick(scores: Tensor) -> tuple[Tensor, Tensor]:
    best = scores.argmax(dim=1)
    return best, scores.gather(1, best[:, None])[:, 0]


def _nearest_of_targets(keys: Tensor, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    best, similarity = _nearest_answer(keys, sources, targets)
    return targets[best], similarity


def _nearest_worst(keys: Tensor, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    best, similarity = _pick(-_cosines(keys, sources, targets))
    return best, -similarity


def _nearest_cases() -> list[Case]:
    cases: list[Case] = [
        ("four tokens in the plane", (torch.tensor([[1.0, 0.2], [1, 0], [0, 3], [0, 1]]), *_halves(4))),
        # Long keys win a plain dot product; only the direction may count.
        ("one very long key", (torch.tensor([[1.0, 0.1], [1, 0], [1, 0.3], [5, 50]]), *_halves(4))),
        ("two equal targets (a tie)", (torch.tensor([[1.0, 0], [1, 0], [0, 1], [1, 0], [2, 0], [0, 2]]), *_halves(6))),
        ("a key of zeros", (torch.tensor([[1.0, 2], [0, 0], [2, 1], [1, 1], [0, 0], [3, 1]]), *_halves(6))),
        ("one target", (_random(1, 9, 4), torch.arange(1, 9), torch.arange(1))),
    ]
    cases += [(f"random keys {i}", (_random(i, 20 + i, 5), *_halves(20 + i))) for i in range(10)]
    return cases


nearest_target = Exercise(
    "nearest_target",
    answer=_nearest_answer,
    cases=_nearest_cases,
    hints=(
        "Cosine similarity looks at directions only: what must happen to the keys before they are multiplied?",
        "Divide every key by its length (F.normalize keeps keys of zeros zero), then one matrix product gives all "
        "cosines, a row per source and a column per target.",
        "scores = unit[sources] @ unit[targets].T; then the best column of each row and its score.",
    ),
    mistakes=(
        (
            "It looks like plain dot products: long keys win. Divide each key by its length first.",
            lambda k, s, t: _pick(k[s] @ k[t].T),
        ),
        ("It picks the least similar target: argmin in place of argmax.", _nearest_worst),
        (
            "It picks the right targets, but says which token they are; say which target: 0 to T - 1.",
            _nearest_of_targets,
        ),
        (
            "The keys seem to be normalised along the wrong axis: over the tokens instead of within each key.",
            lambda k, s, t: _pick(F.normalize(k, dim=0)[s] @ F.normalize(k, dim=0)[t].T),
        ),
        (
            "It looks for each target's best source; here every source looks for its best target.",
            lambda k, s, t: _pick(_cosines(k, s, t).T),
        ),
        (
            "A key of zeros was divided by its length 0 and became NaN: F.normalize, or clamp the length.",
            lambda k, s, t: _pick((k / k.norm(dim=1, keepdim=True))[s] @ (k / k.norm(dim=1, keepdim=True))[t].T),
        ),
    ),
)


def _tome_step(x: Tensor, keys: Tensor, r: int) -> Tensor:
    return match(keys[None], _halves(len(x))[1], r)(x[None])[0]


def _tome_variant(
    x: Tensor, keys: Tensor, r: int, *, unit: bool = True, lowest: bool = False, how: str = "mean", order: bool = True
) -> Tensor:
    """ToMe's step with one thing wrong: the mistakes of `tome_step`, and none of them by default."""
    sources, targets = _halves(len(x))
    k = F.normalize(keys, dim=1) if unit else keys
    best, similarity = _pick(k[sources] @ k[targets].T)
    ranked = similarity.argsort(descending=not lowest, stable=True)
    merged, left = ranked[:r], ranked[r:].sort().values
    total, count = x[targets].clone(), torch.ones(len(targets))
    total.index_add_(0, best[merged], x[sources[merged]])
    count.index_add_(0, best[merged], torch.ones(r))
    if how == "mean":
        total = total / count[:, None]
    elif how == "sources only":  # forgets that the target itself is one of the tokens averaged
        total = torch.where(count[:, None] > 1, total - x[targets], total) / (count - 1).clamp(min=1)[:, None]
    elif how == "drop":
        total = x[targets]
    y, at = torch.cat([x[sources[left]], total]), torch.cat([sources[left], targets])
    return y[at.argsort()] if order else y


def _tome_cases() -> list[Case]:
    line = torch.tensor([[1.0, 0.1], [1, 0], [0.2, 1], [0, 1], [-1, 0.5], [-1, 0]])
    cases: list[Case] = [
        ("six tokens, r = 1", (line * 2, line, 1)),
        ("six tokens, r = 3 (all sources)", (line * 2, line, 3)),
        ("r = 0 (nothing to merge)", (line, line, 0)),
        ("two sources for one target", (torch.tensor([[2.0], [4], [9], [7]]), torch.eye(2)[[0, 0, 0, 1]], 2)),
    ]
    for seed in range(10):
        n = 10 + 3 * seed
        cases.append((f"random tokens {seed}", (_random(seed, n, 4), _random(seed + 50, n, 6) + 1.0, 1 + n // 5)))
    return cases


tome_step = Exercise(
    "tome_step",
    answer=_tome_step,
    cases=_tome_cases,
    hints=(
        "Three steps: split, find each source's best target and similarity, merge the r most similar sources.",
        "A target's new value is (itself + its merged sources) / (1 + how many). The sources that are not merged "
        "stay, and all survivors stand in their old order.",
        "Start from total = x.clone() and count = ones(n). For every merged source j with target i: total[i] += x[j], "
        "count[i] += 1. Return (total / count) at all positions but the merged ones.",
    ),
    mistakes=(
        (
            "The merged tokens are sums; divide by how many tokens went in.",
            lambda x, k, r: _tome_variant(x, k, r, how="sum"),
        ),
        (
            "Your averages leave the target itself out: VTM eq. 4 divides by 1 + |M|, target included.",
            lambda x, k, r: _tome_variant(x, k, r, how="sources only"),
        ),
        (
            "Sources are dropped, not merged: the targets did not change.",
            lambda x, k, r: _tome_variant(x, k, r, how="drop"),
        ),
        (
            "The right tokens in the wrong order: unmerged sources and targets stand in two heaps. Sort the survivors "
            "by their old position.",
            lambda x, k, r: _tome_variant(x, k, r, order=False),
        ),
        (
            "It merges the r least similar sources; take the most similar.",
            lambda x, k, r: _tome_variant(x, k, r, lowest=True),
        ),
        (
            "It looks like plain dot products: normalise the keys before comparing them.",
            lambda x, k, r: _tome_variant(x, k, r, unit=False),
        ),
    ),
)


def _proportional(q: Tensor, k: Tensor, v: Tensor, size: Tensor) -> Tensor:
    return ((q @ k.T) / q.shape[1] ** 0.5 + size.log()).softmax(dim=1) @ v


def _proportional_cases() -> list[Case]:
    cases: list[Case] = []
    for seed in range(6):
        q, k, v = _random(seed, 5, 4), _random(seed + 10, 7, 4), _random(seed + 20, 7, 3)
        size = torch.randint(1, 9, (7,), generator=_generator(seed)).float()
        cases.append((f"random tokens {seed}", (q, k, v, size)))
    q, k, v, size = cases[0][1]
    return [("all sizes 1 (plain attention)", (q, k, v, torch.ones(7))), *cases]


proportional_attention = Exercise(
    "proportional_attention",
    answer=_proportional,
    cases=_proportional_cases,
    hints=(
        "A token of size 3 should draw as much attention as three equal tokens would.",
        "Three equal tokens put 3 · exp(score) into the softmax. Move the 3 into the exponent.",
        "3 · exp(score) = exp(score + log 3): add size.log() to the scores, one number for every key.",
    ),
    mistakes=(
        ("That is plain attention: size is not used.", lambda q, k, v, s: _proportional(q, k, v, torch.ones_like(s))),
        (
            "The sizes were added as they are; add their logarithm.",
            lambda q, k, v, s: _proportional(q, k, v, s.exp()),
        ),
        (
            "The weights were multiplied by size after the softmax, so they no longer add up to 1.",
            lambda q, k, v, s: (((q @ k.T) / q.shape[1] ** 0.5).softmax(dim=1) * s) @ v,
        ),
        (
            "log(size) was added before dividing by sqrt(D); it belongs after: the count must not be scaled.",
            lambda q, k, v, s: ((q @ k.T + s.log()) / q.shape[1] ** 0.5).softmax(dim=1) @ v,
        ),
        (
            "The scores were not divided by sqrt(D).",
            lambda q, k, v, s: (q @ k.T + s.log()).softmax(dim=1) @ v,
        ),
    ),
)


# ---------------------------------------------------------------------------------------------------------------
# Lesson 01: the price of attention. Whole numbers, so nothing is tolerated.
# ---------------------------------------------------------------------------------------------------------------

tokens_in_film = Exercise(
    "tokens_in_film",
    answer=lambda frames, size, patch: frames * (size // patch) ** 2,
    cases=lambda: [
        ("60 frames of 224 pixels, patches of 14", (60, 224, 14)),
        ("one frame that is one patch", (1, 16, 16)),
        ("one frame", (1, 224, 16)),
        ("patches of one pixel", (2, 8, 1)),
        ("64 frames, patches of 32", (64, 224, 32)),
        ("24 frames of 96 pixels, patches of 8", (24, 96, 8)),
    ],
    hints=(
        "How many patches lie side by side along one edge of a frame?",
        "A frame has as many rows of patches as it has columns.",
        "side = size // patch; a frame has side * side tokens, and there are `frames` of them.",
    ),
    mistakes=(
        ("That is one row of patches of every frame; a frame has as many rows.", lambda f, s, p: f * (s // p)),
        ("That is one frame; the film has more.", lambda f, s, p: (s // p) ** 2),
        ("Only one side of the frame was divided by the patch; both are cut.", lambda f, s, p: f * s * s // p),
        ("That counts pixels; a token is a whole patch of them.", lambda f, s, p: f * s * s),
    ),
    tolerance=0,
)

attention_cost = Exercise(
    "attention_cost",
    answer=lambda n, dim: (2 * n * n * dim + 4 * n * dim * dim, 4 * n * n),
    cases=lambda: [
        ("three tokens, D = 2", (3, 2)),
        ("one token", (1, 8)),
        ("one number a token", (5, 1)),
        ("one frame of the paper", (256, 1024)),
        ("sixty frames of the paper", (15360, 1024)),
        ("N = 2 D", (128, 64)),
    ],
    hints=(
        "A product of an (a, b) matrix with a (b, c) matrix has a times c results, and each takes b multiply-adds.",
        "The scores are (N, D) times (D, N), the weighted sum (N, N) times (N, D), a projection (N, D) times (D, D).",
        "Two products of N * N * D, four of N * D * D; and N * N scores of 4 bytes.",
    ),
    mistakes=(
        ("The four projections are missing: each costs N * D * D.", lambda n, d: (2 * n * n * d, 4 * n * n)),
        (
            "There are two products of N * N * D: the scores, and the weighted sum of the values.",
            lambda n, d: (n * n * d + 4 * n * d * d, 4 * n * n),
        ),
        (
            "There are four projections: queries, keys, values, and the output.",
            lambda n, d: (2 * n * n * d + 3 * n * d * d, 4 * n * n),
        ),
        (
            "N * N * D * D is what the paper prints; each of the N * N scores is a sum of D products, not D * D.",
            lambda n, d: (n * n * d * d, 4 * n * n),
        ),
        (
            "The second number counts the scores; in bytes each takes 4.",
            lambda n, d: (2 * n * n * d + 4 * n * d * d, n * n),
        ),
        (
            "Your bytes are those of the tokens; the scores are one number for every pair of tokens.",
            lambda n, d: (2 * n * n * d + 4 * n * d * d, 4 * n * d),
        ),
    ),
    tolerance=0,
)

frames_that_fit = Exercise(
    "frames_that_fit",
    answer=lambda budget, per_frame: math.isqrt(budget // 4) // per_frame,
    cases=lambda: [
        ("1 GiB, 256 tokens a frame", (2**30, 256)),
        ("exactly three frames of one token", (36, 1)),
        ("one byte short of three frames", (35, 1)),
        ("a little less than one frame", (4 * 255**2, 256)),
        ("2 GiB, one token a frame", (2**31, 1)),
        ("8 GiB, 196 tokens a frame", (2**33, 196)),
        ("no memory", (0, 16)),
    ],
    hints=(
        "First ask how many tokens fit, then how many frames that is.",
        "N tokens have N * N scores of 4 bytes. Turn 4 * N * N = budget round.",
        "tokens = math.isqrt(budget // 4); then whole frames: tokens // per_frame.",
    ),
    mistakes=(
        ("A score takes 4 bytes: divide the budget by 4 first.", lambda b, p: math.isqrt(b) // p),
        ("Every pair of tokens has a score: N * N of them, so there is a square root.", lambda b, p: b // 4 // p),
        (
            "You round to the nearest; half a frame more does not fit. Round down.",
            lambda b, p: round((b / 4) ** 0.5 / p),
        ),
        ("You round up; what is over the budget does not fit. Round down.", lambda b, p: math.ceil((b / 4) ** 0.5 / p)),
        ("Frames are whole: round down.", lambda b, p: (b / 4) ** 0.5 / p),
        ("That is the number of tokens; divide by the tokens of a frame.", lambda b, p: math.isqrt(b // 4)),
    ),
    tolerance=0,
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
    cost, dx, dy = min(_costs(previous, block, row, column, reach), key=lambda found: found[0])
    return dx, dy


def _block_motion_worst(*arguments) -> tuple[int, int]:
    cost, dx, dy = max(_costs(*arguments), key=lambda found: found[0])
    return dx, dy


def _block_cases() -> list[Case]:
    cases: list[Case] = []
    moves = [(4, 4, 2, 1), (4, 6, -3, 0), (6, 3, 0, 2), (0, 0, -2, -1), (8, 8, 3, 3)]
    for seed, (row, column, dx, dy) in enumerate(moves):
        previous = _random(seed, 12, 12).mul(50).round()
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
        motion = _random(seed, 2 + seed, 3, 4).abs() * 4.0**seed
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
        pan = _random(seed, 3, 1, 1, 2) * 6
        vectors = pan + 0.1 * _random(seed + 9, 3, 5, 5, 2)
        vectors[:, 1:3, 1:4] = _random(seed + 20, 3, 2, 3, 2) * 3  # something that goes its own way
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
# Lesson 00: start here
# ---------------------------------------------------------------------------------------------------------------


def _group_mean(x: Tensor, group: Tensor) -> Tensor:
    return _group_sum(x, group) / torch.bincount(group)[:, None]


def _group_sum(x: Tensor, group: Tensor) -> Tensor:
    return torch.zeros(int(group.max()) + 1, x.shape[1], dtype=x.dtype).index_add(0, group, x)


def _mean_of_runs(x: Tensor, group: Tensor) -> Tensor:
    runs = group.unique_consecutive(return_inverse=True)[1]
    return _group_mean(x, runs)


def _group_mean_cases() -> list[Case]:
    cases: list[Case] = [
        ("the toy of the text", (torch.tensor([[2.0], [4], [9], [6], [1]]), torch.tensor([0, 0, 1, 0, 1]))),
        ("one group", (_random(1, 5, 3), torch.zeros(5, dtype=torch.int64))),
        ("every token alone, not in order", (_random(2, 4, 2), torch.tensor([2, 0, 3, 1]))),
        ("one token", (_random(3, 1, 4), torch.tensor([0]))),
        ("a large group and a small one", (_random(4, 9, 2), torch.tensor([1, 1, 1, 1, 0, 1, 1, 1, 1]))),
    ]
    for seed in range(5, 10):
        numbers = torch.cat([torch.arange(6), torch.randint(6, (20,), generator=_generator(seed))])
        group = numbers[torch.randperm(26, generator=_generator(seed))]
        cases.append((f"26 random tokens in 6 groups, number {seed - 4}", (_random(seed, 26, 3), group)))
    return cases


group_mean = Exercise(
    "group_mean",
    answer=_group_mean,
    cases=_group_mean_cases,
    hints=(
        "A loop over the groups is fine: there are group.max() + 1 of them.",
        "x[group == g] holds the tokens of group g, one a row. Average over the rows, not over everything.",
        "Collect x[group == g].mean(dim=0) for every g, and torch.stack the list.",
    ),
    mistakes=(
        ("You give the sum of each group; divide it by the number of its tokens.", _group_sum),
        (
            "You divide every group's sum by the same number; each group has its own number of tokens.",
            lambda x, g: _group_sum(x, g) * (int(g.max()) + 1) / len(x),
        ),
        (
            "You divide by one too many. In the formula's 1 + |M|, the 1 is the target and M holds the sources; the "
            "count of a group's tokens has both already.",
            lambda x, g: _group_sum(x, g) / (1 + torch.bincount(g)[:, None]),
        ),
        ("You take neighbours for groups: the tokens of a group lie anywhere in the list.", _mean_of_runs),
        (
            "You average over the numbers of a token, too: keep its C columns apart.",
            lambda x, g: _group_mean(x, g).mean(1),
        ),
        (
            "You give every token its group's average, which is the unmerged film; give one row for each group.",
            lambda x, g: _group_mean(x, g)[g],
        ),
    ),
)


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
# Lesson 04: naive VTM
# ---------------------------------------------------------------------------------------------------------------


def _tokens_after(frames: int, per_frame: int, chunks: Sequence[int], gamma: int, r: float) -> tuple[int, ...]:
    n, left = frames * per_frame, []
    for length in chunks:
        count = frames // length
        inside = n // count
        sources = inside - math.ceil(inside / gamma)
        n = count * (inside - math.floor(r * sources))
        left.append(n)
    return tuple(left)


def _left_with(inside_left: Callable[[int, int, float], int], whole: bool = False, fresh: bool = False) -> Callable:
    """A `tokens_after` whose chunks keep inside_left(n, gamma, r) tokens, or whose video does; fresh: never carried."""

    def wrong(frames: int, per_frame: int, chunks: Sequence[int], gamma: int, r: float) -> tuple[int, ...]:
        n, left = frames * per_frame, []
        for length in chunks:
            count = 1 if whole else frames // length
            left.append(count * inside_left((frames * per_frame if fresh else n) // count, gamma, r))
            n = left[-1]
        return tuple(left)

    return wrong


def _tokens_merged(frames: int, per_frame: int, chunks: Sequence[int], gamma: int, r: float) -> tuple[int, ...]:
    left = _tokens_after(frames, per_frame, chunks, gamma, r)
    return tuple(before - after for before, after in zip((frames * per_frame, *left), left, strict=False))


def _kept(n: int, gamma: int, r: float) -> int:
    return n - math.floor(r * (n - math.ceil(n / gamma)))


def _tokens_after_cases() -> list[Case]:
    return [
        ("the toy of the text", (4, 2, (2, 4), 3, 1.0)),
        ("the paper's film at gamma 4", (60, 256, (6, 30, 60), 4, 1.0)),
        ("the paper's film at gamma 6, R = |S| / 2", (60, 256, (6, 30, 60), 6, 0.5)),
        ("gamma that divides nothing", (24, 9, (2, 12, 24), 7, 1.0)),
        ("nothing merged", (12, 10, (3, 6, 12), 5, 0.0)),
        ("R that is no whole number", (12, 7, (2, 4, 12), 3, 0.75)),
    ]


tokens_after = Exercise(
    "tokens_after",
    answer=_tokens_after,
    cases=_tokens_after_cases,
    hints=(
        "Work out one chunk first: how many tokens are in it, how many of them are targets, how many sources?",
        "A video of n tokens in frames // length chunks has n // (frames // length) tokens in each. Of m tokens "
        "math.ceil(m / gamma) are targets, and math.floor(r * sources) of the others disappear.",
        "After a block set n to (number of chunks) * (tokens that a chunk keeps); the next block starts from that n.",
    ),
    mistakes=(
        ("You count over the whole video at once; each chunk rounds by itself.", _left_with(_kept, whole=True)),
        (
            "Every block of yours starts from the full video; it starts from what the last one left.",
            _left_with(_kept, fresh=True),
        ),
        (
            "The number of targets is rounded down; a partition has ceil(n / gamma) of them.",
            _left_with(lambda n, gamma, r: n - math.floor(r * (n - n // gamma))),
        ),
        (
            "r is a share of the sources, not of all tokens.",
            _left_with(lambda n, gamma, r: max(math.ceil(n / gamma), n - math.floor(r * n))),
        ),
        ("You give the number of merged tokens; asked is how many are left.", _tokens_merged),
        (
            "Only the targets are left with you; at R below |S| the sources that were not merged stay, too.",
            _left_with(lambda n, gamma, r: math.ceil(n / gamma)),
        ),
    ),
)


def _merge_in_chunks(x: Tensor, keys: Tensor, chunks: int, gamma: float) -> Tensor:
    inside = x.shape[1] // chunks
    merge = match(keys.reshape(-1, inside, keys.shape[2]), uniform(inside, gamma))
    return merge(x.reshape(-1, inside, x.shape[2])).reshape(len(x), -1, x.shape[2])


def _chunk_cases() -> list[Case]:
    cases: list[Case] = []
    sizes = [(1, 1, 6, 2), (1, 3, 8, 4), (2, 4, 7, 3), (3, 2, 10, 4), (2, 5, 6, 6)]
    for seed, (batch, chunks, inside, gamma) in enumerate(sizes):
        x, keys = _random(seed, batch, chunks * inside, 4), _random(seed + 50, batch, chunks * inside, 3)
        cases.append((f"{batch} film(s), {chunks} chunk(s) of {inside} tokens", (x, keys, chunks, gamma)))
    return cases


def _chunks_one_film(x: Tensor, keys: Tensor, chunks: int, gamma: float) -> Tensor:
    inside = x.shape[1] // chunks
    # The batch axis ends up inside the tokens: tokens of different films become neighbours.
    mixed = [v.transpose(0, 1).reshape(chunks * len(x), inside, -1) for v in (x, keys)]
    return match(mixed[1], uniform(inside, gamma))(mixed[0]).reshape(len(x), -1, x.shape[2])


merge_in_chunks = Exercise(
    "merge_in_chunks",
    answer=_merge_in_chunks,
    cases=_chunk_cases,
    hints=(
        "`match` works on a batch and never lets items of it meet. What if a chunk were an item?",
        "x.reshape(B * chunks, n, C) with n = N // chunks makes every chunk an item; keys the same way.",
        "merge = match(the reshaped keys, partition.uniform(n, gamma)), merge(the reshaped x), and reshape back to "
        "(B, -1, C).",
    ),
    mistakes=(
        (
            "Tokens of different chunks were merged: you matched over the whole video.",
            lambda x, k, c, g: match(k, uniform(x.shape[1], g))(x),
        ),
        (
            "You matched on x; the keys are what tokens are matched on.",
            lambda x, k, c, g: _merge_in_chunks(x, x, c, g),
        ),
        (
            "You merged the keys; they only say who is matched with whom.",
            lambda x, k, c, g: _merge_in_chunks(k, k, c, g),
        ),
        ("The chunks mix tokens of different films: keep the batch axis first in the reshape.", _chunks_one_film),
        (
            "The chunks are still items of the batch in your result; reshape to (B, -1, C).",
            lambda x, k, c, g: _merge_in_chunks(x, k, c, g).reshape(len(x) * c, -1, x.shape[2]),
        ),
    ),
)


def _pooled_weight(groups: Sequence[Tensor]) -> Tensor:
    count = int(groups[-1].max()) + 1
    weight = torch.full((count,), 1 / count)
    for group in reversed(groups):
        weight = (weight / torch.bincount(group))[group]
    return weight


def _composed(groups: Sequence[Tensor]) -> Tensor:
    whole = groups[0]
    for group in groups[1:]:
        whole = group[whole]
    return whole


def _spread_weight(groups: Sequence[Tensor]) -> Tensor:
    """The weights if every final token were the mean of its patches, whatever was merged when."""
    whole = _composed(groups)
    return (1 / (int(whole.max()) + 1) / torch.bincount(whole))[whole]


def _undivided(groups: Sequence[Tensor]) -> Tensor:
    whole = _composed(groups)
    return torch.full((len(whole),), 1 / (int(whole.max()) + 1))


def _weight_cases() -> list[Case]:
    toy = (torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 0, 1]))
    cases: list[Case] = [("the toy of the text", (toy,)), ("one merge", ((torch.tensor([0, 1, 1, 1]),),))]
    for seed in range(4):
        sizes, groups = [40, 12, 4][: 2 + seed % 2] + [3], []
        for n, m in zip(sizes, sizes[1:], strict=False):
            numbers = torch.cat([torch.arange(m), torch.randint(m, (n - m,), generator=_generator(seed))])
            groups.append(numbers[torch.randperm(n, generator=_generator(seed + 9))])
        cases.append((f"random merges {seed}, {len(groups)} blocks", (tuple(groups),)))
    return cases


pooled_weight = Exercise(
    "pooled_weight",
    answer=_pooled_weight,
    cases=_weight_cases,
    hints=(
        "Start at the end: each of the M final tokens counts 1 / M in the mean. How is that shared inside its group?",
        "A group of 3 shares its weight equally: a third each. torch.bincount(group) has the sizes of all groups.",
        "Going backwards through the blocks: weight = (weight / torch.bincount(group))[group].",
    ),
    mistakes=(
        (
            "You give every patch of a final token the same weight. A plain average of plain averages does not: a patch"
            " merged early with many counts less than one merged late with few.",
            _spread_weight,
        ),
        ("A group's weight is not divided among its members: your weights do not sum to 1.", _undivided),
        (
            "All patches weigh the same with you. That would be the mean without merging.",
            lambda groups: torch.full((len(groups[0]),), 1 / len(groups[0])),
        ),
        (
            "Only the first merge counts in your result; go back through all blocks.",
            lambda groups: _pooled_weight(groups[:1]),
        ),
        (
            "Only the last merge counts in your result, one number for each of its tokens; go back to the patches.",
            lambda groups: _pooled_weight(groups[-1:]),
        ),
    ),
)


# ---------------------------------------------------------------------------------------------------------------
# Lesson 03: ToMe in a ViT. Whole numbers and positions.
# ---------------------------------------------------------------------------------------------------------------


def _tokens_left(n: int, prefix: int, amounts: list[int]) -> list[int]:
    counts = []
    for r in amounts:
        n -= min(r, (n - prefix) // 2)
        counts.append(n)
    return counts


def _tokens_left_from_start(n: int, prefix: int, amounts: list[int]) -> list[int]:
    return [n - min(r, (n - prefix) // 2) for r in amounts]


tokens_left = Exercise(
    "tokens_left",
    answer=_tokens_left,
    cases=lambda: [
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
        "In each block: n -= min(r, (n - prefix) // 2).",
    ),
    mistakes=(
        ("Half of *all* tokens is too much: protected ones cannot be merged.", lambda n, p, a: _tokens_left(n, 0, a)),
        ("A block merges at most half of its unprotected tokens; nothing limits r here.",
         lambda n, p, a: [n - sum(a[: i + 1]) for i in range(len(a))]),
        ("Every block starts from what the block before it left, not from n.", _tokens_left_from_start),
        ("Count the protected tokens, too: they are still there.",
         lambda n, p, a: [count - p for count in _tokens_left(n, p, a)]),
        ("Give the number of tokens after each block, one number a block.",
         lambda n, p, a: (_tokens_left(n, p, a) or [n])[-1]),
    ),
    tolerance=0,
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
        *[(f"random similarities {seed}", (_random(seed, 4, 30).tanh(), 0.3)) for seed in range(3)],
    ],
    hints=(
        "First count, for every image, the sources above the threshold.",
        "All images of a batch must lose the same number of tokens. Which of the counts is safe for every image?",
        "int((similarity > threshold).sum(dim=1).min())",
    ),
    mistakes=(
        ("The largest count merges unlike tokens in the other images.", lambda s, t: int((s > t).sum(1).max())),
        ("The mean count merges unlike tokens in some of the images.", lambda s, t: int((s > t).sum(1).float().mean())),
        ("Count every image by itself: sum over dim 1.", lambda s, t: int((s > t).sum())),
        ("Exactly on the threshold is not above it.", lambda s, t: int((s >= t).sum(1).min())),
        ("Give the number of tokens, not a list of them.", lambda s, t: (s > t).sum(1)),
        ("That counts sources above the threshold in all images at once; let every image choose its own.",
         lambda s, t: int((s > t).all(0).sum())),
    ),
    tolerance=0,
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
        "t, y, x = torch.meshgrid(arange(frames), arange(height), arange(width), indexing='ij'); then "
        "((t + y + x) % 2 == 1).flatten().nonzero()[:, 0]",
    ),
    mistakes=(
        ("Those are the sources: targets are the odd places.", lambda f, h, w: _board(f, h, w, (1, 1, 1), odd=0)),
        ("A patch and itself one frame later are on the same side: let the frame count, too.",
         lambda f, h, w: _board(f, h, w, (0, 1, 1))),
        ("A patch and the one below it are on the same side: let the row count, too.",
         lambda f, h, w: _board(f, h, w, (1, 0, 1))),
        ("A patch and its right neighbour are on the same side: let the column count, too.",
         lambda f, h, w: _board(f, h, w, (1, 1, 0))),
        ("That is every other token of the row-by-row order: on an even grid it is the same in every frame.",
         lambda f, h, w: torch.arange(1, f * h * w, 2)),
    ),
    tolerance=0,
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------
# Lesson 07: learnable merging
# ---------------------------------------------------------------------------------------------------------------


def _saliency(keys: Tensor, U: Tensor) -> Tensor:
    return torch.tanh(keys @ U)[:, 0]


saliency = Exercise(
    "saliency",
    answer=_saliency,
    cases=lambda: [
        ("U of zeros: nothing is known yet", (_random(1, 5, 3), torch.zeros(3, 1))),
        ("three keys in the plane", (torch.tensor([[1.0, 0], [0, 2], [-1, -1]]), torch.tensor([[1.0], [0.5]]))),
        ("one token", (_random(2, 1, 4), _random(3, 4, 1))),
        *((f"random keys {i}", (_random(i, 6 + i, 4), _random(i + 20, 4, 1))) for i in range(4, 8)),
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
        q, k, v = _random(seed, 5, 4), _random(seed + 10, 5, 4), _random(seed + 20, 5, 4)
        cases.append((f"random tokens {seed}", (q, k, v, torch.tanh(_random(seed + 30, 5)))))
    q, k, v, s = cases[1][1]
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
            "The square root stands outside the softmax, as the paper prints it: all outputs are sqrt(C) times too small.",
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
    return [(words, (*arguments, _random(i, *arguments[2].shape))) for i, (words, arguments) in cases]


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
        gumbel = -torch.empty(n).exponential_(generator=_generator(seed)).log()
        cases.append((f"random tokens {seed}", (torch.tanh(_random(seed + 9, n)), n // 6, 2.0 + seed, gumbel)))
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
