"""Exercise checks of lesson 11, longer films: chunks of chunks, what waits, the map back, and what is found again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .exercise import Exercise, random
from .slips import long as slips


def _level_chunks(frames: int, first: int, ratio: int) -> list[int]:
    counts = [-(-frames // first)]
    while counts[-1] > 1:
        counts.append(-(-counts[-1] // ratio))
    return counts


def _counted(
    up: bool = True, end: int = 1, begin: bool = True, by_first: bool = False
) -> Callable[[int, int, int], list[int]]:
    """Chunks of each level. up: a chunk that is not full counts. end: where to stop. begin: with level 1."""

    def count(frames: int, first: int, ratio: int) -> list[int]:
        def parts(n: int, of: int) -> int:
            return -(-n // of) if up else n // of

        counts = [parts(frames, first)]
        while counts[-1] > end and len(counts) < 60:
            counts.append(parts(counts[-1], first if by_first else ratio))
        return counts if begin else counts[1:]

    return count


level_chunks = Exercise(
    "level_chunks",
    answer=_level_chunks,
    cases=lambda: [
        ("the eight frames of the text", (8, 2, 2)),
        ("an hour", (3600, 6, 6)),
        ("a last chunk that is not full", (50, 4, 3)),
        ("fewer frames than a chunk has", (3, 6, 6)),
        ("one frame", (1, 1, 2)),
        ("chunks of one frame", (81, 1, 3)),
        ("one chunk too many at the second level", (42, 6, 6)),
        ("four hours", (14400, 6, 6)),
        ("other lengths", (1000, 10, 4)),
    ],
    minutes=5,
    difficulty=2,
    importance=4,
    hints=(
        "How many chunks of `first` frames do the frames fill, the last one perhaps in part? And how many groups of "
        "`ratio` do these chunks make?",
        "Round up: a last chunk that is not full is merged, too. Go on until a level has one chunk.",
        "`counts = [-(-frames // first)]`, then `while counts[-1] > 1: counts.append(-(-counts[-1] // ratio))`",
    ),
    mistakes=(
        ("A last chunk that is not full is a chunk, too: round up at every level.", _counted(up=False)),
        ("Level 1 stands at the beginning of the list.", _counted(begin=False)),
        ("Go on until a level has one chunk: the last number is 1.", _counted(end=2)),
        ("From level 2 on, `ratio` chunks make one of the next; only in level 1 do `first` frames.",
         _counted(by_first=True)),
        ("Those are the lengths of the chunks. How many chunks of each length are there?",
         lambda frames, first, ratio: [first * ratio**k for k in range(len(_level_chunks(frames, first, ratio)))]),
        ("The lowest level comes first.", lambda *given: _level_chunks(*given)[::-1]),
        ("That is how many there are in all; give the number of each level, in a list.",
         lambda *given: sum(_level_chunks(*given))),
        ("That is how many levels there are; give the number of chunks of each.",
         lambda *given: len(_level_chunks(*given))),
        *slips.LEVEL_CHUNKS,
    ),
    tolerance=0,
)  # fmt: skip


def _tokens_waiting(keep: int, levels: int, ratio: int, chunk: int) -> int:
    return chunk + (levels - 1) * (ratio - 1) * keep


tokens_waiting = Exercise(
    "tokens_waiting",
    answer=_tokens_waiting,
    cases=lambda: [
        ("the tree of the drawing", (196, 3, 3, 1176)),
        ("one level", (5, 1, 4, 60)),
        ("two parts make one", (8, 4, 2, 32)),
        ("an hour", (196, 5, 6, 1176)),
        ("four hours", (196, 6, 6, 1176)),
        ("a larger budget", (784, 5, 6, 1176)),
        ("one token a chunk", (1, 3, 10, 100)),
    ],
    minutes=5,
    difficulty=2,
    importance=5,
    kind="compute",
    hints=(
        "Draw the tree at the worst moment: the last frame of a chunk has just arrived, and nothing is merged yet. "
        "What waits at each level?",
        "At level 1 a whole chunk waits, not merged. At every level above wait all parts of a chunk but the last one, "
        "which is just being made; each part has `keep` tokens.",
        "`chunk + (levels - 1) * (ratio - 1) * keep`",
    ),
    mistakes=(
        ("As soon as the last part is there, a chunk is merged: `ratio - 1` parts can wait, not `ratio`.",
         lambda k, n, r, c: c + (n - 1) * r * k),
        ("Level 1 holds frames, not parts: of the levels, `levels - 1` have parts that wait.",
         lambda k, n, r, c: c + n * (r - 1) * k),
        ("The chunk that is about to be merged has not been counted.", lambda k, n, r, c: (n - 1) * (r - 1) * k),
        ("A part that waits has been merged already: it has `keep` tokens, not a chunk's.",
         lambda k, n, r, c: c + (n - 1) * (r - 1) * c),
        ("At level 1 wait the chunk's own tokens, which are not merged yet.",
         lambda k, n, r, c: k + (n - 1) * (r - 1) * k),
        ("Each level waits for its parts at the same time: add the levels up, do not take one.",
         lambda k, n, r, c: c + (r - 1) * k),
        ("A level holds parts of one chunk at a time: all chunks before are merged and gone.",
         lambda k, n, r, c: c + sum(r**i for i in range(1, n)) * k),
        ("That is what is left in the end.", lambda k, n, r, c: k),
        *slips.TOKENS_WAITING,
    ),
    tolerance=0,
)  # fmt: skip


def _film_map(chunks: list[Tensor], above: Tensor) -> Tensor:
    groups, start = [], 0
    for group in chunks:
        groups.append(above[group + start])
        start += int(group.max()) + 1
    return torch.cat(groups)


def _mapped(
    shift: str = "outputs", above_too: bool = True, turned: bool = False
) -> Callable[[list[Tensor], Tensor], Tensor]:
    """The map with another shift of each chunk's numbers."""

    def run(chunks: list[Tensor], above: Tensor) -> Tensor:
        found, start = [], 0
        for group in chunks:
            numbers = group + start
            if above_too:
                numbers = above[numbers.clamp(max=len(above) - 1)]
            found.append(numbers)
            start += {"outputs": int(group.max()) + 1, "inputs": len(group), "none": 0, "short": int(group.max())}[
                shift
            ]
        return torch.cat(found[::-1] if turned else found)

    return run


