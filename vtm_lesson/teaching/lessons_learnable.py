"""Exercise checks of lesson 07: learned saliency."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..merging.matching import nearest
from .exercise import Case, Exercise, generator, random
from .slips import learnable as slips

# ---------------------------------------------------------------------------------------------------------------
# Lesson 07: learnable merging
# ---------------------------------------------------------------------------------------------------------------


class Learned(Exercise):
    """An exercise whose function is trained through: the gradient must reach all that it reaches from the answer."""

    def wrong(self, result: Any, arguments: tuple, expected: Any) -> str | None:
        """What is wrong with a result, in words; None if it is right."""
        found = super().wrong(result, arguments, expected)
        if found is not None:
            return found
        parts = [result] if isinstance(expected, Tensor) else result
        if not all(isinstance(part, Tensor) for part in parts):
            return "the numbers are right; give them as a torch tensor (torch.stack makes one of a list of tensors)."
        reached, wanted = _reached(result), _reached(expected)
        if reached < wanted:
            some = f"a gradient gets back to {reached} of {wanted} tensors that are learned"
            return (
                f"the numbers are right, but {some if reached else 'no gradient gets back to what is learned'}. "
                "Somewhere it is cut: by .detach(), .item(), torch.tensor(...) or NumPy."
            )
        return None


def _reached(result: Any) -> int:
    """How many tensors that are learned a gradient of the result reaches."""
    steps = [r.grad_fn for r in (result if isinstance(result, (tuple, list)) else [result]) if isinstance(r, Tensor)]
    seen, ends = set(), set()
    while steps:
        step = steps.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        if hasattr(step, "variable"):
            ends.add(step)
        steps += [before for before, _ in step.next_functions]
    return len(ends)


def _saliency(keys: Tensor, U: Tensor) -> Tensor:
    return torch.tanh(keys @ U)[:, 0]


saliency = Exercise(
    "saliency",
    minutes=2,
    difficulty=1,
    importance=5,
    answer=_saliency,
    cases=lambda: [
        ("U of zeros: nothing is known yet", (random(1, 5, 3), torch.zeros(3, 1))),
        ("three keys in the plane", (torch.tensor([[1.0, 0], [0, 2], [-1, -1]]), torch.tensor([[1.0], [0.5]]))),
        ("one token", (random(2, 1, 4), random(3, 4, 1))),
        *((f"random keys {i}", (random(i, 6 + i, 4), random(i + 20, 4, 1))) for i in range(4, 8)),
    ],
    hints=(
        "One number for each token: how far does its key point along U?",
        "`keys @ U` is a column, (N, 1). `torch.tanh` brings any number into (-1, 1).",
        "`torch.tanh(keys @ U)[:, 0]`",
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
        *slips.SALIENCY,
    ),
)  # fmt: skip


def _guided(q: Tensor, k: Tensor, v: Tensor, s: Tensor) -> Tensor:
    return ((q @ k.T + s) / q.shape[1] ** 0.5).softmax(dim=1) @ v


def _guided_cases() -> list[Case]:
    flat, values = torch.zeros(3, 1), torch.tensor([[0.0], [4.0], [8.0]])
    cases: list[Case] = [("the toy of the text", (flat, flat, values, torch.tensor([0.0, math.log(2), 0.0])))]
    for seed in range(6):
        q, k, v = random(seed, 5, 4), random(seed + 10, 5, 4), random(seed + 20, 5, 3)
        cases.append((f"random tokens {seed}", (q, k, v, torch.tanh(random(seed + 30, 5)).requires_grad_())))
    q, k, v, _ = cases[1][1]
    # At C = 4 the root of C and half of it are the same number.
    wide = (random(50, 4, 9), random(51, 4, 9), random(52, 4, 2), torch.tanh(random(53, 4)))
    return [*cases, ("s = 0 (plain attention)", (q, k, v, torch.zeros(5))), ("queries of nine numbers", wide)]


guided_attention = Learned(
    "guided_attention",
    minutes=6,
    difficulty=3,
    importance=5,
    answer=_guided,
    cases=_guided_cases,
    hints=(
        "Every query gives key j the same bonus, `s[j]`. Which axis of the (N, N) scores counts keys?",
        "Columns are keys. A tensor of shape (N,) added to (N, N) is added to every row, so each column gets its own "
        "number. It goes in before the softmax.",
        "`((q @ k.T + s) / q.shape[1] ** 0.5).softmax(dim=1) @ v`",
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
        *slips.GUIDED_ATTENTION,
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
    return [(words, (*(a.detach() for a in given), random(i, *given[2].shape))) for i, (words, given) in cases]


gradient_of_saliency = Exercise(
    "gradient_of_saliency",
    minutes=10,
    difficulty=4,
    importance=3,
    answer=_pull,
    cases=_pull_cases,
    hints=(
        "First the weights `A`, (N, N), and the outputs `y = A @ v`, as in your turn 2. Then do one output alone: its "
        "derivative by the saliency of token j is that token's weight times (its value - y), over the root of C.",
        "The product of every gradient with every value is `g @ v.T`. That of a gradient with its own output is one "
        "number for each row: `(g * y).sum(1, keepdim=True)`. Every output uses the saliency, so sum over the outputs.",
        "`(A * (g @ v.T - (g * y).sum(1, keepdim=True))).sum(0) / q.shape[1] ** 0.5`",
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
        *slips.GRADIENT_OF_SALIENCY,
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
    minutes=4,
    difficulty=2,
    importance=5,
    answer=_drawn,
    cases=_drawn_cases,
    hints=(
        "Noise decides between tokens of nearly equal score; the temperature makes the scores loud beside the noise.",
        "Only the saliency is multiplied. Add the noise afterwards. `.topk(count).indices` are the positions of the "
        "largest, in the order of their scores.",
        "`(temperature * s + noise).topk(count).indices.sort().values`",
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
        *slips.DRAWN_TARGETS,
    ),
    tolerance=0,
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------
# A VTM of one's own: one film at a time
# ---------------------------------------------------------------------------------------------------------------


def _numbered(keys: Tensor, targets: Tensor, own: bool = True, cosine: bool = True) -> Tensor:
    """Group numbers; without `own`, targets look for the nearest one as sources do."""
    everyone = torch.arange(len(keys))
    by_direction = nearest(keys[None], targets[None], everyone[None])[0][0]
    group = by_direction if cosine else (keys @ keys[targets].T).argmax(1)
    return group.index_copy(0, targets, torch.arange(len(targets))) if own else group


def _number_cases() -> list[Case]:
    far, twins = (
        torch.tensor([[1.0, 0.1], [0, 1], [0.2, 1], [1, 0]]),
        torch.tensor([[1.0, 0], [2, 0], [1, 0.1], [0, 1]]),
    )
    blank = torch.tensor([[1.0, 0], [0, 0], [1, 1], [0, 0]])
    cases: list[Case] = [
        ("two targets that differ", (far, torch.tensor([1, 3]))),
        ("two targets of one direction", (twins, torch.tensor([0, 1, 3]))),
        ("a target whose key is zero", (blank, torch.tensor([0, 1]))),
        ("one target", (random(1, 5, 2), torch.tensor([3]))),
        ("every token is a target", (random(2, 4, 2), torch.arange(4))),
        ("one token", (random(3, 1, 2), torch.tensor([0]))),
    ]
    for seed in range(5):
        keys = random(seed + 10, 24 + seed, 3) * (1 + torch.arange(24 + seed))[:, None]  # long keys stand last
        targets = torch.randperm(24 + seed, generator=generator(seed))[:6].sort().values
        keys[targets[3]] = 2 * keys[targets[1]]
        cases.append((f"random keys {seed}, two targets of one direction", (keys, targets)))
    return cases


group_numbers = Exercise(
    "group_numbers",
    kind="mend",
    minutes=4,
    difficulty=2,
    importance=4,
    answer=_numbered,
    cases=_number_cases,
    hints=(
        "What goes wrong happens at targets only: a target belongs to its own group, whatever is nearest to it.",
        "Let every token look for its nearest target, as before. Then write over the numbers of the targets.",
        "`group[targets] = torch.arange(len(targets))`, then `return group`.",
    ),
    mistakes=(
        (
            "That is what the broken version gives: a target that is like an earlier one goes to that one's group, and "
            "its own stays empty.",
            lambda k, t: _numbered(k, t, own=False),
        ),
        (
            "These are the targets' positions among the tokens; group numbers are 0 to T - 1.",
            lambda k, t: t[_numbered(k, t)],
        ),
        ("You give the sources only; every token has a group.", lambda k, t: _numbered(k, t)[_others(t, len(k))]),
        (
            "Sources are matched by plain dot products, so that long keys win; `nearest_target` compares directions.",
            lambda k, t: _numbered(k, t, cosine=False),
        ),
        *slips.GROUP_NUMBERS,
    ),
    tolerance=0,
)


def _others(targets: Tensor, n: int) -> Tensor:
    return torch.ones(n, dtype=torch.bool).index_fill(0, targets, False).nonzero()[:, 0]


def _means(x: Tensor, group: Tensor) -> Tensor:
    sums = torch.zeros(int(group.max()) + 1, x.shape[1]).index_add(0, group, x)
    return sums / torch.bincount(group)[:, None]


def _block(
    x: Tensor,
    x_aux: Tensor,
    main: Tensor,
    aux: Tensor,
    U: Tensor,
    gamma: float,
    noise: Tensor,
    training: bool,
    *,
    loud: float = 6.0,
    guided: str = "aux",
    attend: bool = True,
    judged: int = 1,
    matched: int | None = 1,
    whole: Callable[[float], int] = math.ceil,
    merged: bool = True,
    from_main: bool = False,
    regrouped: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The two paths of a block, or with a part changed. judged, matched: 0 queries, 1 keys, 2 values, None x."""
    q, k, v = parts = x @ main
    s = _saliency(parts[judged], U)
    targets = _drawn(s, max(1, whole(len(x) / gamma)), loud, noise)
    group = _numbered(x if matched is None else parts[matched], targets)
    plain = torch.zeros(len(x))

    def path(q: Tensor, k: Tensor, v: Tensor, bonus: Tensor, group: Tensor) -> Tensor:
        y = _guided(q, k, v, bonus) if attend else v
        return _means(y, group) if merged else y

    y = path(q, k, v, s if guided in ("main", "both") else plain, group)
    if not training:
        return y
    q, k, v = (x if from_main else x_aux) @ aux
    group = _numbered(k, targets) if regrouped else group
    return y, path(q, k, v, s if guided in ("aux", "both") else plain, group)


