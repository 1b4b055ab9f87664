"""Exercise checks of lessons 00 to 02: merging, attention, matching."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..merging.matching import match, nearest
from . import slips_basics
from .exercise import Case, Exercise, generator, random

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
        ("one group", (random(1, 5, 3), torch.zeros(5, dtype=torch.int64))),
        ("every token alone, not in order", (random(2, 4, 2), torch.tensor([2, 0, 3, 1]))),
        ("one token", (random(3, 1, 4), torch.tensor([0]))),
        ("a large group and a small one", (random(4, 9, 2), torch.tensor([1, 1, 1, 1, 0, 1, 1, 1, 1]))),
    ]
    for seed in range(5, 10):
        numbers = torch.cat([torch.arange(6), torch.randint(6, (20,), generator=generator(seed))])
        group = numbers[torch.randperm(26, generator=generator(seed))]
        cases.append((f"26 random tokens in 6 groups, number {seed - 4}", (random(seed, 26, 3), group)))
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
        *slips_basics.GROUP_MEAN,
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
        ("a narrow strip is left over at the edge", (60, 230, 14)),
        ("nearly a patch is left over at the edge", (3, 239, 16)),
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
        (
            "What is left over at the edge is no patch: round size / patch down before you square it.",
            lambda f, s, p: f * math.ceil(s / p) ** 2,
        ),
        (
            "You round to the nearest; nearly a patch is no patch. Round size / patch down before you square it.",
            lambda f, s, p: f * round(s / p) ** 2,
        ),
        (
            "You divide areas; strips left over at the edges do not add up to patches. Count along one edge first.",
            lambda f, s, p: f * (s * s // (p * p)),
        ),
        (
            "You divide areas; strips left over at the edges do not add up to patches. Count along one edge first.",
            lambda f, s, p: f * s * s // (p * p),
        ),
        ("Tokens are whole: round size / patch down before you square it.", lambda f, s, p: f * (s / p) ** 2),
        *slips_basics.TOKENS_IN_FILM,
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
        *slips_basics.ATTENTION_COST,
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
        ("4 GiB less one byte, one token a frame", (2**32 - 1, 1)),
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
        (
            "float32 has about seven digits: the root of a long number is rounded up. Take math.isqrt.",
            lambda b, p: int(torch.tensor(b / 4).sqrt()) // p,
        ),
        *slips_basics.FRAMES_THAT_FIT,
    ),
    tolerance=0,
)


# ---------------------------------------------------------------------------------------------------------------
# Lesson 02: bipartite matching
# ---------------------------------------------------------------------------------------------------------------


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
        *slips_basics.ALTERNATE,
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


def _by_distance(keys: Tensor, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    return _pick(-torch.cdist(keys[sources], keys[targets]))


def _cosine_of_closest(keys: Tensor, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    best = _by_distance(keys, sources, targets)[0]
    return best, _cosines(keys, sources, targets).gather(1, best[:, None])[:, 0]


def _nearest_cases() -> list[Case]:
    cases: list[Case] = [
        ("four tokens in the plane", (torch.tensor([[1.0, 0.2], [1, 0], [0, 3], [0, 1]]), *_halves(4))),
        # Long keys win a plain dot product; only the direction may count.
        ("one very long key", (torch.tensor([[1.0, 0.1], [1, 0], [1, 0.3], [5, 50]]), *_halves(4))),
        ("two equal targets (a tie)", (torch.tensor([[1.0, 0], [1, 0], [0, 1], [1, 0], [2, 0], [0, 2]]), *_halves(6))),
        ("a key of zeros", (torch.tensor([[1.0, 2], [0, 0], [2, 1], [1, 1], [0, 0], [3, 1]]), *_halves(6))),
        ("one target", (random(1, 9, 4), torch.arange(1, 9), torch.arange(1))),
    ]
    cases += [(f"random keys {i}", (random(i, 20 + i, 5), *_halves(20 + i))) for i in range(10)]
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
        *(
            ("You look for the smallest distance; asked is the largest cosine, for which lengths do not count.", wrong)
            for wrong in (
                _cosine_of_closest,
                _by_distance,
                lambda k, s, t: (_by_distance(k, s, t)[0], -_by_distance(k, s, t)[1]),
            )
        ),
        (
            "You look at all keys, and every key is nearest to itself: sources look among the targets only.",
            lambda k, s, t: _pick(F.normalize(k, dim=1)[s] @ F.normalize(k, dim=1).T),
        ),
        *slips_basics.NEAREST_TARGET,
    ),
)


def _tome_step(x: Tensor, keys: Tensor, r: int) -> Tensor:
    return match(keys[None], _halves(len(x))[1], r)(x[None])[0]


def _tome_variant(
    x: Tensor,
    keys: Tensor,
    r: int,
    *,
    unit: bool = True,
    lowest: bool = False,
    late: bool = False,
    how: str = "mean",
    order: str = "position",
) -> Tensor:
    """ToMe's step with one thing wrong: the mistakes of `tome_step`, and none of them by default."""
    sources, targets = _halves(len(x))
    k = F.normalize(keys, dim=1) if unit else keys
    best, similarity = _pick(k[sources] @ k[targets].T)
    ranked = similarity.argsort(descending=not lowest, stable=True)
    if late:  # equal similarities: the later source first
        ranked = similarity.argsort(stable=True).flip(0)
    merged, left = ranked[:r], ranked[r:]
    if order != "similarity":
        left = left.sort().values
    total, count = x[targets].clone(), torch.ones(len(targets))
    total.index_add_(0, best[merged], x[sources[merged]])
    count.index_add_(0, best[merged], torch.ones(r))
    if how == "mean":
        total = total / count[:, None]
    elif how == "sources only":  # forgets that the target itself is one of the tokens averaged
        total = torch.where(count[:, None] > 1, total - x[targets], total) / (count - 1).clamp(min=1)[:, None]
    elif how == "drop":
        total = x[targets]
    elif how == "last":  # what total[best] += ... does: of several sources for one target, the last one stays
        total = x[targets].clone()
        for source, target in zip(sources[merged], best[merged], strict=True):
            total[target] = (x[targets[target]] + x[source]) / 2
    elif how == "one by one":
        total = x[targets].clone()
        for source, target in zip(sources[merged], best[merged], strict=True):
            total[target] = (total[target] + x[source]) / 2
    y, at = torch.cat([x[sources[left]], total]), torch.cat([sources[left], targets])
    return y[at.argsort()] if order == "position" else y


