"""Exercise checks of lesson 02: bipartite matching, and attention that counts token sizes."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..merging.matching import match, nearest
from .exercise import Case, Exercise, generator, random
from .slips import matching as slips

# ---------------------------------------------------------------------------------------------------------------
# Lesson 02: bipartite matching
# ---------------------------------------------------------------------------------------------------------------


def _halves(n: int) -> tuple[Tensor, Tensor]:
    return torch.arange(0, n, 2), torch.arange(1, n, 2)


alternate = Exercise(
    "alternate",
    minutes=2,
    difficulty=1,
    importance=3,
    answer=_halves,
    cases=lambda: [(f"{n} tokens", (n,)) for n in (6, 8, 7, 2, 31)],
    hints=(
        "ToMe's targets are the odd positions 1, 3, 5, …; the sources are the even ones.",
        "`torch.arange(start, end, step)` counts in steps. Where does each half start?",
        "`sources = torch.arange(0, n, 2)`; the targets start one later.",
    ),
    mistakes=(
        ("Your two halves are swapped: here sources are the even positions.", lambda n: _halves(n)[::-1]),
        (
            "You split into a first and a second half; neighbours then land on the same side.",
            lambda n: (torch.arange(0, (n + 1) // 2), torch.arange((n + 1) // 2, n)),
        ),
        ("The last token is lost when n is odd.", lambda n: (torch.arange(0, n - 1, 2), torch.arange(1, n, 2))),
        *slips.ALTERNATE,
    ),
)


def _every(n: int, gamma: int, offset: int) -> Tensor:
    return torch.arange(offset % gamma, n, gamma)


every_gamma_th = Exercise(
    "every_gamma_th",
    minutes=3,
    difficulty=1,
    importance=3,
    answer=_every,
    cases=lambda: [
        (f"{n} tokens, gamma {gamma}, offset {offset}", (n, gamma, offset))
        for n, gamma, offset in (
            (12, 4, 0),
            (12, 4, 1),
            (12, 4, 6),
            (10, 3, 2),
            (7, 2, 1),
            (9, 9, 8),
            (5, 1, 3),
            (5, 5, 4),
            (8, 3, -1),
            (8, 4, 8),
        )
    ],
    hints=(
        "Without an offset it is every `gamma`-th position from 0. `torch.arange` takes a start, an end and a step.",
        "Going `gamma` steps further on meets the same targets again, so only the remainder of `offset` counts: "
        "`offset % gamma`.",
        "`torch.arange(first, n, gamma)`, where `first = offset % gamma` is the lowest target.",
    ),
    mistakes=(
        (
            "You begin at offset itself; where offset is gamma or more, the targets before it are missing. Only its "
            "remainder counts: offset % gamma.",
            lambda n, gamma, offset: torch.arange(offset, n, gamma),
        ),
        ("The offset has no effect.", lambda n, gamma, offset: torch.arange(0, n, gamma)),
        (
            "You turn the targets round the end of the list. Here they go on in steps of gamma in both directions.",
            lambda n, gamma, offset: ((torch.arange(0, n, gamma) + offset) % n).sort().values,
        ),
        (
            "You move the targets and lose those that come in at the low end.",
            lambda n, gamma, offset: (p := torch.arange(0, n, gamma) + offset)[(p >= 0) & (p < n)],
        ),
        (
            "The targets are moved to the left: a target stands at offset, not at gamma - offset.",
            lambda n, gamma, offset: torch.arange(-offset % gamma, n, gamma),
        ),
        *slips.EVERY_GAMMA_TH,
    ),
)


def _full_groups(best: Tensor, sources: Tensor, targets: Tensor) -> Tensor:
    group = torch.zeros(len(sources) + len(targets), dtype=torch.int64)
    group[targets], group[sources] = torch.arange(len(targets)), best
    return group


def _sides(n: int, targets: list[int]) -> tuple[Tensor, Tensor]:
    return torch.tensor([i for i in range(n) if i not in targets], dtype=torch.int64), torch.tensor(targets)


full_groups = Exercise(
    "full_groups",
    minutes=3,
    difficulty=2,
    importance=4,
    answer=_full_groups,
    cases=lambda: [
        ("six tokens, every second one a target", (torch.tensor([0, 1, 1]), *_sides(6, [1, 3, 5]))),
        ("eight tokens, three targets", (torch.tensor([0, 0, 1, 2, 1]), *_sides(8, [1, 4, 6]))),
        ("a target that nobody chose", (torch.tensor([2, 0, 2]), *_sides(6, [0, 2, 5]))),
        ("one target", (torch.tensor([0, 0, 0]), *_sides(4, [2]))),
        ("no source", (torch.tensor([], dtype=torch.int64), *_sides(9, list(range(9))))),
        ("all targets first", (torch.tensor([1, 0, 1, 1]), *_sides(6, [0, 1]))),
    ],
    hints=(
        "Every token gets a number. Which number do the targets get? Which one do the sources have already?",
        "The targets are groups 0, 1, 2, …, in their order. A source joins its best target's group: `best` says which.",
        "Make an int64 tensor of n zeros, then `group[targets] = torch.arange(len(targets))`; the sources likewise.",
    ),
    mistakes=(
        (
            "You give the position of the target; asked is its number among the targets, 0 to T - 1.",
            lambda b, s, t: torch.zeros(len(s) + len(t), dtype=torch.int64).index_copy(0, t, t).index_copy(0, s, t[b]),
        ),
        (
            "The numbers stand in two heaps, sources and targets; token i's number belongs at place i.",
            lambda b, s, t: torch.cat([b, torch.arange(len(t))]),
        ),
        (
            "The numbers stand in two heaps, targets and sources; token i's number belongs at place i.",
            lambda b, s, t: torch.cat([torch.arange(len(t)), b]),
        ),
        *slips.FULL_GROUPS,
    ),
)


def _surviving(n: int, merged: Tensor) -> Tensor:
    stays = torch.ones(n, dtype=torch.bool)
    stays[merged] = False
    return stays.nonzero()[:, 0]


surviving_positions = Exercise(
    "surviving_positions",
    minutes=2,
    difficulty=2,
    importance=3,
    answer=_surviving,
    cases=lambda: [
        ("eight tokens, three merged", (8, torch.tensor([0, 3, 5]))),
        ("merged ones in the order of their similarity", (8, torch.tensor([6, 0, 4]))),
        ("nothing is merged", (4, torch.tensor([], dtype=torch.int64))),
        ("all but the last", (5, torch.tensor([0, 1, 2, 3]))),
        ("the last one", (6, torch.tensor([5]))),
        ("one token", (1, torch.tensor([], dtype=torch.int64))),
    ],
    hints=(
        "Begin with all tokens and strike out the merged ones.",
        "A mask does it: `torch.ones(n, dtype=torch.bool)`, then False at the merged positions.",
        "`stays.nonzero()[:, 0]` gives the positions at which the mask `stays` is True, in ascending order.",
    ),
    mistakes=(
        ("These are the positions that disappear.", lambda n, merged: merged.sort().values),
        (
            "That is the mask; asked are the positions at which it is True.",
            lambda n, merged: torch.ones(n, dtype=torch.bool).index_fill(0, merged, False),
        ),
        (
            "You number the survivors anew, from 0; asked are their old positions.",
            lambda n, merged: torch.arange(n - len(merged)),
        ),
        (
            "The right positions in another order; they ascend.",
            lambda n, merged: _surviving(n, merged).flip(0),
        ),
        *slips.SURVIVING_POSITIONS,
    ),
)


def _partial(n: int, merged: Tensor, into: Tensor) -> Tensor:
    group, kept = torch.zeros(n, dtype=torch.int64), _surviving(n, merged)
    group[kept] = torch.arange(len(kept))
    group[merged] = group[into]
    return group


def _partial_unnumbered(n: int, merged: Tensor, into: Tensor) -> Tensor:
    return torch.arange(n).index_copy(0, merged, into)


def _partial_with_position(n: int, merged: Tensor, into: Tensor) -> Tensor:
    return _partial(n, merged, into).index_copy(0, merged, into)


partial_groups = Exercise(
    "partial_groups",
    minutes=4,
    difficulty=3,
    importance=5,
    answer=_partial,
    cases=lambda: [
        ("six tokens, one merged", (6, torch.tensor([2]), torch.tensor([3]))),
        ("two merged into one", (6, torch.tensor([0, 4]), torch.tensor([3, 3]))),
        ("merged ones in the order of their similarity", (8, torch.tensor([6, 0, 4]), torch.tensor([7, 1, 1]))),
        ("a token that goes back", (7, torch.tensor([3, 5]), torch.tensor([0, 6]))),
        ("nothing is merged", (4, torch.tensor([], dtype=torch.int64), torch.tensor([], dtype=torch.int64))),
        ("all into the last", (5, torch.tensor([0, 1, 2, 3]), torch.tensor([4, 4, 4, 4]))),
    ],
    hints=(
        "First number those that survive: 0, 1, 2, … in their order. Then every merged token takes the number of the "
        "one it goes into.",
        "`kept = surviving_positions(n, merged)` are the survivors. Token `kept[m]` becomes output m.",
        "`group[kept] = torch.arange(len(kept))` first, then `group[merged] = group[into]`.",
    ),
    mistakes=(
        (
            "These are old positions. Outputs are numbered anew, without gaps: 0 for the first survivor, then 1.",
            _partial_unnumbered,
        ),
        (
            "The survivors are right, but the merged tokens got the position of the token they go into; they take its "
            "new number.",
            _partial_with_position,
        ),
        (
            "The merged tokens got the number of the survivor before them; they take that of the one they go into.",
            lambda n, merged, into: (torch.ones(n, dtype=torch.int64).index_fill(0, merged, 0).cumsum(0) - 1).clamp(0),
        ),
        *slips.PARTIAL_GROUPS,
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


def _by_token(wrong: Callable) -> Callable:
    """The same mistake, and the number of the token in place of the target's."""

    def answer(keys: Tensor, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        best, similarity = wrong(keys, sources, targets)
        return targets[best], similarity

    return answer


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
    minutes=8,
    difficulty=3,
    importance=5,
    answer=_nearest_answer,
    cases=_nearest_cases,
    hints=(
        "Cosine similarity looks at directions only: what must happen to the keys before they are multiplied?",
        "Divide every key by its length (`F.normalize(keys, dim=1)` leaves zeros alone), then one matrix product gives "
        "all cosines, a row per source and a column per target.",
        "`scores = unit[sources] @ unit[targets].T`; then the best column of each row, `argmax(dim=1)`, and its score.",
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
            "First the numbers of the best targets, then the cosines: `max` returns the two the other way round.",
            lambda k, s, t: _nearest_answer(k, s, t)[::-1],
        ),
        (
            "You look at all keys, and every key is nearest to itself: sources look among the targets only.",
            lambda k, s, t: _pick(F.normalize(k, dim=1)[s] @ F.normalize(k, dim=1).T),
        ),
        *(
            (f"Two things at once: {what}; and say which target, 0 to T - 1, not which token.", _by_token(wrong))
            for what, wrong in (
                ("long keys win, so divide each key by its length", lambda k, s, t: _pick(k[s] @ k[t].T)),
                ("smallest distance is asked for nowhere, but the largest cosine", _by_distance),
                ("the least similar target is picked", _nearest_worst),
            )
        ),
        *slips.NEAREST_TARGET,
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
    minutes=8,
    difficulty=3,
    importance=5,
    answer=_tome_step,
    cases=_tome_cases,
    hints=(
        "Three steps: split (`alternate`), find each source's best target and similarity (`nearest_target`), merge the "
        "r most similar sources.",
        "`merged = similarity.argsort(descending=True, stable=True)[:r]` are the most similar sources, counted as "
        "`best` counts them. `sources[merged]` are their positions; where do they go?",
        "They go into `targets[best[merged]]`. `partial_groups` makes the group list of these two, and "
        "`group_mean(x, group)` is the result.",
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
        *slips.TOME_STEP,
    ),
)