def _block_cases() -> list[Case]:
    def learned(seed: int, c: int, d: int) -> list[Tensor]:
        shapes = ((3, c, d), (3, c, d), (d, 1))
        return [random(seed + i, *shape).requires_grad_() for i, shape in enumerate(shapes)]

    def noise(seed: int, n: int) -> Tensor:
        return -torch.empty(n).exponential_(generator=generator(seed)).log()

    one, other = torch.tensor([[1.0], [-2.0], [0.5], [3.0]]), torch.tensor([[0.5], [1.0], [-1.0], [2.0]])
    main, aux = (torch.tensor(w)[:, None, None].requires_grad_() for w in ([0.5, 1.0, 2.0], [1.0, -0.5, 3.0]))
    draw, zero = torch.tensor([0.5, 2.0, 0.2, -1.0]), torch.zeros(1, 1)
    cases: list[Case] = [
        ("four tokens of one number, a test", (one, other, main, aux, zero + 0.4, 2, draw, False)),
        ("U of zeros, a test: the noise decides alone", (one, other, main, aux, zero, 2, draw, False)),
        ("four tokens of one number, training", (one, other, main, aux, zero + 0.4, 2, draw, True)),
    ]
    for seed, (n, gamma) in enumerate(((1, 6), (12, 6), (13, 6), (20, 2.5), (7, 3), (5, 9), (30, 4), (13, 6))):
        x, x_aux, training = random(seed + 20, n, 4), random(seed + 40, n, 4), seed < 7
        words = f"{n} {'token' if n == 1 else 'tokens'}, gamma {gamma}, {'training' if training else 'a test'}"
        cases.append((words, (x, x_aux, *learned(10 * seed + 300, 4, 3), gamma, noise(seed, n), training)))
    return cases