def _tome_cases() -> list[Case]:
    line = torch.tensor([[1.0, 0.1], [1, 0], [0.2, 1], [0, 1], [-1, 0.5], [-1, 0]])
    cases: list[Case] = [
        ("six tokens, r = 1", (line * 2, line, 1)),
        ("six tokens, r = 3 (all sources)", (line * 2, line, 3)),
        ("r = 0 (nothing to merge)", (line, line, 0)),
        ("two sources for one target", (torch.tensor([[2.0], [4], [9], [7]]), torch.eye(2)[[0, 0, 0, 1]], 2)),
        ("four equally similar sources, r = 2", (random(90, 8, 2), torch.eye(4)[[0, 0, 1, 1, 2, 2, 3, 3]], 2)),
        ("two equal targets", (random(91, 6, 2), torch.eye(3)[[1, 0, 2, 1, 0, 1]], 2)),
    ]
    for seed in range(10):
        n = 10 + 3 * seed
        cases.append((f"random tokens {seed}", (random(seed, n, 4), random(seed + 50, n, 6) + 1.0, 1 + n // 5)))
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
            lambda x, k, r: _tome_variant(x, k, r, order="two heaps"),
        ),
        (
            "The right tokens in the order of ToMe's own code: the unmerged sources by their similarity, then the "
            "targets. Sort the survivors by their old position.",
            lambda x, k, r: _tome_variant(x, k, r, order="similarity"),
        ),
        (
            "A target that several sources go to keeps the last of them only: total[best] += ... counts a place once, "
            "however often it comes up. index_add_ counts every one; so does a loop.",
            lambda x, k, r: _tome_variant(x, k, r, how="last"),
        ),
        (
            "A target that several sources go to is halved each time, so that the last source weighs most. Add them all"
            " up first, then divide by 1 + |M|.",
            lambda x, k, r: _tome_variant(x, k, r, how="one by one"),
        ),
        (
            "You matched on x; the keys are what tokens are matched on.",
            lambda x, k, r: _tome_variant(x, x, r),
        ),
        (
            "Of equally similar sources you merge the later ones; ties go to the lower position. "
            "argsort(descending=True, stable=True) keeps it.",
            lambda x, k, r: _tome_variant(x, k, r, late=True),
        ),
        (
            "You merged the keys; they only say who is matched with whom.",
            lambda x, k, r: _tome_variant(k, k, r),
        ),
        (
            "It merges the r least similar sources; take the most similar.",
            lambda x, k, r: _tome_variant(x, k, r, lowest=True),
        ),
        (
            "It looks like plain dot products: normalise the keys before comparing them.",
            lambda x, k, r: _tome_variant(x, k, r, unit=False),
        ),
        *slips_basics.TOME_STEP,
    ),
)


def _proportional(q: Tensor, k: Tensor, v: Tensor, size: Tensor) -> Tensor:
    return ((q @ k.T) / q.shape[1] ** 0.5 + size.log()).softmax(dim=1) @ v


def _proportional_cases() -> list[Case]:
    cases: list[Case] = []
    for seed in range(6):
        q, k, v = random(seed, 5, 4), random(seed + 10, 7, 4), random(seed + 20, 7, 3)
        size = torch.randint(1, 9, (7,), generator=generator(seed)).float()
        cases.append((f"random tokens {seed}", (q, k, v, size)))
    q, k, v, size = cases[0][1]
    # At D = 4 the root of D and half of it are the same number.
    wide = (random(30, 3, 9), random(31, 5, 9), random(32, 5, 2), torch.tensor([1.0, 2, 1, 5, 3]))
    return [("all sizes 1 (plain attention)", (q, k, v, torch.ones(7))), *cases, ("queries of nine numbers", wide)]


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
        (
            "That is plain attention: size has no effect. Was it left out, or added along the queries, one number for "
            "a whole row? A softmax ignores that: it belongs to the keys, the columns.",
            lambda q, k, v, s: _proportional(q, k, v, torch.ones_like(s)),
        ),
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
        (
            "The scores were multiplied by size. What counts `size` times is exp(score): add log(size) to the score.",
            lambda q, k, v, s: ((q @ k.T) / q.shape[1] ** 0.5 * s).softmax(dim=1) @ v,
        ),
        (
            "The scores were multiplied by log(size); add it.",
            lambda q, k, v, s: ((q @ k.T) / q.shape[1] ** 0.5 * s.log()).softmax(dim=1) @ v,
        ),
        (
            "That logarithm has the base 10; the softmax takes powers of e, so take the natural one, size.log().",
            lambda q, k, v, s: ((q @ k.T) / q.shape[1] ** 0.5 + s.log10()).softmax(dim=1) @ v,
        ),
        (
            "That logarithm has the base 2; the softmax takes powers of e, so take the natural one, size.log().",
            lambda q, k, v, s: ((q @ k.T) / q.shape[1] ** 0.5 + s.log2()).softmax(dim=1) @ v,
        ),
        *slips_basics.PROPORTIONAL_ATTENTION,
    ),
)