def _compose(groups: list[Tensor]) -> Tensor:
    both = groups[0]
    for after in groups[1:]:
        both = after[both]
    return both


def _rounds(*groups: list[int]) -> tuple[list[Tensor]]:
    return ([torch.tensor(group) for group in groups],)


compose_groups = Exercise(
    "compose_groups",
    minutes=3,
    difficulty=2,
    importance=4,
    answer=_compose,
    cases=lambda: [
        ("one merge", _rounds([0, 1, 0, 2])),
        ("two merges", _rounds([0, 1, 0, 2], [1, 0, 1])),
        ("eight tokens, then five, then three", _rounds([0, 0, 1, 1, 2, 3, 3, 4], [0, 0, 1, 1, 2])),
        ("a second merge that changes the order", _rounds([2, 0, 1], [0, 2, 1])),
        ("three merges", _rounds([0, 1, 2, 3, 0], [0, 1, 1, 2], [1, 0, 1])),
        ("four merges, down to one token", _rounds([4, 3, 2, 1, 0], [0, 0, 1, 2, 3], [1, 0, 2, 0], [0, 0, 0])),
    ],
    hints=(
        "Follow one token: the first list says where it goes, the second where that one goes, and so on.",
        "Token i becomes `first[i]`, and that becomes `second[first[i]]`. Index one list with the other: all at once.",
        "`both = groups[0]`, then `both = after[both]` for every `after` in `groups[1:]`.",
    ),
    mistakes=(
        ("You give the first merge alone.", lambda groups: groups[0]),
        ("You give the last merge alone.", lambda groups: groups[-1]),
        ("It stops after the second merge; there may be more.", lambda groups: _compose(groups[:2])),
        ("There may be one merge, or more than two: go through the list.", lambda groups: groups[1][groups[0]]),
        ("It leaves the first merge out.", lambda groups: _compose(groups[1:] or groups)),
        ("It leaves the last merge out.", lambda groups: _compose(groups[:-1] or groups)),
        *slips.COMPOSE_GROUPS,
    ),
)