def _two_levels(seed: int, sizes: tuple[int, ...], keep: int, last: int) -> tuple[list[Tensor], Tensor]:
    """Chunks of such sizes with `keep` groups each (or fewer tokens), and a level above with `last` groups."""
    chunks, total = [], 0
    for i, size in enumerate(sizes):
        count = min(keep, size)
        chunks.append(_groups(seed + i, size, count))
        total += count
    return chunks, _groups(seed + 99, total, min(last, total))


def _groups(seed: int, n: int, count: int) -> Tensor:
    """(n,) int64: each of `count` groups has a token."""
    order = random(seed, n).argsort()
    group = (random(seed + 1000, n).abs() * 1e4).long() % count
    group[order[:count]] = torch.arange(count)
    return group


film_map = Exercise(
    "film_map",
    answer=_film_map,
    cases=lambda: [
        ("the toy of the text", ([torch.tensor([0, 1, 1, 0]), torch.tensor([0, 0, 1, 1])], torch.tensor([0, 1, 1, 0]))),
        ("one chunk", ([torch.tensor([0, 1, 0])], torch.tensor([1, 0]))),
        ("nothing merged above", ([torch.tensor([0, 0, 1]), torch.tensor([0, 1])], torch.tensor([0, 1, 2, 3]))),
        ("a short last chunk", _two_levels(1, (6, 6, 2), 3, 4)),
        ("chunks that keep different numbers", ([torch.tensor([0, 0]), torch.tensor([0, 1, 2])],
                                                torch.tensor([1, 0, 1, 0]))),
        ("all into one", _two_levels(2, (5, 5), 2, 1)),
        ("more chunks", _two_levels(3, (12, 12, 12, 12), 4, 5)),
    ],
    minutes=9,
    difficulty=3,
    importance=5,
    hints=(
        "The level above numbers its inputs through: first all that is left of chunk 1, then of chunk 2. Which number "
        "has output 0 of chunk 2 there?",
        "Shift the numbers of each chunk by how many outputs all chunks before it have. `above[...]` then says where "
        "each goes.",
        "`groups.append(above[group + start])`, then `start += int(group.max()) + 1`; in the end `torch.cat(groups)`",
    ),
    mistakes=(
        ("The outputs of the second chunk come after those of the first: shift each chunk's numbers.", _mapped("none")),
        ("Shift by the tokens that are LEFT of the chunks before, not by those that went in.", _mapped("inputs")),
        ("A chunk whose largest number is 2 has three outputs: the numbers begin with 0.", _mapped("short")),
        ("That is the map to the level in between; follow it with `above`.", _mapped(above_too=False)),
        ("The film's first tokens come first.", _mapped(turned=True)),
        ("That says where what is left of each chunk goes; the map has an entry for every token of the film.",
         lambda chunks, above: above),
        *slips.FILM_MAP,
    ),
    tolerance=0,
)  # fmt: skip


