"""Exercise checks of lesson 04: merging in chunks, what a region weighs in the end, and targets without a comb."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..merging.matching import match
from ..merging.partition import uniform
from .comparing import OtherKind
from .exercise import Case, Exercise, generator, random
from .slips import chunks as slips

# ---------------------------------------------------------------------------------------------------------------
# Lesson 04: naive VTM
# ---------------------------------------------------------------------------------------------------------------


def _tokens_after(frames: int, per_frame: int, chunks: Sequence[int], gamma: int, share: float) -> tuple[int, ...]:
    n, left = frames * per_frame, []
    for length in chunks:
        count = frames // length
        inside = n // count
        sources = inside - math.ceil(inside / gamma)
        n = count * (inside - math.floor(share * sources))
        left.append(n)
    return tuple(left)


def _left_with(inside_left: Callable[[int, int, float], int], whole: bool = False, fresh: bool = False) -> Callable:
    """A `tokens_after` whose chunks, or whole video, keep inside_left(n, gamma, share) tokens; fresh: never carried."""

    def wrong(frames: int, per_frame: int, chunks: Sequence[int], gamma: int, share: float) -> tuple[int, ...]:
        n, left = frames * per_frame, []
        for length in chunks:
            count = 1 if whole else frames // length
            left.append(count * inside_left((frames * per_frame if fresh else n) // count, gamma, share))
            n = left[-1]
        return tuple(left)

    return wrong


def _tokens_merged(frames: int, per_frame: int, chunks: Sequence[int], gamma: int, share: float) -> tuple[int, ...]:
    left = _tokens_after(frames, per_frame, chunks, gamma, share)
    return tuple(before - after for before, after in zip((frames * per_frame, *left), left, strict=False))


def _kept(n: int, gamma: int, share: float) -> int:
    return n - math.floor(share * (n - math.ceil(n / gamma)))


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
        "Work out one chunk: how many tokens does it hold, how many are targets, how many sources?",
        "A film of `n` tokens in `frames // length` chunks has `n // (frames // length)` tokens in each. Of `m` tokens "
        "`math.ceil(m / gamma)` are targets, and `math.floor(share * sources)` of the others disappear.",
        "After a block `n` is the number of chunks times what a chunk keeps. The next block starts from that `n`, not "
        "from the full film.",
    ),
    mistakes=(
        ("You count over the whole film at once; each chunk rounds by itself.", _left_with(_kept, whole=True)),
        (
            "Every block of yours starts from the full film; it starts from what the last one left.",
            _left_with(_kept, fresh=True),
        ),
        (
            "The number of targets is rounded down; a partition has ceil(n / gamma) of them.",
            _left_with(lambda n, gamma, share: n - math.floor(share * (n - n // gamma))),
        ),
        (
            "share is a share of the sources, not of all tokens.",
            _left_with(lambda n, gamma, share: max(math.ceil(n / gamma), n - math.floor(share * n))),
        ),
        ("You give the number of merged tokens; asked is how many are left.", _tokens_merged),
        (
            "Only the targets are left with you; at R below |S| the sources that were not merged stay, too.",
            _left_with(lambda n, gamma, share: math.ceil(n / gamma)),
        ),
        *slips.TOKENS_AFTER,
    ),
    minutes=5,
    difficulty=2,
    importance=4,
)


def _merge_in_chunks(x: Tensor, keys: Tensor, chunks: int, gamma: float) -> Tensor:
    inside = x.shape[1] // chunks
    merge = match(keys.reshape(-1, inside, keys.shape[2]), uniform(inside, gamma))
    return merge(x.reshape(-1, inside, x.shape[2])).reshape(len(x), -1, x.shape[2])


def _chunk_cases() -> list[Case]:
    cases: list[Case] = []
    sizes = [(1, 1, 6, 2), (1, 3, 8, 4), (2, 4, 7, 3), (3, 2, 10, 4), (2, 5, 6, 6), (2, 3, 10, 2.5)]
    for seed, (batch, chunks, inside, gamma) in enumerate(sizes):
        x, keys = random(seed, batch, chunks * inside, 4), random(seed + 50, batch, chunks * inside, 3)
        words = f"{batch} film(s), {chunks} chunk(s) of {inside} tokens, gamma {gamma}"
        cases.append((words, (x, keys, chunks, gamma)))
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
        "`match` works on a batch and never lets two items of it meet. What if a chunk were an item?",
        "`x.reshape(B * chunks, n, C)` with `n = N // chunks` makes every chunk an item of the batch. The same for the "
        "keys.",
        "`match(reshaped keys, uniform(n, gamma))` gives the merge. Apply it to the reshaped `x`, and reshape to "
        "`(B, -1, C)`.",
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
        (
            "The films have become one long film: reshape the result to (B, -1, C).",
            lambda x, k, c, g: _merge_in_chunks(x, k, c, g).reshape(1, -1, x.shape[2]),
        ),
        (
            "The axis of the films is lost: reshape the result to (B, -1, C).",
            lambda x, k, c, g: _merge_in_chunks(x, k, c, g).reshape(-1, x.shape[2]),
        ),
        (
            "gamma need not be a whole number: hand it on to uniform as it is.",
            lambda x, k, c, g: _merge_in_chunks(x, k, c, int(g)),
        ),
        *slips.MERGE_IN_CHUNKS,
    ),
    minutes=6,
    difficulty=3,
    importance=5,
)


def _merge_with_tail(x: Tensor, keys: Tensor, length: int, gamma: float) -> Tensor:
    whole = x.shape[1] // length * length
    parts = [_merge_in_chunks(x[:, :whole], keys[:, :whole], whole // length, gamma)] if whole else []
    if whole < x.shape[1]:
        parts.append(_merge_in_chunks(x[:, whole:], keys[:, whole:], 1, gamma))
    return torch.cat(parts, dim=1)


def _tail_cases() -> list[Case]:
    cases: list[Case] = []
    sizes = [(1, 5, 4, 2), (1, 3, 4, 2), (1, 1, 1, 2), (1, 8, 4, 2), (1, 10, 4, 2), (2, 14, 5, 3), (3, 17, 6, 2.5)]
    for seed, (batch, n, length, gamma) in enumerate(sizes):
        width = 1 if n <= 5 else 3  # the smallest one is to be read number by number
        x, keys = random(seed + 200, batch, n, width), random(seed + 250, batch, n, 2)
        words = f"{batch} film(s) of {n} tokens, chunks of {length}, gamma {gamma}"
        cases.append((words, (x, keys, length, gamma)))
    return cases


def _tail_dropped(x: Tensor, keys: Tensor, length: int, gamma: float) -> Tensor:
    chunks = x.shape[1] // length
    n = chunks * length
    return _merge_in_chunks(x[:, :n], keys[:, :n], chunks, gamma) if chunks else x[:, :0]


def _tail_padded(x: Tensor, keys: Tensor, length: int, gamma: float) -> Tensor:
    more = -x.shape[1] % length
    x, keys = (torch.cat([v, v.new_zeros(len(v), more, v.shape[2])], dim=1) for v in (x, keys))
    return _merge_in_chunks(x, keys, x.shape[1] // length, gamma)


def _tail_joined(x: Tensor, keys: Tensor, length: int, gamma: float) -> Tensor:
    """The rest belongs to the last whole chunk, which is longer than the others."""
    start = max(0, x.shape[1] // length - 1) * length
    last = _merge_in_chunks(x[:, start:], keys[:, start:], 1, gamma)
    if not start:
        return last
    return torch.cat([_merge_in_chunks(x[:, :start], keys[:, :start], start // length, gamma), last], dim=1)


def _tail_kept(x: Tensor, keys: Tensor, length: int, gamma: float) -> Tensor:
    whole = x.shape[1] // length * length
    return torch.cat([_tail_dropped(x, keys, length, gamma), x[:, whole:]], dim=1)


def _tail_even(x: Tensor, keys: Tensor, length: int, gamma: float) -> Tensor:
    """As many chunks, all of nearly the same length."""
    chunks = -(-x.shape[1] // length)
    pieces = zip(x.tensor_split(chunks, dim=1), keys.tensor_split(chunks, dim=1), strict=True)
    return torch.cat([_merge_in_chunks(a, b, 1, gamma) for a, b in pieces], dim=1)


def _tail_first(x: Tensor, keys: Tensor, length: int, gamma: float) -> Tensor:
    rest = x.shape[1] % length
    parts = [_merge_in_chunks(x[:, :rest], keys[:, :rest], 1, gamma)] if rest else []
    if rest < x.shape[1]:
        parts.append(_merge_in_chunks(x[:, rest:], keys[:, rest:], x.shape[1] // length, gamma))
    return torch.cat(parts, dim=1)


merge_with_tail = Exercise(
    "merge_with_tail",
    answer=_merge_with_tail,
    cases=_tail_cases,
    hints=(
        "Two pieces: the whole chunks, and what is left over. `merge_in_chunks` can merge each of them.",
        "`whole = x.shape[1] // length * length` tokens lie in whole chunks. The others are `x[:, whole:]`, a film of "
        "one chunk. Either piece may be empty.",
        "`merge_in_chunks(x[:, :whole], keys[:, :whole], whole // length, gamma)` if `whole` is above 0, and "
        "`merge_in_chunks(x[:, whole:], keys[:, whole:], 1, gamma)` if tokens are left over; then `torch.cat` along "
        "dimension 1.",
    ),
    mistakes=(
        ("The tokens after the last whole chunk are still lost.", _tail_dropped),
        ("You fill the last chunk up with zeros; they become targets, and take part in means.", _tail_padded),
        (
            "The tokens left over join the last whole chunk of yours; they are to form a chunk of their own.",
            _tail_joined,
        ),
        ("The tokens left over come through unmerged; merge them by the same rule.", _tail_kept),
        ("You make all chunks about equally long; only the last one is to be shorter.", _tail_even),
        ("The shorter chunk is the first of yours; it is to be the last.", _tail_first),
        (
            "You merged over the whole film; tokens of different chunks must not meet.",
            lambda x, k, n, g: _merge_in_chunks(x, k, 1, g),
        ),
        *slips.MERGE_WITH_TAIL,
    ),
    minutes=5,
    difficulty=2,
    importance=2,
    kind="mend",
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
        sizes, groups = [*[40, 12, 4][: 2 + seed % 2], 3], []
        for n, m in pairwise(sizes):
            numbers = torch.cat([torch.arange(m), torch.randint(m, (n - m,), generator=generator(seed))])
            groups.append(numbers[torch.randperm(n, generator=generator(seed + 9))])
        cases.append((f"random merges {seed}, {len(groups)} blocks", (tuple(groups),)))
    return cases


pooled_weight = Exercise(
    "pooled_weight",
    answer=_pooled_weight,
    cases=_weight_cases,
    hints=(
        "Start at the end, where all is simple: each of the M final tokens counts 1 / M. Then go back block by block.",
        "`torch.bincount(group)` has the number of members of every group. A group hands each member its weight "
        "divided by that number: a group of 3, a third each.",
        "`(weight / torch.bincount(group))[group]` turns the weights of a block's outputs into the weights of its "
        "inputs.",
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
        *slips.POOLED_WEIGHT,
    ),
    minutes=8,
    difficulty=4,
    importance=5,
)


def _region_weight(groups: Sequence[Tensor], kept: Tensor, region: Tensor) -> tuple[float, float]:
    return float(_pooled_weight(groups)[region].sum()), float(region[kept].double().mean())


def _region_with(weight: Callable | None = None, share: Callable | None = None) -> Callable:
    """A `region_weight` with another first or second number, made from weights, kept and region."""

    def wrong(groups: Sequence[Tensor], kept: Tensor, region: Tensor) -> tuple[float, float]:
        weights = _pooled_weight(groups)
        right = _region_weight(groups, kept, region)
        first = right[0] if weight is None else float(weight(weights, kept, region))
        return first, right[1] if share is None else float(share(weights, kept, region))

    return wrong


def _region_cases() -> list[Case]:
    toy = (torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 0, 1]))
    masks = [
        torch.tensor(mask, dtype=torch.bool) for mask in ([0, 0, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0], [0] * 6, [1] * 6)
    ]
    cases: list[Case] = [
        ("two patches of the toy", (toy, torch.tensor([0, 5]), masks[0])),
        ("one block of the toy", (toy[:1], torch.tensor([0, 3, 5]), masks[0])),
        ("one patch, which is kept", (toy, torch.tensor([0, 5]), masks[1])),
        ("an empty region", (toy, torch.tensor([0, 5]), masks[2])),
        ("the whole picture", (toy, torch.tensor([0, 5]), masks[3])),
    ]
    for seed in range(3):
        (groups,) = _weight_cases()[2 + seed][1]
        whole = _composed(groups)
        kept = torch.tensor([int((whole == i).nonzero()[0]) for i in range(int(whole.max()) + 1)])
        region = torch.rand(len(whole), generator=generator(seed + 70)) < 0.3
        region[kept[0]] = True
        cases.append((f"random merges {seed}, {len(groups)} blocks", (groups, kept, region)))
    return cases


region_weight = Exercise(
    "region_weight",
    answer=_region_weight,
    cases=_region_cases,
    hints=(
        "Both are shares of a whole: of all weight, and of all kept patches. `region` picks out of either.",
        "Weights add up: sum those of the region's patches. For the second, ask of each kept patch whether it lies in "
        "the region.",
        "`pooled_weight(groups)[region].sum()` and `region[kept].float().mean()`.",
    ),
    mistakes=(
        # An empty region makes 0 / 0: 0 where somebody thought of it, NaN of tensors, and an error of plain numbers.
        *(
            (
                "The second number of yours is recall: the share of the region's patches that are kept. Asked is which "
                "share of the kept patches is the region's.",
                _region_with(share=share),
            )
            for share in (
                lambda w, kept, region: region[kept].sum() / max(1, int(region.sum())),
                lambda w, kept, region: region[kept].sum() / region.sum(),
                lambda w, kept, region: int(region[kept].sum()) / int(region.sum()),
            )
        ),
        *(
            (
                "The first number is the mean weight of the region's patches; what the region weighs is their sum.",
                _region_with(weight=weight),
            )
            for weight in (
                lambda w, kept, region: w[region].sum() / max(1, int(region.sum())),
                lambda w, kept, region: w[region].mean(),
            )
        ),
        (
            "The first number is the region's share of the picture; weigh its patches with pooled_weight.",
            _region_with(weight=lambda w, kept, region: region.double().mean()),
        ),
        (
            "You add up the weights of the kept patches only; sources count in the mean as well.",
            _region_with(weight=lambda w, kept, region: w[kept][region[kept]].sum()),
        ),
        (
            "The second number is a count; divide it by the number of kept patches.",
            _region_with(share=lambda w, kept, region: region[kept].sum()),
        ),
        (
            "The second number is the region's share of the picture; look at the kept patches only.",
            _region_with(share=lambda w, kept, region: region.double().mean()),
        ),
        (
            "Your two numbers are percent; asked are shares, from 0 to 1.",
            lambda *a: tuple(100 * number for number in _region_weight(*a)),
        ),
        ("Your two numbers are exchanged.", lambda *a: _region_weight(*a)[::-1]),
        *slips.REGION_WEIGHT,
    ),
    minutes=4,
    difficulty=2,
    importance=5,
    kind="compute",
)


def _alias_free(frames: int, height: int, width: int, gamma: int) -> Tensor:
    """In every run the token whose place of the frame has been a target least often."""
    places = height * width
    seen, targets = torch.zeros(places, dtype=torch.long), []
    for start in range(0, frames * places, gamma):
        run = torch.arange(start, frames * places)[:gamma]
        targets.append(run[seen[run % places].argmin()])
        seen[targets[-1] % places] += 1
    return torch.stack(targets)


def ascending(result: object, n: int, count: int, asked: str) -> Tensor | str:
    """The positions (T,) that an answer gives; or, in one sentence, why they are not `count` of 0 to n - 1, ascending.

    asked: the words for how many are asked for.
    """
    try:
        positions = result.detach().cpu() if isinstance(result, Tensor) else torch.as_tensor(result)
    except (TypeError, ValueError, RuntimeError):
        return OtherKind("expected positions, whole numbers in one row: a tensor of shape (T,).")
    if positions.dim() != 1 or positions.dtype == torch.bool or positions.is_floating_point():
        return OtherKind("expected positions, whole numbers in one row: a tensor of shape (T,).")
    if len(positions) != count:
        return f"{asked}; you have {len(positions)}."
    if int(positions.min()) < 0 or int(positions.max()) >= n:
        return f"positions go from 0 to {n - 1}; yours go from {int(positions.min())} to {int(positions.max())}."
    if bool((positions.diff() <= 0).any()):
        return "positions are to ascend, each of them once; yours do not."
    return positions


def _judge_alias_free(result: object, frames: int, height: int, width: int, gamma: int) -> str | None:
    """What is wrong with a partition that is to have no comb, in one sentence; None if it does all that is asked."""
    places, n = height * width, frames * height * width
    runs = math.ceil(n / gamma)
    positions = ascending(result, n, runs, f"{n} tokens make {runs} runs of {gamma}, so {runs} targets are asked for")
    if isinstance(positions, str):
        return positions
    held = torch.bincount(positions // gamma, minlength=runs)
    if bool((held != 1).any()):
        run = int((held != 1).nonzero()[0])
        tokens = f"tokens {run * gamma} to {min(n, (run + 1) * gamma) - 1}"
        return f"run {run}, {tokens}, holds {int(held[run])} targets; every run is to hold exactly one."
    missing = (torch.bincount(positions % places, minlength=places) == 0).nonzero()[:, 0]
    if len(missing):
        row, column = divmod(int(missing[0]), width)
        return (
            f"{len(missing)} of {places} places are a target in no frame; the first lies in row {row}, column {column}."
        )
    return None


def _in_runs(choose: Callable[[int, int, int, int], int]) -> Callable:
    """Targets from a formula: choose(run, start, places, gamma) is the place in the run, cut to its length."""

    def wrong(frames: int, height: int, width: int, gamma: int) -> Tensor:
        n, places = frames * height * width, height * width
        starts = range(0, n, gamma)
        chosen = [choose(j, start, places, gamma) % min(gamma, n - start) for j, start in enumerate(starts)]
        return torch.tensor([start + more for start, more in zip(starts, chosen, strict=True)])

    return wrong


alias_free_targets = Exercise(
    "alias_free_targets",
    answer=_alias_free,
    cases=lambda: [
        ("4 frames of 2 x 2", (4, 2, 2, 2)),
        ("6 frames of 1 x 3", (6, 1, 3, 3)),
        ("5 frames of 3 x 3, and one token over", (5, 3, 3, 2)),
        ("12 frames of 12 x 12", (12, 12, 12, 6)),
        ("gamma shares a factor with 14 x 14", (12, 14, 14, 6)),
        ("gamma does not divide 3 x 5, which has no comb", (9, 3, 5, 4)),
        ("a short last run", (11, 2, 5, 4)),
        ("gamma 9 on 6 x 6", (18, 6, 6, 9)),
        ("gamma as large as a frame", (12, 2, 3, 6)),
        ("gamma 8 on 16 columns", (16, 4, 16, 8)),
        ("gamma 10 on 4 x 7", (20, 4, 7, 10)),
    ],
    hints=(
        "Every run offers `gamma` places of the frame, and you may take one. Which place should be served next?",
        "Keep a count for each of the `height * width` places: how often it has been a target. Go through the runs, "
        "and take in each the token whose place has been a target least often.",
        "`run = torch.arange(start, n)[:gamma]` lies on the places `run % places`. Take "
        "`run[seen[run % places].argmin()]`, and add 1 to `seen` at its place.",
    ),
    mistakes=(
        ("That is every gamma-th token: naive VTM itself, and its comb.", _in_runs(lambda *_: 0)),
        (
            "You move the comb along, but it is the same comb: all runs have their target at the same place.",
            _in_runs(lambda j, start, places, gamma: gamma // 2),
        ),
        (
            "Your targets move on from run to run. If a frame holds a multiple of gamma runs, all frames look alike.",
            _in_runs(lambda j, start, places, gamma: j % gamma),
        ),
        (
            "One step in every frame is right where gamma divides the tokens of a frame. Where it does not, runs begin "
            "at other places in the next frame, and your step may undo that.",
            _in_runs(lambda j, start, places, gamma: start // places % gamma),
        ),
        (
            "Staggered targets do not repeat, but they need more frames than these to reach every place.",
            lambda f, h, w, g: uniform(f * h * w, g, staggered=True),
        ),
        *slips.ALIAS_FREE_TARGETS,
    ),
    tolerance=0,
    minutes=12,
    difficulty=4,
    importance=3,
    kind="design",
    judge=_judge_alias_free,
)