def _sizes(group: Tensor, size: Tensor) -> Tensor:
    return torch.zeros(int(group.max()) + 1).index_add(0, group, size)


def _sizes_overwritten(group: Tensor, size: Tensor) -> Tensor:
    total = torch.zeros(int(group.max()) + 1)
    for g, s in zip(group.tolist(), size.tolist(), strict=True):
        total[g] = s
    return total


token_sizes = Exercise(
    "token_sizes",
    minutes=4,
    difficulty=2,
    importance=4,
    kind="mend",
    answer=_sizes,
    cases=lambda: [
        ("five original tokens, two groups", (torch.tensor([0, 0, 1, 0, 1]), torch.ones(5))),
        ("a token of five meets a token of one", (torch.tensor([0, 0]), torch.tensor([5.0, 1]))),
        ("tokens of several sizes", (torch.tensor([1, 0, 1, 2, 1]), torch.tensor([3.0, 1, 4, 2, 1]))),
        ("nothing is merged", (torch.tensor([0, 1, 2]), torch.tensor([2.0, 7, 1]))),
        ("one token", (torch.tensor([0]), torch.tensor([4.0]))),
    ],
    hints=(
        "Several tokens of one group write to the same place. What does the last of them do to the others?",
        "`total[group] += size` reads the old values once, adds, and writes; where a place comes up twice, one sum is "
        "lost. `index_add_` adds every one. So does a loop.",
        "`torch.zeros(int(group.max()) + 1).index_add_(0, group, size)`",
    ),
    mistakes=(
        (
            "Of several tokens in one group only the last counts: total[group] += size writes to a place once, however "
            "often it comes up. index_add_ adds every one.",
            _sizes_overwritten,
        ),
        (
            "You count tokens; a token that stands for several counts as often as its size says.",
            lambda group, size: torch.bincount(group).float(),
        ),
        (
            "You take the average size of each group; a group stands for the sum.",
            lambda group, size: _sizes(group, size) / torch.bincount(group),
        ),
        (
            "You give every token its group's size; give one number for each group.",
            lambda group, size: _sizes(group, size)[group],
        ),
        *slips.TOKEN_SIZES,
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
    minutes=6,
    difficulty=3,
    importance=4,
    answer=_proportional,
    cases=_proportional_cases,
    hints=(
        "A token of size 3 should draw as much attention as three equal tokens would.",
        "Three equal tokens put 3 · exp(score) into the softmax. Move the 3 into the exponent.",
        "3 · exp(score) = exp(score + log 3): add `size.log()` to the scores, one number for every key, after "
        "they were divided by the root of D.",
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
        *slips.PROPORTIONAL_ATTENTION,
    ),
)


def _time_order(left: Tensor, targets: Tensor) -> Tensor:
    return torch.cat([left, targets]).argsort().argsort()


def _order_cases() -> list[Case]:
    def heaps(left: list[int], targets: list[int]) -> tuple[Tensor, Tensor]:
        return torch.tensor(left, dtype=torch.int64), torch.tensor(targets, dtype=torch.int64)

    return [
        ("three tokens", heaps([2], [0, 1])),
        ("five tokens", heaps([4, 2], [1, 3, 5])),
        ("targets 1, 3, 5, 7", heaps([6, 0], [1, 3, 5, 7])),
        ("targets that do not alternate", heaps([7, 2, 5], [0, 3, 8])),
        ("no source is left", heaps([], [1, 3, 5])),
        ("one target", heaps([8, 4, 0, 6], [1])),
        ("one token", heaps([], [3])),
    ]


time_order = Exercise(
    "time_order",
    minutes=4,
    difficulty=3,
    importance=3,
    answer=_time_order,
    cases=_order_cases,
    hints=(
        "Row m of the two heaps stood at `position[m]`, where `position = torch.cat([left, targets])`. How many rows "
        "stood before it?",
        "Count for every row the positions that are lower than its own. All comparisons at once: "
        "`position[:, None] > position`.",
        "`(position[:, None] > position).sum(dim=1)`. (`argsort` does it as well, but it takes two of them: the first "
        "says which row comes m-th, asked is the m of each row.)",
    ),
    mistakes=(
        (
            "That is argsort: which row comes first, second, … Asked is the other way round: for each row, its place. "
            "A second argsort turns it round.",
            lambda left, targets: torch.cat([left, targets]).argsort(),
        ),
        (
            "These are the old positions; asked are the places among the tokens that are left.",
            lambda a, b: torch.cat([a, b]),
        ),
        (
            "These are the old positions in order; asked is for each row its place in that order.",
            lambda a, b: torch.cat([a, b]).sort().values,
        ),
        ("The places run from the last token to the first.", lambda a, b: (-torch.cat([a, b])).argsort().argsort()),
        (
            "You number the rows as they stand in the two heaps.",
            lambda left, targets: torch.arange(len(left) + len(targets)),
        ),
        (
            "You put the targets first: row 0 of the two heaps is the first of left.",
            lambda left, targets: torch.cat([targets, left]).argsort().argsort(),
        ),
        (
            "The places begin at 0: count the lower positions, without the row itself.",
            lambda a, b: _time_order(a, b) + 1,
        ),
        *slips.TIME_ORDER,
    ),
)