def _keep_best(scores: Tensor, positions: Tensor, new: Tensor, first: int, keep: int) -> tuple[Tensor, Tensor]:
    scores = torch.cat([scores, new])
    positions = torch.cat([positions, torch.arange(first, first + len(new))])
    best = scores.argsort(descending=True, stable=True)[:keep].sort().values
    return scores[best], positions[best]


def _kept(
    ordered: bool = True, late: bool = False, lowest: bool = False, start: int | None = None, front: bool = False,
    forget: bool = False,
) -> Callable[[Tensor, Tensor, Tensor, int, int], tuple[Tensor, Tensor]]:  # fmt: skip
    """What is kept, wrongly."""

    def run(scores: Tensor, positions: Tensor, new: Tensor, first: int, keep: int) -> tuple[Tensor, Tensor]:
        at = torch.arange(len(new)) + (first if start is None else start)
        parts = ([new, scores], [at, positions]) if front else ([scores, new], [positions, at])
        if forget:
            parts = ([new], [at])
        scores, positions = (torch.cat(part) for part in parts)
        if late:
            order = len(scores) - 1 - scores.flip(0).argsort(descending=True, stable=True)
        else:
            order = scores.argsort(descending=not lowest, stable=True)
        best = order[:keep]
        best = best.sort().values if ordered else best
        return scores[best], positions[best]

    return run


def _film_of_scores(seed: int, done: int, new: int, keep: int) -> tuple[Tensor, Tensor, Tensor, int, int]:
    """A film of which `done` tokens have gone by, with ties."""
    scores = (4 * random(seed, done + new)).round() / 4
    before = _keep_best(torch.empty(0), torch.empty(0, dtype=torch.int64), scores[:done], 0, keep)
    return *before, scores[done:], done, keep


def _nothing() -> tuple[Tensor, Tensor]:
    return torch.empty(0), torch.empty(0, dtype=torch.int64)


keep_best = Exercise(
    "keep_best",
    answer=_keep_best,
    cases=lambda: [
        ("the toy of the text", (torch.tensor([0.9, 0.4]), torch.tensor([1, 2]), torch.tensor([0.1, 0.7]), 4, 2)),
        ("the first chunk", (*_nothing(), torch.tensor([0.2, 0.8, 0.5]), 0, 2)),
        ("fewer tokens than the budget", (torch.tensor([0.3]), torch.tensor([0]), torch.tensor([0.1, 0.2]), 1, 5)),
        ("a tie between an old token and a new one", (torch.tensor([0.5, 0.7]), torch.tensor([0, 3]),
                                                      torch.tensor([0.5, 0.9]), 4, 3)),
        ("a tie among the new ones", (torch.tensor([0.9]), torch.tensor([2]), torch.tensor([0.5, 0.5, 0.5]), 3, 2)),
        ("nothing new is good", (torch.tensor([0.8, 0.9]), torch.tensor([0, 1]), torch.tensor([0.1, 0.2]), 2, 2)),
        ("everything old goes", (torch.tensor([-2.0, -3.0]), torch.tensor([5, 7]), torch.tensor([-1.0, -0.5]), 8, 2)),
        ("a film that has gone on for a while", _film_of_scores(1, 40, 12, 6)),
        ("a short last chunk", _film_of_scores(2, 30, 3, 8)),
    ],
    minutes=9,
    difficulty=3,
    importance=4,
    hints=(
        "Put old and new together, scores and positions alike. Which `keep` of them are best, and in which order were "
        "they in the film?",
        "The new tokens stand at positions first, first + 1, ... Sort by score with `stable=True`, so that of equal "
        "scores the earlier token comes first; take `keep`, and put these back into the order of time.",
        "`best = scores.argsort(descending=True, stable=True)[:keep].sort().values`, of the joined scores; return "
        "`scores[best], positions[best]`",
    ),
    mistakes=(
        ("Those are the right tokens in another order: give them in the order of time.", _kept(ordered=False)),
        ("Of equal scores the earlier token stays.", _kept(late=True)),
        ("Those are the lowest scores.", _kept(lowest=True)),
        ("The new tokens stand at `first` and after; you count them from 0.", _kept(start=0)),
        ("The new tokens come after the old ones.", _kept(front=True)),
        ("What was kept before may still be among the best: choose among old and new.", _kept(forget=True)),
        ("Positions first, then scores? It is the other way round.", lambda *given: _keep_best(*given)[::-1]),
        ("You kept all of them; the budget is `keep`.",
         lambda s, p, new, first, keep: _keep_best(s, p, new, first, len(s) + len(new))),
        *slips.KEEP_BEST,
    ),
)  # fmt: skip