vtm_block = Learned(
    "vtm_block",
    minutes=15,
    difficulty=4,
    importance=5,
    answer=_block,
    cases=_block_cases,
    hints=(
        "A line for each step: queries, keys and values; saliency of the keys; targets; groups; attention and the mean "
        "of each group. All but the first are functions that you have. Plain attention is guided by s = 0.",
        "`q, k, v = x @ main` makes all three. Draw `math.ceil(len(x) / gamma)` targets at temperature 6. The main "
        "path's keys say who is matched with whom, for both paths; attention's outputs are what is merged.",
        "`s = saliency(k, U)`; `targets = drawn_targets(s.detach(), math.ceil(len(x) / gamma), 6.0, noise)`; "
        "`group = group_numbers(k.detach(), targets)`; "
        "`y = group_mean(guided_attention(q, k, v, torch.zeros(len(x))), group)`; `if not training: return y`; "
        "then `q, k, v = x_aux @ aux`, and the last line again with `s` in place of zeros and the same `group`.",
    ),
    mistakes=(
        (
            "Saliency is in the main path's attention, too. There attention is plain (s = 0); eq. 10 belongs to the "
            "auxiliary path.",
            lambda *a: _block(*a, guided="both"),
        ),
        (
            "The paths are swapped: saliency guides the auxiliary path, and the main path is plain.",
            lambda *a: _block(*a, guided="main"),
        ),
        ("Both paths are plain; eq. 10 puts s into the auxiliary path.", lambda *a: _block(*a, guided="")),
        ("The targets are drawn without a temperature; the text asks for 6.", lambda *a: _block(*a, loud=1.0)),
        ("The noise decides alone: the saliency was not used in the draw.", lambda *a: _block(*a, loud=0.0)),
        ("You merge the values; attention's outputs are merged.", lambda *a: _block(*a, attend=False)),
        ("You give attention's outputs unmerged.", lambda *a: _block(*a, merged=False)),
        ("You match on x; the keys say who is matched with whom.", lambda *a: _block(*a, matched=None)),
        ("You match on the queries; the keys say who is matched with whom.", lambda *a: _block(*a, matched=0)),
        ("You match on the values; the keys say who is matched with whom.", lambda *a: _block(*a, matched=2)),
        ("The saliency is that of the queries; eq. 9 has the keys.", lambda *a: _block(*a, judged=0)),
        ("The saliency is that of the values; eq. 9 has the keys.", lambda *a: _block(*a, judged=2)),
        (
            "N / gamma is rounded down; round it up, so that there is at least one.",
            lambda *a: _block(*a, whole=math.floor),
        ),
        (
            "The auxiliary path is matched by its own keys; it is merged into the main path's groups.",
            lambda *a: _block(*a, regrouped=True),
        ),
        ("The auxiliary path starts from x; it has an input of its own, x_aux.", lambda *a: _block(*a, from_main=True)),
        *slips.VTM_BLOCK,
    ),
)
