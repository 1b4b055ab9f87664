"""Exercise checks of lesson 10: gradients through the choice of targets."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import torch
from torch import Tensor

from .exercise import Case, Exercise, generator, random
from .lessons_learnable import Learned
from .slips import gradients as slips

# ---------------------------------------------------------------------------------------------------------------
# The exact gradient, and draws that are compared
# ---------------------------------------------------------------------------------------------------------------


def _chance(scores: Tensor, order: Tensor, again: bool = False) -> Tensor:
    left, chance = scores.clone(), torch.ones(())
    for token in order.tolist():
        chance = chance * left.softmax(0)[token]
        left[token] = left[token] if again else -torch.inf
    return chance


def _by_weights(scores: Tensor, order: Tensor) -> Tensor:
    left, chance = scores.clone(), torch.ones(())
    for token in order.tolist():
        chance = chance * left[token] / left.sum()
        left[token] = 0
    return chance


def _chance_cases() -> list[Case]:
    cases: list[Case] = [
        ("four tokens alike, two drawn", (torch.zeros(4), torch.tensor([2, 0]))),
        ("weights 1, 2 and 3", (torch.tensor([1.0, 2.0, 3.0]).log(), torch.tensor([2, 1]))),
        ("one draw", (random(1, 5), torch.tensor([3]))),
        ("all tokens drawn", (random(2, 4), torch.tensor([3, 0, 2, 1]))),
    ]
    for seed in range(5):
        n = 6 + seed
        cases.append((f"random scores {seed}", (random(seed + 9, n), torch.randperm(n, generator=generator(seed))[:3])))
    return cases


ordered_chance = Exercise(
    "ordered_chance",
    minutes=5,
    difficulty=2,
    importance=4,
    answer=_chance,
    cases=_chance_cases,
    hints=(
        "The first token is drawn with softmax(scores). What is the second one drawn from?",
        "From the tokens that are left. Give a drawn token the score `-torch.inf`: a softmax then gives it 0, and the "
        "others share its chance. Multiply the chances of all draws. Work on a copy, `scores.clone()`.",
        "`for token in order: chance = chance * left.softmax(0)[token]; left[token] = -torch.inf`",
    ),
    mistakes=(
        (
            "You draw with replacement: a token that was drawn can be drawn again. After each draw it is gone.",
            lambda s, o: _chance(s, o, again=True),
        ),
        ("That is the log of the chance.", lambda s, o: _chance(s, o).log()),
        (
            "That is the chance of the set, drawn in any order; here the order is given.",
            lambda s, o: torch.stack([_chance(s, o[list(p)]) for p in permutations(range(len(o)))]).sum(),
        ),
        ("The order is read backwards: order[0] was drawn first.", lambda s, o: _chance(s, o.flip(0))),
        ("Chances go with exp(score), not with the score itself.", _by_weights),
        ("The chances of several draws in a row are multiplied, not added.",
         lambda s, o: torch.stack([_chance(s, o[: i + 1]) / _chance(s, o[:i]) for i in range(len(o))]).sum()),
        *slips.ORDERED_CHANCE,
    ),
)  # fmt: skip


def _others(losses: Tensor) -> Tensor:
    return losses - (losses.sum(1, keepdim=True) - losses) / (losses.shape[1] - 1)


against_others = Exercise(
    "against_others",
    minutes=4,
    difficulty=2,
    importance=4,
    answer=_others,
    cases=lambda: [
        ("two draws of one film", (torch.tensor([[1.0, 3.0]]),)),
        ("three draws, one of them bad", (torch.tensor([[2.0, 2.0, 5.0]]),)),
        ("all alike", (torch.full((2, 4), 1.5),)),
        *((f"random losses {i}", (random(i, 3 + i, 2 + i).abs(),)) for i in range(4)),
    ],
    hints=(
        "Each loss is compared with the mean of the other draws of the same film, itself left out.",
        "The sum of the others is the row's sum less the loss itself: `losses.sum(dim=1, keepdim=True) - losses`. "
        "There are draws - 1 of them.",
        "`losses - (losses.sum(dim=1, keepdim=True) - losses) / (losses.shape[1] - 1)`",
    ),
    mistakes=(
        (
            "The mean holds the loss itself. Then a lucky draw lowers its own bar, and the gradient is too small.",
            lambda x: x - x.mean(1, keepdim=True),
        ),
        ("The sign is turned round: a draw that was worse gets a number above 0.", lambda x: -_others(x)),
        (
            "You compare with the same draw of other films. Films differ in how hard they are: compare within a film.",
            lambda x: x - x.mean(0, keepdim=True),
        ),
        ("That is the mean over all films and draws; compare within a film.", lambda x: x - x.mean()),
        ("That is the baseline; take it from the loss.", lambda x: x - _others(x)),
        (
            "You also divide by the spread of the losses. That is done, too, but it is not asked for here.",
            lambda x: _others(x) / x.std(1, keepdim=True),
        ),
        ("You compare with the best of the film's draws.", lambda x: x - x.amin(1, keepdim=True)),
        *slips.AGAINST_OTHERS,
    ),
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------
# Choices with a slope
# ---------------------------------------------------------------------------------------------------------------


def _relaxed(scores: Tensor, k: int, temperature: float) -> Tensor:
    total = torch.zeros_like(scores)
    for _ in range(k):
        p = (scores / temperature).softmax(0)
        total, scores = total + p, scores + torch.log((1 - p).clamp(min=1e-6))
    return total


def _scaled_first(scores: Tensor, k: int, temperature: float) -> Tensor:
    return _relaxed(scores / temperature, k, 1.0)


def _hard(scores: Tensor, k: int) -> Tensor:
    return torch.zeros_like(scores).scatter(0, scores.topk(k).indices, 1.0)


def _relaxed_cases() -> list[Case]:
    cases: list[Case] = [
        ("one of three", (torch.tensor([1.0, 0.0, 0.0]).requires_grad_(), 1, 1.0)),
        ("two of four alike", (torch.zeros(4).requires_grad_(), 2, 0.5)),
        ("one far above the others", (torch.tensor([3.0, 0.0, 0.5, 0.2]).requires_grad_(), 2, 0.6)),
        ("cold: nearly the top two", (torch.tensor([2.0, 0.0, 1.5, -1.0]).requires_grad_(), 2, 0.2)),
    ]
    for seed in range(5):
        scores = random(seed + 3, 6 + seed).requires_grad_()
        cases.append((f"random scores {seed}", (scores, 2 + seed % 3, (0.5, 0.7, 1.5, 2.0, 3.0)[seed])))
    return cases


def _slope_is_finite(function: Callable) -> str | None:
    """What is wrong with the gradient where a token is as good as chosen, in words."""
    scores = torch.tensor([5.0, 0.0, -1.0, 0.5]).requires_grad_()
    function(scores, 2, 0.1)[1].backward()
    if scores.grad is None or not bool(scores.grad.isfinite().all()):
        return (
            "at a low temperature p rounds to 1, log(1 - p) is minus infinity, and the gradient becomes NaN. Keep "
            "1 - p above 0: `(1 - p).clamp(min=1e-6)`."
        )
    return None


relaxed_choice = Learned(
    "relaxed_choice",
    minutes=6,
    difficulty=3,
    importance=4,
    answer=_relaxed,
    demand=_slope_is_finite,
    cases=_relaxed_cases,
    hints=(
        "A softmax is a choice of one token, softly. Do k of them, one after the other, and add them up. What must "
        "change between them, so that the second does not choose what the first has?",
        "After a round with weights p there is 1 - p of each token left. Add `torch.log(1 - p)` to the scores: exp of "
        "that multiplies a token's chance by what is left of it. The temperature divides the scores inside the softmax "
        "only.",
        "`for _ in range(k): p = (scores / temperature).softmax(0); total = total + p; "
        "scores = scores + torch.log((1 - p).clamp(min=1e-6))`",
    ),
    mistakes=(
        ("That is k times the same softmax: after a round, less is left of what was chosen.",
         lambda s, k, t: k * (s / t).softmax(0)),
        ("That is the hard choice; it has no slope.", lambda s, k, t: _hard(s, k) + 0 * s),
        ("That is one softmax; k tokens are chosen, so the gates add up to k.", lambda s, k, t: (s / t).softmax(0)),
        ("The temperature multiplies the scores; it divides them.", lambda s, k, t: _relaxed(s, k, 1 / t)),
        (
            "The scores are divided by the temperature once, before the first round. Divide inside the softmax, in "
            "every round: then what is added to them is divided, too.",
            _scaled_first,
        ),
        ("The temperature is not used.", lambda s, k, t: _relaxed(s, k, 1.0)),
        *slips.RELAXED_CHOICE,
    ),
)  # fmt: skip


def _through(hard: Tensor, soft: Tensor) -> Tensor:
    return hard + soft - soft.detach()


def _slope_is_soft(function: Callable) -> str | None:
    """What is wrong with the gradient, in words."""
    weights = random(5, 6)
    for seed in range(3):
        soft = random(seed, 6).softmax(0).requires_grad_()
        result = function(_hard(soft.detach(), 2), soft)
        if not isinstance(result, Tensor) or not result.requires_grad:
            return "forwards it is right; backwards no gradient gets to soft."
        (slope,) = torch.autograd.grad((result * weights).sum(), soft, allow_unused=True)
        if slope is None or not torch.allclose(slope, weights, atol=1e-5):
            return "forwards it is right; backwards it must be `soft`: its gradient times 1, no more and no less."
    return None


hard_and_soft = Learned(
    "hard_and_soft",
    minutes=3,
    difficulty=2,
    importance=5,
    answer=_through,
    demand=_slope_is_soft,
    cases=lambda: [
        ("one of three", (torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.7, 0.2, 0.1]).requires_grad_())),
        *(
            (f"random {i}", (_hard(random(i, 5 + i), 2), (2 * random(i + 9, 5 + i).softmax(0)).requires_grad_()))
            for i in range(3)
        ),
    ],
    hints=(
        "What can you add to `hard` that is 0 in value, and still has the slope of `soft`?",
        "`soft.detach()` has the value of soft and no slope at all. soft minus that is 0, with a slope.",
        "`hard + soft - soft.detach()`",
    ),
    mistakes=(
        ("That is the soft choice, or the two are swapped: forwards the result must be `hard`.", lambda h, s: s),
        ("That is their sum; forwards the result must be `hard`.", lambda h, s: h + s),
        ("That is their product; forwards the result must be `hard`.", lambda h, s: h * s),
        *slips.HARD_AND_SOFT,
    ),
)  # fmt: skip


def _gated(q: Tensor, k: Tensor, v: Tensor, z: Tensor) -> Tensor:
    return (q @ k.T / q.shape[1] ** 0.5 + z.log()).softmax(dim=1) @ v


def _gated_cases() -> list[Case]:
    flat, values = torch.zeros(3, 1), torch.tensor([[0.0], [4.0], [8.0]])
    cases: list[Case] = [
        ("all gates 1: plain attention", (flat, flat, values, torch.ones(3).requires_grad_())),
        ("half a token in the middle", (flat, flat, values, torch.tensor([1.0, 0.5, 1.0]).requires_grad_())),
    ]
    for seed in range(5):
        q, k, v = random(seed, 5, 4), random(seed + 10, 5, 4), random(seed + 20, 5, 3)
        gates = random(seed + 30, 5).sigmoid()
        cases.append((f"random tokens {seed}", (q, k, v, gates.requires_grad_())))
    wide = (random(50, 4, 9), random(51, 4, 9), random(52, 4, 2), random(53, 4).sigmoid().requires_grad_())
    return [*cases, ("queries of nine numbers", wide)]


gated_attention = Learned(
    "gated_attention",
    minutes=4,
    difficulty=2,
    importance=5,
    answer=_gated,
    cases=_gated_cases,
    hints=(
        "A token of size 3 got log 3 on its score, in lesson 02. A gate of 0.5 is half a token.",
        "Columns are keys: `z.log()`, (N,), is added to every row of scores. It goes in after the division by the root "
        "of C, so that it multiplies the weight by z exactly.",
        "`(q @ k.T / q.shape[1] ** 0.5 + z.log()).softmax(dim=1) @ v`",
    ),
    mistakes=(
        (
            "z was added, not its log. exp(log z) = z: only so does the gate multiply the weight.",
            lambda q, k, v, z: (q @ k.T / q.shape[1] ** 0.5 + z).softmax(1) @ v,
        ),
        (
            "log z was added before the division by sqrt(C), as eq. 10 does with s. Then the weight is multiplied by "
            "less than z.",
            lambda q, k, v, z: ((q @ k.T + z.log()) / q.shape[1] ** 0.5).softmax(1) @ v,
        ),
        (
            "The weights, or the values, were multiplied by z after the softmax: the weights no longer add up to 1.",
            lambda q, k, v, z: ((q @ k.T / q.shape[1] ** 0.5).softmax(1) * z) @ v,
        ),
        (
            "z has no effect. Was it added along the queries? It belongs to the keys, the columns.",
            lambda q, k, v, z: _gated(q, k, v, torch.ones_like(z)),
        ),
        *slips.GATED_ATTENTION,
    ),
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------
# How good an estimate is
# ---------------------------------------------------------------------------------------------------------------


def _quality(found: Tensor, exact: Tensor, about: str = "mean") -> tuple[Tensor, Tensor]:
    mean, length = found.mean(0), exact.norm()
    middle = mean if about == "mean" else exact
    noise = (found - middle).square().sum(1).mean().sqrt()
    return (mean - exact).norm() / length, noise / length


bias_and_noise = Exercise(
    "bias_and_noise",
    kind="compute",
    minutes=5,
    difficulty=2,
    importance=4,
    answer=_quality,
    cases=lambda: [
        ("the toy of the text", (torch.tensor([[3.0, 0.0], [1.0, 4.0]]), torch.tensor([2.0, 0.0]))),
        ("always right", (torch.tensor([[0.0, -3.0]]).repeat(4, 1), torch.tensor([0.0, -3.0]))),
        ("always the same, and wrong", (torch.tensor([[1.0, 1.0]]).repeat(3, 1), torch.tensor([-2.0, 1.0]))),
        *((f"random estimates {i}", (random(i, 6 + i, 2 + i % 3), random(i + 9, 2 + i % 3))) for i in range(4)),
    ],
    hints=(
        "The bias is about the mean of the estimates; the noise is about how far single estimates are from that mean.",
        "Distances are lengths of vectors: `.norm()`, or the root of the sum of squares over the C numbers. Divide "
        "both by the length of the exact gradient.",
        "`noise = (found - mean).square().sum(dim=1).mean().sqrt()`, with `mean = found.mean(dim=0)`; both over "
        "`exact.norm()`.",
    ),
    mistakes=(
        (
            "Your noise is the distance from the exact gradient, which holds the bias once more; measure it from the "
            "mean.",
            lambda f, e: _quality(f, e, about="exact"),
        ),
        ("The two are in the wrong order: bias first.", lambda f, e: _quality(f, e)[::-1]),
        ("Neither is divided by the exact gradient's length.",
         lambda f, e: tuple(value * e.norm() for value in _quality(f, e))),
        *slips.BIAS_AND_NOISE,
    ),
)  # fmt: skip