def _found_again(positions: Tensor, actor: Tensor) -> tuple[float, float]:
    kept = torch.zeros(actor.numel(), dtype=torch.bool)
    kept[positions] = True
    met = kept.view(actor.shape) & actor
    seconds = actor.flatten(1).any(1)
    return float(met.sum() / actor.sum()), float(met.flatten(1).any(1).sum() / seconds.sum())


def _actors(seed: int, frames: int, shown: tuple[int, int], keep: int) -> tuple[Tensor, Tensor]:
    """Positions (K,), half of them on the actor, and where the actor is (L, 4, 5)."""
    actor = torch.zeros(frames, 4, 5, dtype=torch.bool)
    actor[shown[0] : shown[1], 1:3, 2] = True
    actor[shown[0], 3, 4] = True
    on = actor.flatten().nonzero()[:, 0]
    some = on[random(seed, len(on)).argsort()[: keep // 2]]
    others = random(seed + 1, actor.numel()).argsort()[: keep - len(some)]
    return torch.cat([some, others]).unique(), actor


def _small_actor() -> Tensor:
    actor = torch.zeros(3, 2, 2, dtype=torch.bool)
    actor[1, 0] = actor[2, 0, 0] = actor[2, 1, 1] = True
    return actor


found_again = Exercise(
    "found_again",
    answer=_found_again,
    cases=lambda: [
        ("the toy of the text", (torch.tensor([0, 4, 9]), _small_actor())),
        ("nothing found", (torch.tensor([0, 1]), _small_actor())),
        ("everything found", (torch.arange(12), _small_actor())),
        ("one patch of each second", (torch.tensor([4, 11]), _small_actor())),
        ("a film", _actors(1, 12, (5, 8), 6)),
        ("many tokens", _actors(2, 30, (3, 20), 80)),
        ("an actor who is always there", _actors(3, 6, (0, 6), 8)),
    ],
    minutes=6,
    difficulty=2,
    importance=4,
    hints=(
        "Mark the kept tokens among all patches of the film. What do the marks share with the actor's patches?",
        "First number: of the actor's patches, the share that is marked. Second: of the seconds with the actor, the "
        "share in which one such patch is marked or more; a token beside the actor does not count.",
        "`kept[positions] = True`, `met = kept.view(actor.shape) & actor`; then `met.sum() / actor.sum()` and "
        "`met.flatten(1).any(1).sum() / actor.flatten(1).any(1).sum()`",
    ),
    mistakes=(
        ("The first number is the share of the KEPT tokens that lie on the actor; recall is the share of the actor's "
         "patches.", lambda p, a: (float(a.flatten()[p].float().mean()), _found_again(p, a)[1])),
        ("A second counts where a patch OF THE ACTOR is kept; you count any patch of it.",
         lambda p, a: (_found_again(p, a)[0], _seconds_with(p, a))),
        ("The second number is a share of the seconds that show the actor, not of the whole film.",
         lambda p, a: (_found_again(p, a)[0], _found_again(p, a)[1] * float(a.flatten(1).any(1).float().mean()))),
        ("Recall first, then the seconds.", lambda p, a: _found_again(p, a)[::-1]),
        ("Give shares, not counts.", lambda p, a: (_found_again(p, a)[0] * int(a.sum()),
                                                  _found_again(p, a)[1] * int(a.flatten(1).any(1).sum()))),
        ("The second number is for seconds: a second is found, however many of its patches are kept.",
         lambda p, a: (_found_again(p, a)[0], _found_again(p, a)[0])),
        *slips.FOUND_AGAIN,
    ),
)  # fmt: skip


def _seconds_with(positions: Tensor, actor: Tensor) -> float:
    seconds = torch.zeros(len(actor), dtype=torch.bool)
    seconds[positions // actor[0].numel()] = True
    there = actor.flatten(1).any(1)
    return float((seconds & there).sum() / there.sum())
